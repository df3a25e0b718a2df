"""The samples of an utterance, from a file, a part of one, or a member of a shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ, read_wave
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
    if not len(part):
        raise AudioError(
            f"{utterance.audio} has {len(samples) / SAMPLE_RATE_HZ:.2f} s, but {utterance.id} "
            f"begins at {utterance.start_s:.2f} s"
        )
    return part


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
