"""Run a recogniser over manifests and score what it gives."""

from __future__ import annotations

import logging
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from mooer.data import Item, inputs
from mooer.errors import ConfigError, ManifestError, MooerError, did_you_mean
from mooer.evaluate.journal import Journal
from mooer.evaluate.score import Utterance, score_set
from mooer.text import normalizer_for
from mooer.transcript import Transcript

SCHEMA = "mooer.evaluation/1"
TASKS = ("asr", "ast")
_PACKAGES = ("mooer", "numpy", "sacrebleu", "opencc", "ctranslate2", "onnxruntime", "xllamacpp")
_log = logging.getLogger(__name__)

Result = Transcript | MooerError
Many = Callable[..., Iterator[tuple[str, Result]]]


class Model(Protocol):
    """What is evaluated; `translate(path, to=…, language=…)` is needed for the task ast.

    `transcribe_many(pairs, language=…)` over (id, path), if there is one, is used for asr.
    """

    def transcribe(self, source: Any, *, language: str | None = None) -> Transcript:
        """Recognise one recording."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    manifests: tuple[str, ...]
    model: str
    task: str = "asr"
    to: str = "en"  # target language of ast
    language: str | None = None  # told to the model; None: it detects
    use_language: bool = False  # tell the model the manifest's own language
    limit: int | None = None  # utterances of each set
    seed: int = 0
    fusion: str = ""  # language models that are joined with the model, as they were asked for

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be run."""
        if self.task not in TASKS:
            raise ConfigError(f"unknown task {self.task!r}: {did_you_mean(self.task, TASKS)}")
        if self.language and self.use_language:
            raise ConfigError("a fixed language and --use-language exclude each other: choose one")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"the limit must be at least 1, got {self.limit}")

    def head(self) -> dict[str, Any]:
        """What two runs must share so that one can go on with the other's results."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "task": self.task,
            "to": self.to if self.task == "ast" else None,
            "language": self.language,
            "use_language": self.use_language,
            **({"fusion": self.fusion} if self.fusion else {}),
        }


@dataclass(slots=True)
class TestSet:
    """A manifest as utterances to score, with the recordings they belong to."""

    __test__ = False  # no class of tests, whatever pytest makes of the name

    name: str
    items: list[Item]
    utterances: list[Utterance]
    num_skipped: int = 0
    results: list[Utterance] = field(default_factory=list)


def read_sets(plan: Plan) -> list[TestSet]:
    """The sets of a plan, named by their file stems; utterances without a reference are left out.

    ManifestError where nothing is left to score.
    """
    sets: list[TestSet] = []
    names: set[str] = set()
    for manifest in plan.manifests:
        name, number = Path(manifest).stem or "set", 1
        while name in names:
            number += 1
            name = f"{Path(manifest).stem}-{number}"
        names.add(name)
        sets.append(_read_set(name, manifest, plan))
    if not any(s.utterances for s in sets):
        key = "translation" if plan.task == "ast" else "text"
        raise ManifestError(
            f"no line of {', '.join(plan.manifests)} has a {key!r} to compare with: "
            f"evaluation needs JSONL manifests with audio and {key}"
        )
    return sets


def _read_set(name: str, manifest: str, plan: Plan) -> TestSet:
    test_set = TestSet(name, [], [])
    for item in inputs([manifest]):
        references = _references(item, plan)
        if not references:
            test_set.num_skipped += 1
            continue
        if plan.limit is not None and len(test_set.items) >= plan.limit:
            break
        spoken = item.fields.get("language") or plan.language
        language = plan.to if plan.task == "ast" else spoken
        audio_s = item.fields.get("duration")
        test_set.items.append(item)
        test_set.utterances.append(
            Utterance(
                item.id,
                references,
                language,
                source_language=spoken,
                audio_s=float(audio_s) if isinstance(audio_s, int | float) else 0.0,
            )
        )
    return test_set


def _references(item: Item, plan: Plan) -> tuple[str, ...]:
    if plan.task == "asr":
        found = item.fields.get("text")
    else:
        found = item.fields.get(f"translation_{plan.to}")
        if found is None and item.fields.get("translation_language", "en") == plan.to:
            found = item.fields.get("translation")
    several = found if isinstance(found, list) else [found]
    return tuple(text for text in several if isinstance(text, str) and text.strip())


def run(
    plan: Plan,
    model: Model,
    *,
    journal: Journal | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate `model` and return the report; a recording that fails is listed, not raised.

    `on_progress(done, total)` counts utterances. A missing `journal` keeps nothing on disk.
    """
    journal = journal or Journal(None, plan.head())
    sets = read_sets(plan)
    total, done = sum(len(s.utterances) for s in sets), 0
    for test_set in sets:
        for utterance in _run_set(test_set, plan, model, journal):
            test_set.results.append(utterance)
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        order = {u.id: i for i, u in enumerate(test_set.utterances)}
        test_set.results.sort(key=lambda u: order[u.id])
    return _report(plan, sets)


