"""The processes that speak clips and write them: one speaker of one thread in each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from mooer.audio.augment import add_noise, coloured_noise, decaying_response, reverberate
from mooer.audio.opus import write_opus
from mooer.audio.resample import Resampler
from mooer.audio.wave import SAMPLE_RATE_HZ, write_wave
from mooer.data.processes import process_pool
from mooer.data.texts import Line
from mooer.errors import DecodeError, ModelError
from mooer.speak import Speaker, Voice, load_speaker

_SILENCE_S = 0.1  # before and after the speech
_DIRECT_DB = (0.0, 12.0)  # of the sound itself over the room's
_COLOURS = (0.0, 2.0)  # of noise: white to brown

MakeSpeaker = Callable[[], Speaker]


@dataclass(frozen=True)
class Clip:
    """One thing to be said, with all that was drawn for it."""

    id: str
    line: Line
    voice: Voice
    speed: float
    peak_db: float
    snr_db: float | None
    reverb_s: float | None
    seed: int


@dataclass(frozen=True)
class Spoken:
    """What became of a clip."""

    duration_s: float = 0.0
    error: str = ""  # why it could not be spoken


@dataclass(frozen=True)
class LoadSpeaker:
    """Make a speaker by its name, in whichever process it is called."""

    name: str

    def __call__(self) -> Speaker:
        """Fetch the weights if need be and load them."""
        return load_speaker(self.name)


class Crew:
    """Speaks clips: in this process if it is alone, else in as many as there are workers."""

    def __init__(self, make: MakeSpeaker, first: Speaker, workers: int) -> None:
        self._first = first
        self._pool = None
        self.depth = 1  # clips that may be under way at a time
        if workers > 1:
            # They leave signals to this process: it decides when to stop.
            self._pool = process_pool(
                workers, keep_on_signals=True, begin=_start, arguments=(make,)
            )
            self.depth = 4 * workers

    def submit(self, clip: Clip, path: Path) -> Future[Spoken]:
        """Begin to speak a clip into the file `path`."""
        if self._pool is not None:
            return self._pool.submit(_speak_here, clip, path)
        future: Future[Spoken] = Future()
        future.set_result(speak_clip(self._first, clip, path))
        return future

    def result(self, future: Future[Spoken]) -> Spoken:
        """What came of it, when it is done; ModelError if its process died."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise ModelError(
                "a process that speaks has died, perhaps for want of memory: try fewer workers; "
                "the same command goes on where this one stopped"
            ) from error

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_speaker: list[Speaker] = []  # of this process


def _start(make: MakeSpeaker) -> None:
    _speaker[:] = [make()]


def _speak_here(clip: Clip, path: Path) -> Spoken:
    return speak_clip(_speaker[0], clip, path)


def speak_clip(speaker: Speaker, clip: Clip, path: Path) -> Spoken:
    """Speak a clip into a file, which appears whole."""
    try:
        said = speaker.speak(clip.line.text, clip.line.language, clip.voice, speed=clip.speed)
    except DecodeError as error:
        return Spoken(error=str(error))
    samples = finished(said, speaker.rate_hz, clip)
    fresh = path.with_name(f".part-{path.name}")
    (write_wave if path.suffix == ".flac" else write_opus)(fresh, samples)
    fresh.replace(path)
    return Spoken(len(samples) / SAMPLE_RATE_HZ)


def finished(spoken: NDArray[np.float32], rate_hz: int, clip: Clip) -> NDArray[np.float32]:
    """[T] at the speaker's rate -> [T] at 16 kHz, in its room, with its noise and loudness."""
    resampler = Resampler(rate_hz, SAMPLE_RATE_HZ)
    samples = np.concatenate([resampler.push(spoken), resampler.flush()])
    samples = np.pad(samples, round(_SILENCE_S * SAMPLE_RATE_HZ))
    random = np.random.default_rng(clip.seed)
    if clip.reverb_s is not None:
        direct_db = random.uniform(*_DIRECT_DB)
        samples = reverberate(samples, decaying_response(clip.reverb_s, direct_db, random))
    if clip.snr_db is not None:
        noise = coloured_noise(len(samples), random.uniform(*_COLOURS), random)
        samples = add_noise(samples, noise, clip.snr_db)
    peak = max(float(np.abs(samples).max()), 1e-6)
    return (samples * (10 ** (clip.peak_db / 20) / peak)).astype(np.float32)
