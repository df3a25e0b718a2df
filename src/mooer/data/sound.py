"""The samples of an utterance, from a file, a part of one, or a member of a shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ, Wave, open_wave, read_wave
from mooer.data.supervision import Utterance
from mooer.data.tar import Member, read_member
from mooer.errors import AudioError, ManifestError


def read_sound(utterance: Utterance, data: bytes | None = None) -> NDArray[np.float32]:
    """Float32 [T] at 16 kHz, mono. `data` is the file's bytes, if they are at hand.

    With `start_s` it is that part of the recording, otherwise the whole. AudioError if it cannot
    be read or has nothing there; ManifestError if a shard does not hold it.
    """
    source = data if data is not None else file_bytes(utterance)
    if utterance.start_s is None:
        return read_wave(source)
    samples = read_wave(source, max_s=utterance.end_s)
    part = samples[round(utterance.start_s * SAMPLE_RATE_HZ) :]
    return part if len(part) else _beyond(utterance, len(samples))


def recordings(utterance: Utterance) -> tuple[Utterance, ...]:
    """The utterance once for each of its recordings, in the order in which they are heard."""
    if not utterance.more_audio:
        return (utterance,)
    alone = replace(utterance, more_audio=None, duration_s=None)
    return (alone, *(replace(alone, audio=path) for path in utterance.more_audio))


def _beyond(utterance: Utterance, num_samples: int) -> NoReturn:
    raise AudioError(
        f"{utterance.audio} has {num_samples / SAMPLE_RATE_HZ:.2f} s, but {utterance.id} "
        f"begins at {utterance.start_s:.2f} s"
    )


class PartReader:
    """`read_sound` for many parts of long recordings: what lies in order is decoded once.

    The recording of the last part stays open, and little of it in memory; a part further back
    begins anew. Close it at the end.
    """

    def __init__(self) -> None:
        self._audio: str | None = None
        self._wave: Wave | None = None
        self._blocks: Iterator[NDArray[np.float32]] = iter(())
        self._ready = np.zeros(0, np.float32)
        self._first = 0  # where `_ready` begins in the recording

    def __call__(self, utterance: Utterance) -> NDArray[np.float32]:
        """The same samples, and the same errors, as `read_sound`."""
        if utterance.start_s is None or utterance.end_s is None or utterance.shard is not None:
            return read_sound(utterance)
        start = round(utterance.start_s * SAMPLE_RATE_HZ)
        end = round(utterance.end_s * SAMPLE_RATE_HZ)
        if utterance.audio != self._audio or start < self._first:
            self._open(utterance.audio)
        try:
            while self._first + len(self._ready) < end:
                block = next(self._blocks)
                kept = self._ready[max(0, start - self._first) :]
                self._first += len(self._ready) - len(kept)
                self._ready = np.concatenate([kept, block])
        except StopIteration:
            pass
        except AudioError:
            self.close()
            raise
        part = self._ready[max(0, start - self._first) : end - self._first]
        return part if len(part) else _beyond(utterance, self._first + len(self._ready))

    def _open(self, audio: str) -> None:
        self.close()
        self._wave = open_wave(audio)
        self._blocks = self._wave.blocks()
        self._audio = audio

    def close(self) -> None:
        """Close the recording that is open."""
        if self._wave is not None:
            self._wave.close()
        self._audio, self._wave, self._blocks = None, None, iter(())
        self._ready, self._first = np.zeros(0, np.float32), 0


def file_bytes(utterance: Utterance) -> bytes | str:
    """What `read_wave` reads: the path, or the bytes of the member of a shard."""
    if utterance.shard is None:
        return utterance.audio
    try:
        with Path(utterance.shard).open("rb") as file:
            return read_member(file, member_of(utterance), utterance.shard)
    except OSError as error:
        raise ManifestError(f"cannot read {utterance.shard}: {error.strerror or error}") from error


def member_of(utterance: Utterance) -> Member:
    """Where an utterance stands in its shard."""
    assert utterance.offset_bytes is not None
    assert utterance.num_bytes is not None
    return Member(utterance.audio, utterance.offset_bytes, utterance.num_bytes)
