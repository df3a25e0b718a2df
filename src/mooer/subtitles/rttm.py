"""Who spoke when, as RTTM: a line for each turn, as tools for diarization read and write it.

A line is `SPEAKER <recording> 1 <start> <duration> <NA> <NA> <speaker> <NA> <NA>`, in seconds
(NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan", appendix A).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from mooer.errors import ManifestError

_FIELDS = 8  # up to the speaker; what follows says nothing here


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody speaks, from one time to another."""

    start_s: float
    end_s: float
    speaker: str


class SpokenText(Protocol):
    """What a segment must have here."""

    @property
    def start_s(self) -> float:
        """Start in seconds."""

    @property
    def end_s(self) -> float:
        """End in seconds."""

    @property
    def speaker(self) -> str | None:
        """Who speaks, or None."""


def to_rttm(turns: Iterable[SpokenText | Turn], recording: str) -> str:
    r"""The lines of one recording; what has no speaker or no length is left out.

    >>> to_rttm([Turn(0.5, 2.0, "S1")], "a talk.wav")
    'SPEAKER a_talk.wav 1 0.500 1.500 <NA> <NA> S1 <NA> <NA>\n'
    """
    name = re.sub(r"\s+", "_", recording.strip()) or "recording"
    lines = []
    for turn in turns:
        if turn.speaker is None or not turn.end_s > turn.start_s:
            continue
        speaker = re.sub(r"\s+", "_", turn.speaker.strip()) or "unknown"
        times = f"{turn.start_s:.3f} {turn.end_s - turn.start_s:.3f}"
        lines.append(f"SPEAKER {name} 1 {times} <NA> <NA> {speaker} <NA> <NA>\n")
    return "".join(lines)


def read_rttm(text: str) -> dict[str, tuple[Turn, ...]]:
    """Turns by recording, in order of time; ManifestError with the line that is no RTTM.

    Lines of other kinds (`SPKR-INFO`, `NON-SPEECH` …) and comments are passed over.

    >>> read_rttm("SPEAKER a 1 0.5 1.5 <NA> <NA> anna <NA> <NA>")
    {'a': (Turn(start_s=0.5, end_s=2.0, speaker='anna'),)}
    """
    found: dict[str, list[Turn]] = {}
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            if len(fields) < _FIELDS:
                raise ValueError(f"{len(fields)} fields where {_FIELDS} are due")
            start_s, length_s = float(fields[3]), float(fields[4])
            if not (math.isfinite(start_s) and 0 <= length_s < math.inf):
                raise ValueError(f"a turn of {fields[4]} s at {fields[3]} s")
        except ValueError as error:
            raise ManifestError(
                f"line {number} is no RTTM ({error}): {line.strip()[:120]!r}"
            ) from None
        found.setdefault(fields[1], []).append(Turn(start_s, start_s + length_s, fields[7]))
    return {
        name: tuple(sorted(turns, key=lambda turn: (turn.start_s, turn.end_s)))
        for name, turns in found.items()
    }
