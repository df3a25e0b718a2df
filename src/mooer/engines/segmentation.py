"""Who speaks when within a few seconds, up to three at once: pyannote's network without torch.

Bredin and Laurent 2021, "End-to-end speaker segmentation for overlap-aware resegmentation": band
pass filters (Ravanelli and Bengio 2018, "Speaker recognition from raw waveform with SincNet"),
four layers of LSTM both ways, and for each of three speakers a probability every 17 ms. Which
speaker is which is not told from one window to another. Weights: https://github.com/m-bain/whisperX
carries those of pyannote/segmentation (MIT).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.engines.lstm import Lstm
from mooer.errors import AudioError, ModelError
from mooer.store.pickled import read_pickled

Floats = NDArray[np.float32]

FILE = "pytorch_model.bin"
NUM_LOCAL = 3  # speakers that one window can tell apart
WINDOW_SAMPLES = 80_000  # 5 s, what the network was trained on
FRAME_SAMPLES = 270  # from a frame to the next: 16.9 ms at 16 kHz
FIRST_CENTRE_SAMPLES = 495  # middle of what the first frame sees
MIN_SAMPLES = 991  # what one frame sees
_SINC_STRIDE = 10
_POOL = 3
_SAMPLE_RATE_HZ = 16_000
_MIN_HZ = 50.0  # lowest frequency, and narrowest band, of a filter
_NUM_LSTM_LAYERS = 4
_EPS = 1e-5
_SLOPE = 0.01  # of leaky ReLU below zero
# Of what stands beside the weights in the file, and is not needed.
_PASSED_OVER = ("omegaconf", "pyannote", "typing", "collections", "torch", "__builtin__")


def num_frames(num_samples: int) -> int:
    """Frames of a window.

    >>> num_frames(WINDOW_SAMPLES), num_frames(MIN_SAMPLES)
    (293, 1)
    """
    return max(0, (num_samples - MIN_SAMPLES) // FRAME_SAMPLES + 1)


class SpeakerSegmenter:
    """The network in numpy. ModelError if the folder does not hold it."""

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        arrays = read_pickled(path, "state_dict", passed_over=_PASSED_OVER)
        try:
            self._norms = [_norm(arrays, name) for name in ("wav_norm1d", *_numbered("norm1d"))]
            self._sinc = _band_passes(arrays)
            self._convolutions = [
                (
                    [np.ascontiguousarray(tap.T) for tap in np.moveaxis(weight, 2, 0)],
                    arrays[f"sincnet.conv1d.{i}.bias"],
                )
                for i in (1, 2)
                for weight in (arrays[f"sincnet.conv1d.{i}.weight"],)
            ]
            self._lstm = Lstm(arrays, "lstm", _NUM_LSTM_LAYERS)
            self._linear = [
                (np.ascontiguousarray(arrays[f"{name}.weight"].T), arrays[f"{name}.bias"])
                for name in ("linear.0", "linear.1", "classifier")
            ]
            if self._linear[-1][1].shape != (NUM_LOCAL,):
                raise ValueError(f"it tells {self._linear[-1][1].shape} speakers")
        except (KeyError, ValueError, IndexError) as error:
            raise ModelError(f"{path} is no segmentation network of pyannote ({error})") from None

    def __call__(self, windows: Floats) -> Floats:
        """Probabilities [B, F, 3] that each speaker is heard in windows [B, T] at 16 kHz.

        AudioError for windows of less than 62 ms, which have no frame.
        """
        if windows.shape[1] < MIN_SAMPLES:
            raise AudioError(f"a window of {windows.shape[1]} samples is too short to be segmented")
        x = self._lstm(np.stack([self._filtered(window) for window in windows], axis=1))
        for weight, bias in self._linear[:-1]:
            x = _leaky(x @ weight + bias)
        weight, bias = self._linear[-1]
        scores = x @ weight + bias
        probs: Floats = (0.5 * np.tanh(0.5 * scores) + 0.5).transpose(1, 0, 2)
        return probs

    def _filtered(self, window: Floats) -> Floats:
        """A window [T] as frames [F, 60]."""
        wave = _normed(window[:, None], self._norms[0])[:, 0]
        size = self._sinc.shape[0]
        seen = np.lib.stride_tricks.sliding_window_view(wave, size)[::_SINC_STRIDE]
        x = np.abs(seen @ self._sinc)
        x = _leaky(_normed(_pooled(x), self._norms[1]))
        for (taps, bias), norm in zip(self._convolutions, self._norms[2:], strict=True):
            length = len(x) - len(taps) + 1
            total = np.tile(bias, (length, 1))
            for place, tap in enumerate(taps):
                total += x[place : place + length] @ tap
            x = _leaky(_normed(_pooled(total), norm))
        return x


def _numbered(name: str) -> list[str]:
    return [f"{name}.{i}" for i in range(3)]


def _norm(arrays: Mapping[str, NDArray[Any]], name: str) -> tuple[Floats, Floats]:
    return arrays[f"sincnet.{name}.weight"], arrays[f"sincnet.{name}.bias"]


def _normed(x: Floats, norm: tuple[Floats, Floats]) -> Floats:
    """[F, C] of mean 0 and variance 1 in each channel, then scaled and moved."""
    weight, bias = norm
    centred: Floats = x - x.mean(axis=0)
    scale = weight / np.sqrt(np.square(centred).mean(axis=0) + _EPS)
    centred *= scale.astype(np.float32)
    centred += bias
    return centred


def _pooled(x: Floats) -> Floats:
    """[F, C] to the largest of each three frames."""
    whole = x[: len(x) // _POOL * _POOL].reshape(-1, _POOL, x.shape[1])
    pooled: Floats = whole.max(axis=1)
    return pooled


def _leaky(x: Floats) -> Floats:
    found: Floats = np.maximum(x, _SLOPE * x)
    return found


def _band_passes(arrays: Mapping[str, NDArray[Any]]) -> Floats:
    """Filters [251, 80]: each band as a cosine and as a sine, of learnt edges, under a window.

    Phases reach 390 radians, and are rounded to float32 as they were in training: exact ones would
    move probabilities by 0.002.
    """
    name = "sincnet.conv1d.0.filterbank."
    low_hz = np.float32(_MIN_HZ) + np.abs(arrays[name + "low_hz_"])
    band_hz = np.float32(_MIN_HZ) + np.abs(arrays[name + "band_hz_"])
    high_hz = np.clip(low_hz + band_hz, _MIN_HZ, _SAMPLE_RATE_HZ / 2)
    angle = arrays[name + "n_"]  # of 1 Hz, at each sample before the middle
    low, high = (low_hz * angle).astype(np.float64), (high_hz * angle).astype(np.float64)
    shape = arrays[name + "window_"] / (angle / 2).astype(np.float64)
    cosine = (np.sin(high) - np.sin(low)) * shape
    sine = (np.cos(low) - np.cos(high)) * shape
    width = high_hz - low_hz
    whole = np.concatenate(
        [
            np.concatenate([cosine, 2 * width, cosine[:, ::-1]], axis=1),
            np.concatenate([sine, 0 * width, -sine[:, ::-1]], axis=1),
        ]
    )
    return np.ascontiguousarray((whole / (2 * np.tile(width, (2, 1)))).T, np.float32)
