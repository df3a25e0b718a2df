"""A conversation kept in a folder: both sides as sound, what was said, all events, the waits.

conversation.wav   left the user, right what was heard of the agent; 16 kHz, readable at any time
events.jsonl       an event a line, without its sound
transcript.json    as `mooer.transcript` has it, speakers `user` and `agent`; also transcript.txt
waterfall.json     where the time of each answer went; also waterfall.png, with matplotlib
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mooer.agent.duplex import RATE_HZ
from mooer.agent.events import (
    AnswerSound,
    AnswerStarted,
    Event,
    Remembered,
    Samples,
    Sourced,
    TurnEnded,
    TurnReopened,
    UserStarted,
    UserStopped,
    Waterfall,
)
from mooer.agent.waterfall import draw, falls_of, to_json
from mooer.errors import MissingExtra, OutputError
from mooer.files import write_whole
from mooer.transcript import Segment, Transcript

logger = logging.getLogger(__name__)

SOUND = "conversation.wav"
_WRITE_S = 1.0  # of sound, at a time


def event_dict(event: Event) -> dict[str, Any]:
    """An event as plain values: its name in `event`, and every field; of sound only how much.

    >>> event_dict(UserStopped(2.5))
    {'event': 'user_stopped', 'time_s': 2.5}
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
    row: dict[str, Any] = {"event": name}
    for one in dataclasses.fields(event):
        value = getattr(event, one.name)
        if isinstance(value, np.ndarray):
            row[f"num_{one.name}"] = len(value)
        elif isinstance(value, tuple):
            row[one.name] = [dataclasses.asdict(part) for part in value]
        else:
            row[one.name] = dict(value) if one.name == "moments" else value
    return row


