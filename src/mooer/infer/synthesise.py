"""Text to a training set: many voices, speeds and surroundings, by several processes, resumable.

    OUT/manifest.jsonl   one clip a line, written in the order of the plan; it is the journal too
    OUT/audio/           the clips, 16 kHz mono
    OUT/synth.json       the settings, so that a set is never made half one way and half another

Everything random about a clip is drawn from the seed and the clip's id alone. A run that was
killed, or had another number of workers, therefore ends with the same set.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mooer.data.journal import Journal, agree_on_settings
from mooer.data.manifest import safe_stem
from mooer.data.texts import Line
from mooer.errors import ConfigError
from mooer.infer.crew import Clip, Crew, LoadSpeaker, MakeSpeaker, Spoken
from mooer.speak import Voice, blend
from mooer.speak.base import voices_for

logger = logging.getLogger(__name__)

MANIFEST, SETTINGS, FOLDER = "manifest.jsonl", "synth.json", "audio"
FORMATS = ("flac", "opus")
_PEAKS_DB = (-12.0, -1.0)
_SNRS_DB = (5.0, 30.0)
_REVERB_S = (0.15, 0.7)

OnProgress = Callable[[int, int | None, float], None]  # clips done, in all if known, seconds made


@dataclass(frozen=True)
class SynthOptions:
    """How a set is spoken."""

    num_voices: int = 100  # different blends
    min_speed: float = 0.85
    max_speed: float = 1.2
    noise: bool = False  # half of the clips get some, 5 to 30 dB under the speech
    rooms: bool = False  # half of the clips are spoken in a room of 0.15 to 0.7 s reverberation
    format: str = "flac"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_voices < 1:
            raise ConfigError(f"voices must be at least 1, not {self.num_voices}")
        if self.format not in FORMATS:
            raise ConfigError(f"format must be flac or opus, not {self.format!r}")
        if not 0.5 <= self.min_speed <= self.max_speed <= 2.0:
            raise ConfigError(f"speeds must be 0.5 to 2, not {self.min_speed} to {self.max_speed}")


@dataclass
class SynthReport:
    """What a run did; `to_dict` is for JSON."""

    num_clips: int = 0  # in the manifest now
    seconds: float = 0.0  # of sound in the manifest now
    num_before: int = 0  # of them by earlier runs
    new_seconds: float = 0.0  # of sound made by this run
    wall_s: float = 0.0
    workers: int = 1
    skipped: list[dict[str, str]] = field(default_factory=list)

    @property
    def rtf(self) -> float | None:
        """Wall-clock seconds for a second of sound; None if nothing was made."""
        return self.wall_s / self.new_seconds if self.new_seconds else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        rtf = None if self.rtf is None else round(self.rtf, 4)
        return {**vars(self), "hours": round(self.seconds / 3600, 4), "rtf": rtf}


def plan(
    lines: Sequence[Line], options: SynthOptions, voices: Mapping[str, Sequence[Voice]]
) -> Iterator[Clip]:
    """Clips without end: all lines, then all again by other voices of the language.

    Takes are not numbered alone: `data encode` so numbers the variants of a clip.
    """
    take = 1
    while lines:
        for line in lines:
            name = line.id if take == 1 else f"{line.id}-take{take}"
            seed = zlib.crc32(f"{options.seed}/{name}".encode())
            random = np.random.default_rng(seed)
            # All is drawn for every clip, so that one option does not change another's draw.
            speed = random.uniform(options.min_speed, options.max_speed)
            those = voices[line.language]
            voice = those[int(random.integers(len(those)))]
            peak_db, snr_db = random.uniform(*_PEAKS_DB), random.uniform(*_SNRS_DB)
            reverb_s = random.uniform(*_REVERB_S)
            noisy, roomy = random.random() < 0.5, random.random() < 0.5
            yield Clip(
                name,
                line,
                voice,
                speed=round(speed, 2),
                peak_db=round(peak_db, 1),
                snr_db=round(snr_db, 1) if noisy and options.noise else None,
                reverb_s=round(reverb_s, 2) if roomy and options.rooms else None,
                seed=seed,
            )
        take += 1


def make_voices(names: Sequence[str], options: SynthOptions) -> list[Voice]:
    """The blends of a language: different ones, the same for the same seed."""
    random = np.random.default_rng(options.seed)
    most = 1 if len(names) == 1 else options.num_voices
    found: dict[str, Voice] = {}
    while len(found) < most:
        voice = blend(names, random)
        found[str(voice)] = voice
    return list(found.values())


def synthesise(
    lines: Sequence[Line],
    out: Path,
    options: SynthOptions,
    *,
    speaker: str | MakeSpeaker = "kokoro-82m",
    hours: float | None = None,
    workers: int = 1,
    on_progress: OnProgress | None = None,
) -> SynthReport:
    """Speak `lines` into the folder `out` and return what was done.

    Each line once and in order; or, with `hours`, in a random order and as often as needed until
    so much is spoken. What an earlier run left is kept and gone on from. `speaker` is a name of
    `SPEAKERS`, or a function that can be sent to another process. ConfigError if the folder was
    begun with other settings, OutputError if it cannot be written.
    """
    make = LoadSpeaker(speaker) if isinstance(speaker, str) else speaker
    name = speaker if isinstance(speaker, str) else "custom"
    first = make()  # here, so that a missing package or model is told once, and before all else
    settings = {"speaker": name, "own_voices": len(first.voices), "shuffled": bool(hours)}
    agree_on_settings(out / SETTINGS, {**settings, **vars(options)})
    (out / FOLDER).mkdir(exist_ok=True)
    languages = dict.fromkeys(line.language for line in lines)
    voices = {one: make_voices(voices_for(first, one), options) for one in languages}
    if hours:
        random = np.random.default_rng(options.seed)
        lines = [lines[i] for i in random.permutation(len(lines))]
    with Journal(out / MANIFEST) as journal, Crew(make, first, workers) as crew:
        run = _Synthesis(journal, out, options, name, crew)
        run.report.workers = workers
        return run.speak(plan(lines, options, voices), len(lines), hours, on_progress)


class _Synthesis:
    """One run: clips to the crew, rows to the manifest in the order of the plan."""

    def __init__(
        self, journal: Journal, out: Path, options: SynthOptions, name: str, crew: Crew
    ) -> None:
        self._journal, self._out, self._options = journal, out, options
        self._name, self._crew = name, crew
        self.report = SynthReport(num_before=len(journal.rows))

    def speak(
        self,
        clips: Iterator[Clip],
        num_lines: int,
        hours: float | None,
        on_progress: OnProgress | None,
    ) -> SynthReport:
        report, began_s = self.report, time.perf_counter()
        pending: deque[tuple[Clip, Path, Future[Spoken] | None]] = deque()
        limit_s = hours * 3600 if hours else None
        num_taken = num_silent = 0
        while limit_s is None or report.seconds < limit_s:
            if (limit_s or num_taken < num_lines) and len(pending) < self._crew.depth:
                clip = next(clips)
                num_taken += 1
                path = self._out / FOLDER / f"{safe_stem(clip.id)}.{self._options.format}"
                done = self._is_done(clip, path)
                pending.append((clip, path, None if done else self._crew.submit(clip, path)))
                continue
            if not pending:
                break
            num_silent = 0 if self._finish(*pending.popleft()) else num_silent + 1
            if num_silent >= num_lines:
                break  # round and round a text that cannot be spoken
            if on_progress:
                on_progress(report.num_clips, None if limit_s else num_lines, report.seconds)
        report.wall_s = round(time.perf_counter() - began_s, 3)
        return report

    def _is_done(self, clip: Clip, path: Path) -> bool:
        row = self._journal.rows.get(clip.id)
        if row is not None and row.get("text") != clip.line.text:
            raise ConfigError(
                f"{clip.id} was spoken with another text, {row.get('text')!r}: "
                "name another output for other texts"
            )
        return row is not None and path.exists()

    def _finish(self, clip: Clip, path: Path, future: Future[Spoken] | None) -> bool:
        """Enter a clip in the manifest; False if it could not be spoken."""
        report = self.report
        if future is None:
            duration_s = float(self._journal.rows[clip.id]["duration"])
        else:
            spoken = self._crew.result(future)
            if spoken.error:
                report.skipped.append({"id": clip.id, "reason": spoken.error})
                logger.warning("%s is left out: %s", clip.id, spoken.error)
                return False
            duration_s = spoken.duration_s
            if clip.id not in self._journal.rows:
                self._journal.add(_row(clip, path, duration_s, self._name))
            report.new_seconds += duration_s
        report.num_clips += 1
        report.seconds += duration_s
        return True


def _row(clip: Clip, path: Path, duration_s: float, name: str) -> dict[str, Any]:
    line = clip.line
    row = {
        "id": clip.id,
        "audio": f"{FOLDER}/{path.name}",
        "duration": round(duration_s, 3),
        "text": line.text,
        "language": line.language,
        "translation": list(line.translation) or None,
        "translation_language": line.translation_language,
        "attribution": line.attribution,
        "speaker": str(clip.voice),
        "speed": clip.speed,
        "snr_db": clip.snr_db,
        "reverb_s": clip.reverb_s,
        "source": f"synthetic: {name}",
        "licence": line.licence,
    }
    return {key: value for key, value in row.items() if value is not None}
