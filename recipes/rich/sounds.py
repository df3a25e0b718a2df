"""Sounds that are made: music of chords and drums, noise of several colours."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.audio.augment import coloured_noise
from mooer.data.supervision import Utterance

RATE_HZ = 16_000
SECONDS = 5.0
CHORDS = ((0, 4, 7), (0, 3, 7), (5, 9, 12), (7, 11, 14), (9, 12, 16), (2, 5, 9))
Floats = NDArray[np.float32]


def music(out: Path, num: int, rng: np.random.Generator) -> Iterator[Utterance]:
    """Chords in a random key, with a tune above or drums beneath."""
    for number in range(num):
        yield _clip(out, f"music-{number:03}", _song(rng), "music")


def noise(out: Path, num: int, rng: np.random.Generator) -> Iterator[Utterance]:
    """Noise of any colour and loudness, and near silence: no event."""
    for number in range(num):
        samples = coloured_noise(round(SECONDS * RATE_HZ), float(rng.uniform(0, 2)), rng)
        level = 10 ** rng.uniform(-4, -1)
        yield _clip(out, f"noise-{number:03}", np.clip(samples * level, -1, 1), "none")


def write(path: Path, samples: Floats) -> Path:
    """A file of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def _clip(out: Path, name: str, samples: Floats, event: str) -> Utterance:
    path = write(out / "made" / f"{name}.wav", samples)
    return Utterance(
        name,
        str(path),
        duration_s=len(samples) / RATE_HZ,
        event=event,
        source="made",
        extra={"fold": -1},
    )


def _song(rng: np.random.Generator) -> Floats:
    total = np.zeros(round(SECONDS * RATE_HZ))
    beat_s = float(rng.uniform(0.25, 0.6))
    root, timbre = int(rng.integers(40, 60)), rng.uniform(0.3, 0.9)
    decay, with_drums = float(rng.uniform(0.5, 6)), rng.random() < 0.6
    with_tune, with_chords = rng.random() < 0.7, rng.random() < 0.8
    for beat in range(int(SECONDS / beat_s)):
        at = beat * beat_s
        chord = CHORDS[(beat // 4 + root) % len(CHORDS)]
        if with_chords or not with_tune:
            for step in chord:
                _add(total, at, _note(root + step, beat_s * 1.5, timbre, decay), 0.15)
        if with_tune:
            step = chord[int(rng.integers(3))] + 12 * int(rng.integers(1, 3))
            _add(total, at, _note(root + step, beat_s, timbre, decay), 0.25)
        if with_drums:
            size = round(0.08 * RATE_HZ)
            hit = rng.normal(size=size) * np.exp(-np.arange(size) / (0.02 * RATE_HZ))
            _add(total, at + (beat_s / 2 if beat % 2 else 0), hit, 0.2)
    peak = float(rng.uniform(0.2, 0.8)) / max(1e-6, float(np.abs(total).max()))
    return (total * peak).astype(np.float32)


def _note(pitch: int, length_s: float, timbre: float, decay: float) -> NDArray[np.float64]:
    seconds = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    hz = 440.0 * 2 ** ((pitch - 69) / 12)
    tone = sum(
        timbre**k * np.sin(2 * np.pi * hz * k * seconds) for k in range(1, 9) if hz * k < 7500
    )
    rise = np.minimum(1.0, seconds / 0.01)
    found: NDArray[np.float64] = np.asarray(tone) * rise * np.exp(-decay * seconds)
    return found


def _add(total: NDArray[np.float64], at_s: float, part: NDArray[np.float64], gain: float) -> None:
    begin = round(at_s * RATE_HZ)
    room = max(0, min(len(part), len(total) - begin))
    total[begin : begin + room] += gain * part[:room]
