"""Unlabelled speech to a training set: recognise, doubt, translate, doubt again, account for it.

    OUT.jsonl                 what was kept, one utterance a line
    OUT.jsonl.journal.jsonl   everything that was measured, one recording a line
    OUT.jsonl.settings.json   which models measured it
    OUT.jsonl.report.json     what was dropped and why

The tests of `data.pseudo` are made on the journal at the end. So a run that was killed goes on,
and the same command with another threshold measures only what was not measured yet.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mooer.data.journal import Journal, agree_on_settings
from mooer.data.manifest import Item
from mooer.data.pseudo import Account, Candidate, FilterOptions, doubts
from mooer.data.supervision import Utterance, to_row
from mooer.errors import AudioError, DecodeError
from mooer.files import write_whole
from mooer.infer.utterances import Samples, cut, utterances
from mooer.transcript import Transcript

logger = logging.getLogger(__name__)

KEPT_FIELDS = ("speaker", "gender", "source", "licence")

Recognise = Callable[[str], Transcript]  # path -> segments
Hear = Callable[[Samples, str], str]  # samples and language -> text
Judge = Callable[[Samples], float]  # samples -> opinion score
Translate = Callable[[str, str], str]  # text and its language -> translation
OnProgress = Callable[[int, int, float], None]  # recordings done, in all, seconds of sound


@dataclass(frozen=True)
class Labellers:
    """What measures: any of the last three may be left out, and its test with it."""

    recognise: Recognise
    judge: Judge | None = None
    hear_again: Hear | None = None
    translate: Translate | None = None
    target: str = "en"
    names: dict[str, str] = field(default_factory=dict)  # which models these are


@dataclass(frozen=True)
class LabelOptions:
    """How a set is labelled."""

    max_s: float = 20.0  # length of an utterance
    filters: FilterOptions = field(default_factory=FilterOptions)


@dataclass
class LabelReport:
    """What a run did."""

    account: Account = field(default_factory=Account)
    audio_s: float = 0.0  # of the recordings that were read by this run
    wall_s: float = 0.0
    num_before: int = 0  # recordings measured by earlier runs
    spent_s: dict[str, float] = field(default_factory=dict)  # by what was measured
    failures: list[dict[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.account.to_dict(),
            "failures": self.failures,
            "recordings_before": self.num_before,
            "audio_s": round(self.audio_s, 2),
            "wall_s": round(self.wall_s, 2),
            "rtf": round(self.wall_s / self.audio_s, 4) if self.audio_s else None,
            "spent_s": {name: round(spent, 2) for name, spent in self.spent_s.items()},
        }


def label(
    items: Sequence[Item],
    out: Path,
    labellers: Labellers,
    options: LabelOptions,
    *,
    on_progress: OnProgress | None = None,
) -> LabelReport:
    """Label recordings into the manifest `out`; the report is also beside it as JSON.

    A recording that cannot be read is told and left out; it is tried again by the next run.
    ConfigError if an earlier run into `out` had other models.
    """
    settings = {**labellers.names, "max_s": options.max_s}
    if labellers.translate:
        settings["target"] = labellers.target
    agree_on_settings(_beside(out, "settings.json"), settings)
    with Journal(_beside(out, "journal.jsonl")) as journal:
        run = _Labelling(labellers, options, journal)
        for i, item in enumerate(items, 1):
            run.measure(item)
            if on_progress:
                on_progress(i, len(items), run.report.audio_s)
        rows = [row for item in items for row in run.kept(item, out.parent)]
    write_whole(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    text = json.dumps(run.report.to_dict(), ensure_ascii=False, indent=1)
    write_whole(_beside(out, "report.json"), text + "\n")
    return run.report


class _Labelling:
    """One run: what is missing of each recording is measured and entered in the journal."""

    def __init__(self, labellers: Labellers, options: LabelOptions, journal: Journal) -> None:
        self._labellers, self._options, self._journal = labellers, options, journal
        self.report = LabelReport()

    def measure(self, item: Item) -> None:
        """Make sure that the journal has all of a recording that its candidates need."""
        began_s = time.perf_counter()
        try:
            self._measure(item)
        except (AudioError, DecodeError) as error:
            logger.error("%s: %s", item.id, error)
            self.report.failures.append({"id": item.id, "error": str(error)})
        self.report.wall_s += time.perf_counter() - began_s

    def _measure(self, item: Item) -> None:
        row = self._journal.rows.get(item.id)
        if row is not None and row["path"] == item.path:
            self.report.num_before += 1
            before = [Candidate.from_dict(one) for one in row["candidates"]]
            duration_s = float(row["duration_s"])
        else:
            row = None
            with self._clock("recognise"):
                heard = self._labellers.recognise(item.path)
            duration_s = heard.duration_s
            self.report.audio_s += duration_s
            before = utterances(item.id, heard, self._options.max_s)
        after = self._completed(item.path, before)
        if row is None or after != before:
            entry = {
                "id": item.id,
                "path": item.path,
                "duration_s": duration_s,
                "candidates": [one.to_dict() for one in after],
            }
            self._journal.add(entry)

    def _completed(self, path: str, candidates: list[Candidate]) -> list[Candidate]:
        """Candidates with all measurements that may still save or drop them."""
        wanted = [one for one in candidates if self._listens(one) and not self._doubted(one)]
        sounds = cut(path, [(one.start_s, one.end_s) for one in wanted])
        found = {one.id: self._heard(one, next(sounds)) for one in wanted}
        sounds.close()
        return [self._translated(found.get(one.id, one)) for one in candidates]

    def _doubted(self, candidate: Candidate) -> bool:
        return bool(doubts(candidate, self._options.filters))

    def _listens(self, candidate: Candidate) -> bool:
        return self._to_judge(candidate) or self._to_hear_again(candidate)

    def _to_judge(self, candidate: Candidate) -> bool:
        asked = self._labellers.judge and self._options.filters.min_quality is not None
        return bool(asked) and candidate.quality is None

    def _to_hear_again(self, candidate: Candidate) -> bool:
        asked = self._labellers.hear_again and self._options.filters.max_disagreement is not None
        return bool(asked) and candidate.second_text is None

    def _heard(self, candidate: Candidate, samples: Samples) -> Candidate:
        judge, hear_again = self._labellers.judge, self._labellers.hear_again
        if judge and self._to_judge(candidate):
            with self._clock("judge"):
                candidate = replace(candidate, quality=judge(samples))
        if hear_again and self._to_hear_again(candidate) and not self._doubted(candidate):
            with self._clock("hear again"):
                text = hear_again(samples, candidate.language)
            candidate = replace(candidate, second_text=text)
        return candidate

    def _translated(self, candidate: Candidate) -> Candidate:
        translate, target = self._labellers.translate, self._labellers.target
        if translate is None or candidate.translation is not None or candidate.language == target:
            return candidate
        if self._doubted(candidate):
            return candidate
        with self._clock("translate"):
            translation = translate(candidate.text, candidate.language)
        return replace(candidate, translation=translation, translation_language=target)

    @contextmanager
    def _clock(self, name: str) -> Iterator[None]:
        began_s = time.perf_counter()
        try:
            yield
        finally:
            spent_s = self.report.spent_s.get(name, 0.0) + time.perf_counter() - began_s
            self.report.spent_s[name] = spent_s

    def kept(self, item: Item, folder: Path) -> Iterator[dict[str, Any]]:
        """Rows of the manifest for a recording; each candidate enters the account."""
        row = self._journal.rows.get(item.id)
        if row is None or row["path"] != item.path:
            return
        for candidate in map(Candidate.from_dict, row["candidates"]):
            reasons = doubts(candidate, self._options.filters)
            self.report.account.add(candidate, reasons)
            if not reasons:
                yield self._row(candidate, item, folder, float(row["duration_s"]))

    def _row(
        self, candidate: Candidate, item: Item, folder: Path, duration_s: float
    ) -> dict[str, Any]:
        whole = candidate.start_s == 0.0 and candidate.end_s >= duration_s
        disagreement = candidate.disagreement
        names = self._labellers.names
        extra = {
            "translation_language": candidate.translation_language,
            "agreement": None if disagreement is None else round(1 - disagreement, 4),
            "text_by": names.get("recogniser"),
            "translation_by": names.get("translator") if candidate.translation else None,
            "attribution": item.fields.get("attribution"),
        }
        utterance = Utterance(
            id=candidate.id,
            audio=os.path.relpath(item.path, folder),
            start_s=None if whole else candidate.start_s,
            duration_s=round(candidate.duration_s, 3),
            text=candidate.text,
            language=candidate.language,
            translation=candidate.translation,
            dnsmos=candidate.quality,
            **{key: item.fields.get(key) for key in KEPT_FIELDS},
            extra={key: value for key, value in extra.items() if value is not None},
        )
        return to_row(utterance)


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(f"{out.name}.{ending}")
