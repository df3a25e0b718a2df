"""Two-channel scenarios for a voice agent, made from recordings whose true times are known.

A scenario is what a user does: sounds, and when each begins, at a fixed time or so long after the
agent began to answer. The kinds are those of Full-Duplex-Bench (arXiv 2503.04721, 2507.23159):

- turn_taking: a sentence, then silence. It is to be answered, soon.
- pause: a sentence with a silence inside it. That is not to be taken for its end.
- back_channel: "mm-hm" while the agent speaks. It is to go on.
- interruption: another sentence while the agent speaks. It is to be silent, and answer that.
- side_talk: somebody else, farther away, while the agent speaks. It is to go on.
- noise: a sound that is no speech, while the agent speaks. It is to go on.
- idle_noise: such a sound while nobody speaks. It is not to be answered.

    folder/scenarios.json   every cue with its true times, in seconds of its own sound
    folder/NAME-0.wav …     the sounds
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from mooer.agent.duplex import RATE_HZ, Pushed
from mooer.agent.events import Samples
from mooer.agent.playout import Playout
from mooer.audio.augment import coloured_noise
from mooer.audio.wave import read_wave, write_wave
from mooer.errors import AudioError, ManifestError
from mooer.files import write_whole

Kind = Literal[
    "turn_taking", "pause", "back_channel", "interruption", "side_talk", "noise", "idle_noise"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
OVERLAPPING = ("back_channel", "interruption", "side_talk", "noise")  # while the agent speaks
SCHEMA = "mooer.scenarios/1"
_FILE = "scenarios.json"
_MAX_S = 60.0  # after the last cue
_ROOM_DB = -70.0  # of the noise that every room has, under full scale


@dataclass(frozen=True, eq=False)
class Cue:
    """One thing that the user, or the room, does."""

    role: str  # turn, or the kind of scenario that it makes
    samples: Samples  # [T] at 16 kHz
    delay_s: float  # after the scenario began, or after the answer began to be heard
    after: Literal["start", "answer"] = "start"
    text: str = ""
    start_s: float = 0.0  # of the speech, from the beginning of `samples`
    end_s: float = 0.0
    pause: tuple[float, float] | None = None  # a silence inside it, likewise


@dataclass(frozen=True)
class Scenario:
    """What a user does, and for how long the agent is listened to afterwards."""

    name: str
    kind: Kind
    language: str
    cues: tuple[Cue, ...]
    tail_s: float = 8.0


# --- how it is played -----------------------------------------------------------------------------


class Actor:
    """The user of a scenario; a `UserSide`, who waits while a `session` still thinks.

    `begun_s` tells when each cue began. One that waits for an answer that does not come, or that is
    over too soon, is never given: None.
    """

    def __init__(self, scenario: Scenario, *, patience_s: float = 20.0) -> None:
        self.session: Pushed | None = None
        self._scenario = scenario
        self._patience_s = patience_s
        self.begun_s: list[float | None] = [None] * len(scenario.cues)
        self._time = 0  # samples
        room = coloured_noise(4 * RATE_HZ, 1.0, np.random.default_rng(0))
        self._room = room * np.float32(10 ** (_ROOM_DB / 20))  # over and over
        self._answer_s: float | None = None  # when the agent was first heard
        self._last_s = 0.0  # when the last thing happened

    def speak(self, num_samples: int, playout: Playout) -> Samples | None:
        """What all cues that have begun give together, over the noise of the room."""
        now_s = self._time / RATE_HZ
        self._listen(now_s, playout)
        if self._is_over(now_s, playout):
            return None
        said = self._room.take(range(self._time, self._time + num_samples), mode="wrap")
        for place, cue in enumerate(self._scenario.cues):
            if self.begun_s[place] is None and self._is_due(cue, now_s):
                self.begun_s[place] = now_s
            begun_s = self.begun_s[place]
            if begun_s is not None:
                part = cue.samples[self._time - round(begun_s * RATE_HZ) :][:num_samples]
                said[: len(part)] += part
                if len(part):
                    self._last_s = now_s
        self._time += num_samples
        return np.asarray(np.clip(said, -1.0, 1.0), np.float32)

    def _listen(self, now_s: float, playout: Playout) -> None:
        if playout.is_playing:
            self._last_s = now_s
            if self._answer_s is None and self.begun_s[0] is not None:
                first = self._scenario.cues[0]
                if now_s >= self.begun_s[0] + first.end_s:  # not what cut into the sentence
                    self._answer_s = now_s

    def _is_due(self, cue: Cue, now_s: float) -> bool:
        if cue.after == "start":
            return now_s >= cue.delay_s
        return self._answer_s is not None and now_s >= self._answer_s + cue.delay_s

    def _is_over(self, now_s: float, playout: Playout) -> bool:
        if playout.is_playing or (self.session is not None and not self.session.is_quiet):
            return now_s - self._time_of_last_cue() > _MAX_S  # one who never comes to an end
        waits = None in self.begun_s
        quiet_s = now_s - self._last_s
        return quiet_s >= (self._patience_s if waits else self._scenario.tail_s)

    def _time_of_last_cue(self) -> float:
        return max((begun for begun in self.begun_s if begun is not None), default=0.0)


# --- how it is kept -------------------------------------------------------------------------------


def write_scenarios(folder: Path, scenarios: Iterable[Scenario]) -> Path:
    """Their sounds and true times; returns the path of the list."""
    rows: list[dict[str, Any]] = []
    folder.mkdir(parents=True, exist_ok=True)
    for scenario in scenarios:
        cues = []
        for place, cue in enumerate(scenario.cues):
            audio = f"{scenario.name}-{place}.wav"
            write_wave(folder / audio, cue.samples)
            cues.append({"audio": audio, **_plain(cue, "samples")})
        rows.append({**_plain(scenario, "cues"), "cues": cues})
    path = folder / _FILE
    data = {"schema": SCHEMA, "scenarios": rows}
    write_whole(path, json.dumps(data, ensure_ascii=False, indent=2) + "\n")
    return path


def _plain(what: Cue | Scenario, without: str) -> dict[str, Any]:
    return {one.name: getattr(what, one.name) for one in fields(what) if one.name != without}


def read_scenarios(folder: Path) -> Iterator[Scenario]:
    """What `write_scenarios` wrote, one after the other; ManifestError if it is not that."""
    path = folder / _FILE
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["schema"] != SCHEMA:
            raise ValueError(f"its schema is {data['schema']!r}")
        for row in data["scenarios"]:
            cues = [dict(cue) for cue in row["cues"]]
            sounds = [read_wave(folder / cue.pop("audio")) for cue in cues]
            for cue in cues:
                cue["pause"] = tuple(cue["pause"]) if cue.get("pause") else None
            made = tuple(Cue(samples=s, **cue) for s, cue in zip(sounds, cues, strict=True))
            if row["kind"] not in KINDS:
                raise ValueError(f"{row['kind']!r} is no kind of scenario")
            yield Scenario(**{**row, "cues": made})
    except (OSError, ValueError, KeyError, TypeError, AudioError) as error:
        raise ManifestError(
            f"{path} is no list of scenarios ({error}): make it by `mooer agent bench --keep`"
        ) from error