def _run_set(test_set: TestSet, plan: Plan, model: Model, journal: Journal) -> Iterator[Utterance]:
    pending: list[tuple[Item, Utterance]] = []
    for item, utterance in zip(test_set.items, test_set.utterances, strict=True):
        row = journal.finished.get((test_set.name, item.id))
        if row is None:
            pending.append((item, utterance))
        else:
            keys = ("hypothesis", "detected_language", "audio_s", "wall_s")
            yield utterance.with_result(**{key: row.get(key) for key in keys})
    for utterance, result, wall_s in _recognise(pending, plan, model):
        if isinstance(result, MooerError):
            _log.warning("%s: %s", utterance.id, result)
            yield utterance.with_result(error=str(result), wall_s=wall_s)
            continue
        text = result.text if plan.task == "asr" else result.translation or ""
        found = {
            "hypothesis": text,
            "detected_language": result.language,
            "audio_s": result.duration_s or utterance.audio_s,
            "wall_s": wall_s,
        }
        journal.add({"set": test_set.name, "id": utterance.id, **found})
        yield utterance.with_result(**found)


def _recognise(
    pending: Sequence[tuple[Item, Utterance]], plan: Plan, model: Model
) -> Iterator[tuple[Utterance, Result, float]]:
    """Results with the wall time that each took; in a batch, the time until it came out."""
    many: Many | None = getattr(model, "transcribe_many", None)
    for language, group in _by_language(pending, plan):
        utterances = {item.id: utterance for item, utterance in group}
        began = time.perf_counter()
        pairs = ((item.id, item.path) for item, _ in group)
        if plan.task == "asr" and many is not None:
            results = many(pairs, language=language)
        else:
            results = _one_by_one(pairs, language, plan, model)
        for name, result in results:
            now = time.perf_counter()
            yield utterances.pop(name), result, now - began
            began = time.perf_counter()
        for utterance in utterances.values():
            yield utterance, MooerError("the model gave no result for it"), 0.0


def _by_language(
    pending: Sequence[tuple[Item, Utterance]], plan: Plan
) -> Iterable[tuple[str | None, list[tuple[Item, Utterance]]]]:
    """Groups that are told the same language: `transcribe_many` takes one for all."""
    groups: dict[str | None, list[tuple[Item, Utterance]]] = {}
    for pair in pending:
        language = pair[1].source_language if plan.use_language else plan.language
        groups.setdefault(language, []).append(pair)
    return groups.items()


def _one_by_one(
    pairs: Iterable[tuple[str, str]], language: str | None, plan: Plan, model: Any
) -> Iterator[tuple[str, Result]]:
    for name, path in pairs:
        try:
            if plan.task == "asr":
                yield name, model.transcribe(path, language=language)
            else:
                yield name, model.translate(path, to=plan.to, language=language)
        except MooerError as error:
            yield name, error


def _report(plan: Plan, sets: Sequence[TestSet]) -> dict[str, Any]:
    scored: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    for s in sets:
        scored[s.name], rows[s.name] = score_set(
            s.results, task=plan.task, seed=plan.seed, num_skipped=s.num_skipped
        )
    languages = {u.language or "und" for s in sets for u in s.utterances}
    return {
        **plan.head(),
        "limit": plan.limit,
        "seed": plan.seed,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "versions": _versions(),
        "normalizers": {language: str(normalizer_for(language)) for language in sorted(languages)},
        "peak_memory_mb": peak_memory_mb(),
        "sets": scored,
        "failures": [
            {"set": s.name, "id": u.id, "error": u.error}
            for s in sets
            for u in s.results
            if u.error is not None
        ],
        "utterances": rows,
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_memory_mb() -> float | None:
    """The most memory that this process ever held; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
