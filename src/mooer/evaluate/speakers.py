"""Diarization over manifests: who spoke when, compared with what is known."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from mooer.audio.wave import open_wave
from mooer.data import Item, inputs
from mooer.errors import ConfigError, ManifestError, MooerError
from mooer.evaluate.benchmark import SCHEMA, peak_memory_mb
from mooer.evaluate.diarization import DiarizationError, diarization_error
from mooer.infer.speakers import Diarization
from mooer.subtitles.rttm import Turn, read_rttm

_HEADS = ("set", "recordings", "DER %", "missed", "false alarm", "confusion", "speakers", "RTF")


class Teller(Protocol):
    """What tells speakers apart: `infer.speakers.Diarizer`."""

    def diarize(self, blocks: Any, num_speakers: int | None = None) -> Diarization:
        """Who speaks when."""
        ...


@dataclass(frozen=True, slots=True)
class SpeakerPlan:
    """What to run."""

    manifests: tuple[str, ...]
    collar_s: float = 0.0  # left out on both sides of every beginning and end of the reference
    skip_overlap: bool = False  # leave out where two speak
    known_speakers: bool = False  # tell the diarizer how many there are
    limit: int | None = None  # recordings of each set

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be run."""
        if not 0 <= self.collar_s <= 5:
            raise ConfigError(f"the collar must lie between 0 and 5 s, got {self.collar_s}")


def reference_turns(item: Item) -> tuple[Turn, ...]:
    """The turns of a line: its `segments` [[speaker, start, end], …], or the file of its `rttm`.

    A path is relative to the manifest's recording. ManifestError if there is neither, or if
    somebody's turn is none.
    """
    rttm, segments = item.fields.get("rttm"), item.fields.get("segments")
    if isinstance(rttm, str):
        return _from_rttm(item, Path(item.path).parent / rttm)
    if not isinstance(segments, list):
        raise ManifestError(
            f"{item.id} says not who speaks when: give it segments [[speaker, start, end], …] or "
            "the path of an rttm"
        )
    turns: list[Turn] = []
    for row in segments:
        try:
            speaker, start_s, end_s = row
            turns.append(Turn(float(start_s), float(end_s), str(speaker)))
        except (TypeError, ValueError):
            raise ManifestError(
                f"{item.id} has a segment that is not [speaker, start, end]: {row!r}"
            ) from None
    return tuple(turns)


def _from_rttm(item: Item, path: Path) -> tuple[Turn, ...]:
    try:
        found = read_rttm(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read {path}: {error}") from None
    if len(found) == 1:
        return next(iter(found.values()))
    for name in (item.id, Path(item.path).stem):
        if name in found:
            return found[name]
    raise ManifestError(f"{path} holds no turns of {item.id}: it has {', '.join(found) or 'none'}")


def run_speakers(
    plan: SpeakerPlan,
    load: Callable[[], Teller],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The report: error of each set and recording. ManifestError before anything is loaded."""
    sets: dict[str, list[tuple[Item, tuple[Turn, ...]]]] = {}
    for manifest in plan.manifests:
        name = Path(manifest).stem
        name = name if name not in sets else f"{name}-{len(sets) + 1}"
        sets[name] = [(one, reference_turns(one)) for one in inputs([manifest])[: plan.limit]]
    diarizer = load()
    num_all, done = sum(map(len, sets.values())), 0
    report: dict[str, Any] = {**_head(plan), "sets": {}, "utterances": {}, "failures": []}
    for name, items in sets.items():
        rows = []
        for item, turns in items:
            try:
                rows.append(_row(item, turns, plan, diarizer))
            except MooerError as error:
                report["failures"].append({"set": name, "id": item.id, "error": str(error)})
            done += 1
            if on_progress:
                on_progress(done, num_all)
        report["sets"][name] = _numbers(rows)
        report["utterances"][name] = rows
    report["peak_memory_mb"] = peak_memory_mb()
    return report


def _head(plan: SpeakerPlan) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "task": "diarization",
        **asdict(plan),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "versions": {package: version(package) for package in ("mooer", "numpy")},
    }


def _row(
    item: Item, turns: tuple[Turn, ...], plan: SpeakerPlan, diarizer: Teller
) -> dict[str, Any]:
    began = time.perf_counter()
    num_speakers = len({turn.speaker for turn in turns})
    with open_wave(item.path) as wave:
        found = diarizer.diarize(
            wave.blocks(), num_speakers if plan.known_speakers and turns else None
        )
    wall_s = time.perf_counter() - began
    error = diarization_error(
        turns,
        found.turns,
        duration_s=found.duration_s,
        collar_s=plan.collar_s,
        skip_overlap=plan.skip_overlap,
    )
    return {
        "id": item.id,
        **asdict(error),
        "der": error.rate,
        "speakers": num_speakers,
        "speakers_found": found.num_speakers,
        "audio_s": found.duration_s,
        "wall_s": wall_s,
    }


def _numbers(rows: list[dict[str, Any]]) -> dict[str, Any]:
    error = sum((_error(row) for row in rows), DiarizationError())
    audio_s, wall_s = sum(row["audio_s"] for row in rows), sum(row["wall_s"] for row in rows)
    return {
        "num_utterances": len(rows),
        "der": error.rate,
        **asdict(error),
        "counted_right": sum(row["speakers"] == row["speakers_found"] for row in rows),
        "audio_s": audio_s,
        "processing_s": wall_s,
        "rtf": wall_s / audio_s if audio_s else None,
    }


def _error(row: dict[str, Any]) -> DiarizationError:
    return DiarizationError(
        row["total_s"], row["missed_s"], row["false_alarm_s"], row["confusion_s"]
    )


def speakers_table(report: dict[str, Any]) -> str:
    """A Markdown table with one row a set; `speakers` is how often their number was found."""
    lines = ["| " + " | ".join(_HEADS) + " |", "|---|" + "---:|" * (len(_HEADS) - 1)]
    for name, numbers in report["sets"].items():
        lines.append("| " + " | ".join(_cells(name, numbers)) + " |")
    return "\n".join(lines) + "\n"


def _cells(name: str, numbers: dict[str, Any]) -> Iterator[str]:
    yield name.replace("|", "\\|")
    yield str(numbers["num_utterances"])
    total_s = numbers["total_s"]
    for key in ("error", "missed_s", "false_alarm_s", "confusion_s"):
        value = _error(numbers).error_s if key == "error" else numbers[key]
        yield f"{100 * value / total_s:.1f}" if total_s else "–"
    yield f"{numbers['counted_right']} of {numbers['num_utterances']}"
    yield "–" if numbers["rtf"] is None else f"{numbers['rtf']:.3f}"