class Recorder:
    """Writes a conversation while it is held; a context manager. OutputError if it cannot."""

    def __init__(
        self, folder: Path, *, source: str = "conversation", model: str = "", draws: bool = True
    ) -> None:
        self.folder = folder
        self._source, self._model, self._draws = source, model, draws
        self._story = Story()
        self._pending: list[Samples] = []  # [T, 2]
        self._num_pending = self._num_written = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._wav = wave.open(str(folder / SOUND), "wb")  # noqa: SIM115
            self._wav.setnchannels(2)
            self._wav.setsampwidth(2)
            self._wav.setframerate(RATE_HZ)
            self._events = (folder / "events.jsonl").open("w", encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error

    def push(self, user: Samples, agent: Samples) -> None:
        """What both said at the same time, [T] each at 16 kHz."""
        self._pending.append(np.stack([user, agent], axis=1))
        self._num_pending += len(user)
        if self._num_pending >= _WRITE_S * RATE_HZ:
            self._write()

    def note(self, events: Iterable[Event]) -> None:
        """What was told meanwhile."""
        try:
            for event in events:
                self._story.add(event)
                self._events.write(json.dumps(event_dict(event), ensure_ascii=False) + "\n")
        except OSError as error:
            raise self._failed(error) from error

    def _write(self) -> None:
        if not self._pending:
            return
        both = np.clip(np.concatenate(self._pending), -1.0, 1.0)
        self._pending, self._num_pending = [], 0
        self._num_written += len(both)
        try:
            # Each call brings the length in the header up to date: what is broken off can be read.
            self._wav.writeframes(np.round(both * 32767).astype("<i2").tobytes())
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Write what is left: the rest of the sound, transcript and waterfall."""
        self._write()
        self._wav.close()
        self._events.close()
        transcript = Transcript(
            segments=tuple(self._story.segments()),
            language=self._story.language(),
            duration_s=self._num_written / RATE_HZ,
            model=self._model,
            source=self._source,
        )
        write_whole(self.folder / "transcript.json", transcript.to_json())
        write_whole(self.folder / "transcript.txt", self._story.text())
        falls = falls_of(self._story.events)
        write_whole(self.folder / "waterfall.json", to_json(falls))
        if falls and self._draws:
            try:
                draw(falls, self.folder / "waterfall.png")
            except MissingExtra as error:
                logger.warning("there is no waterfall.png: %s", error)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_reason: object) -> None:
        self.close()

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.folder} cannot be recorded to ({error.strerror or error}): free some space, or "
            "name another folder by --record"
        )


@dataclasses.dataclass(slots=True)
class _Said:
    speaker: str
    start_s: float
    end_s: float
    text: str
    language: str
    sources: tuple[str, ...] = ()


class Story:
    """Who said what and when, gathered from events; of answers what was heard."""

    def __init__(self) -> None:
        self.events: list[Event] = []  # those that the waits of answers are found in
        self._said: list[_Said] = []
        self._start_s: float | None = None
        self._stop_s: float | None = None
        self._language = ""
        self._rates: dict[int, int] = {}
        self._played_s: dict[int, float] = {}
        self._sources: dict[int, tuple[str, ...]] = {}
        self._answers: dict[int, _Said] = {}

    def add(self, event: Event) -> None:
        """Take what was told next."""
        if isinstance(event, UserStarted):
            self._start_s = event.time_s if self._start_s is None else self._start_s
        elif isinstance(event, UserStopped):
            self._stop_s = event.time_s
        elif isinstance(event, TurnEnded):
            self._end_turn(event)
        elif isinstance(event, TurnReopened):
            self._reopen()
        elif isinstance(event, AnswerStarted):
            self.events.append(event)
        elif isinstance(event, AnswerSound):
            self._rates[event.answer] = event.rate_hz
        elif isinstance(event, Sourced):
            self._sources[event.answer] = tuple(source.name for source in event.sources)
        elif isinstance(event, Waterfall):
            self.events.append(event)
            if "played" in event.moments:
                self._played_s[event.answer] = event.moments["played"]
        elif isinstance(event, Remembered) and event.text:
            self._remember(event)

    def _end_turn(self, event: TurnEnded) -> None:
        stop_s = event.time_s if self._stop_s is None else self._stop_s
        start_s = stop_s if self._start_s is None else min(self._start_s, stop_s)
        self._language = event.language or self._language
        if event.text:
            self._said.append(_Said("user", start_s, stop_s, event.text, event.language))
        self._start_s = self._stop_s = None

    def _reopen(self) -> None:
        """The user goes on: the turn that ended is the beginning of the one that will."""
        said = next((one for one in reversed(self._said) if one.speaker == "user"), None)
        if said is not None:
            self._said.remove(said)
            self._start_s = said.start_s

    def _remember(self, event: Remembered) -> None:
        """An answer as it was heard; what is told again of the same one replaces it."""
        played_s = event.played_samples / self._rates.get(event.answer, RATE_HZ)
        start_s = self._played_s.get(event.answer, max(0.0, event.time_s - played_s))
        end_s = max(start_s, min(event.time_s, start_s + played_s) if played_s else event.time_s)
        names = self._sources.get(event.answer, ())
        said = _Said("agent", start_s, end_s, event.text, self._language, names)
        before = self._answers.get(event.answer)
        if before is not None:
            self._said.remove(before)
        self._answers[event.answer] = said
        self._said.append(said)

    def segments(self) -> list[Segment]:
        """In order of time."""
        return [
            Segment(one.start_s, one.end_s, one.text, one.language or "und", speaker=one.speaker)
            for one in sorted(self._said, key=lambda one: one.start_s)
        ]

    def language(self) -> str:
        """The one that the user spoke most."""
        spoken = [one.language for one in self._said if one.speaker == "user" and one.language]
        return max(spoken, key=spoken.count) if spoken else "und"

    def text(self) -> str:
        """A line each, with what an answer was taken from."""
        lines = []
        for one in sorted(self._said, key=lambda one: one.start_s):
            minutes, seconds = divmod(one.start_s, 60)
            cited = f"  [{'; '.join(dict.fromkeys(one.sources))}]" if one.sources else ""
            lines.append(f"{int(minutes):02d}:{seconds:04.1f} {one.speaker}: {one.text}{cited}\n")
        return "".join(lines)
