"""Whose voice it is, as a vector: Resemblyzer's encoder without torch.

Wan et al. 2018, "Generalized End-to-End Loss for Speaker Verification": three layers of LSTM over
1.6 s of mel power, the last state through one linear layer, of unit length. Two voices are compared
by the product of their vectors. Weights: https://github.com/resemble-ai/Resemblyzer (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.audio.features import mel_power
from mooer.engines.lstm import Lstm
from mooer.errors import AudioError, ModelError
from mooer.store.pickled import read_pickled

Floats = NDArray[np.float32]

FILE = "pretrained.pt"
WIDTH = 256  # of a voice
PART_FRAMES = 160  # 1.6 s, what the network was trained on
_NUM_MELS = 40
_HOP_SAMPLES = 160
_STEP_FRAMES = 77  # between parts: 1.3 parts a second
_MIN_COVERAGE = 0.75  # a last part with less sound in it is left out
_LOUDNESS = 10 ** (-30 / 20)  # root mean square that a quiet sound is raised to
_BATCH = 64
_NUM_LAYERS = 3


class SpeakerEncoder:
    """The network in numpy. ModelError if the folder does not hold it."""

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        arrays = read_pickled(path, "model_state")
        try:
            self._lstm = Lstm(arrays, "lstm", _NUM_LAYERS)
            self._weight = arrays["linear.weight"].T.astype(np.float32)
            self._bias = arrays["linear.bias"].astype(np.float32)
            if arrays["lstm.weight_ih_l0"].shape[1] != _NUM_MELS:
                raise ValueError(f"it reads {arrays['lstm.weight_ih_l0'].shape[1]} mels")
            if self._weight.shape != (self._lstm.width, WIDTH):
                raise ValueError(f"its last layer is {self._weight.shape}")
        except (KeyError, ValueError) as error:
            raise ModelError(f"{path} is no voice encoder of Resemblyzer ({error})") from None

    def __call__(self, sounds: Sequence[Floats], *, step_frames: int = _STEP_FRAMES) -> Floats:
        """Voices [N, 256] of N sounds [T] at 16 kHz, each of one person; of unit length.

        A sound is heard in parts of 1.6 s, every `step_frames` of 10 ms; its voice is their mean.
        One that is shorter ends in silence. AudioError for a sound of no samples.
        """
        held: list[Floats] = []
        owners: list[int] = []
        voices = np.zeros((len(sounds), WIDTH), np.float32)
        for i, sound in enumerate(sounds):
            for part in _parts(sound, step_frames):
                held.append(part)
                owners.append(i)
                if len(held) == _BATCH:
                    np.add.at(voices, owners, self._voices(held))
                    held, owners = [], []
        if held:
            np.add.at(voices, owners, self._voices(held))
        return _of_unit_length(voices)

    def _voices(self, parts: Sequence[Floats]) -> Floats:
        last = self._lstm(np.stack(parts, axis=1))[-1]
        return _of_unit_length(np.maximum(last @ self._weight + self._bias, 0.0))


def _of_unit_length(x: Floats) -> Floats:
    """[N, D]; a vector of zeros stays what it is."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    found: Floats = x / np.where(norm > 0, norm, np.float32(1))
    return found


def _parts(sound: Floats, step_frames: int) -> Iterator[Floats]:
    """Mel power [160, 40] of the parts of a sound [T]."""
    if not len(sound):
        raise AudioError("a sound of no samples has no voice")
    starts = part_starts(len(sound), step_frames)
    end = (starts[-1] + PART_FRAMES) * _HOP_SAMPLES
    padded = np.zeros(max(end, len(sound)), np.float32)
    padded[: len(sound)] = raised(sound)
    mels = mel_power(padded, _NUM_MELS).T
    for start in starts:
        yield mels[start : start + PART_FRAMES]


def raised(sound: Floats) -> Floats:
    """A quiet sound [T] at the loudness that the network knows; a loud one as it is."""
    power = float(np.mean(np.square(sound, dtype=np.float64)))
    gain = _LOUDNESS / np.sqrt(power) if power > 0 else 1.0
    return sound * np.float32(gain) if gain > 1 else sound


def part_starts(num_samples: int, step_frames: int = _STEP_FRAMES) -> list[int]:
    """First frames of the parts of a sound: there is one at least.

    >>> part_starts(16_000), part_starts(48_000)
    ([0], [0, 77, 154])
    """
    num_frames = -(-(num_samples + 1) // _HOP_SAMPLES)
    starts = list(range(0, max(1, num_frames - PART_FRAMES + step_frames + 1), step_frames))
    heard = num_samples / _HOP_SAMPLES - starts[-1]
    if heard < _MIN_COVERAGE * PART_FRAMES and len(starts) > 1:
        starts.pop()
    return starts
