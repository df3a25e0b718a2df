"""From samples to the features that an encoder declares it reads."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.audio.features import (
    SAMPLE_RATE_HZ,
    Cmvn,
    apply_cmvn,
    kaldi_fbank,
    log_mel,
    stack_frames,
)
from mooer.errors import AudioError, ModelError

Samples = NDArray[np.float32]

_WINDOW_SAMPLES = 400
_HOP_SAMPLES = 160


class Frontend(Protocol):
    """Samples [T] at 16 kHz in, features [F, M] out."""

    num_mels: int  # M, after stacking

    def num_features(self, num_samples: int) -> int:
        """Feature frames F of so many samples; 0 if they are too few for one."""
        ...

    def __call__(self, samples: Samples) -> Samples:
        """Features [F, M]. AudioError if the samples are too few for one frame."""
        ...


class KaldiLfr:
    """Kaldi's filter bank, neighbours stacked, every 6th kept (LFR), normalised: Paraformer, MooER.

    80 mels under a Hamming window, 7 frames stacked, 60 ms a frame: F = ceil((1 + (T - 400) // 160)
    / 6), M = 560. `cmvn` is the model's am.mvn; without it features stay as they are.

    >>> KaldiLfr().num_features(16_000), KaldiLfr().num_mels
    (17, 560)
    """

    def __init__(
        self, cmvn: Cmvn | None = None, *, num_mels: int = 80, num_stack: int = 7, stride: int = 6
    ) -> None:
        self.num_mels = num_mels * num_stack
        if cmvn is not None and len(cmvn.shift) != self.num_mels:
            raise ModelError(
                f"the CMVN normalises {len(cmvn.shift)} values, but the front end makes "
                f"{self.num_mels} ({num_mels} mels x {num_stack} frames): "
                f"use the am.mvn that came with the model"
            )
        self._cmvn = cmvn
        self._num_bands = num_mels
        self._num_stack = num_stack
        self._stride = stride

    def num_features(self, num_samples: int) -> int:
        """Stacked frames of so many samples; 0 for less than 25 ms."""
        return -(-_num_whole_frames(num_samples) // self._stride)

    def __call__(self, samples: Samples) -> Samples:
        """Features [F, M] of samples [T]."""
        _refuse_shorter(samples, _WINDOW_SAMPLES)
        stacked = stack_frames(kaldi_fbank(samples, self._num_bands), self._num_stack, self._stride)
        return stacked if self._cmvn is None else apply_cmvn(stacked, self._cmvn)


class LogMel:
    """Whisper's log-mel of the samples as long as they are: 10 ms a frame, F = T // 160.

    `num_mels` is 80, or 128 for large-v3. With `pad_to_s` silence is added up to that length, as
    in Whisper's own training (30 s); longer samples stay as they are.

    >>> LogMel().num_features(16_000), LogMel(pad_to_s=30).num_features(16_000)
    (100, 3000)
    """

    def __init__(self, num_mels: int = 80, *, pad_to_s: float | None = None) -> None:
        self.num_mels = num_mels
        self._pad_to_s = pad_to_s

    def num_features(self, num_samples: int) -> int:
        """Frames of so many samples, the padding included; 0 for less than 10 ms."""
        if self._pad_to_s is not None and num_samples >= _HOP_SAMPLES:
            num_samples = max(num_samples, round(self._pad_to_s * SAMPLE_RATE_HZ))
        return num_samples // _HOP_SAMPLES

    def __call__(self, samples: Samples) -> Samples:
        """Features [F, M] of samples [T]."""
        _refuse_shorter(samples, _HOP_SAMPLES)
        return np.ascontiguousarray(log_mel(samples, self.num_mels, self._pad_to_s).T)


class NormalizedFbank:
    """Kaldi's filter bank, each mel of an utterance at mean 0 and variance 1, frames in pairs.

    What wav2vec2-BERT 2.0 reads (Seamless Communication 2023, "Seamless: Multilingual Expressive
    and Streaming Speech Translation"): 80 mels under a Povey window, 20 ms a frame, M = 160.

    >>> NormalizedFbank().num_features(16_000), NormalizedFbank().num_mels
    (49, 160)
    """

    def __init__(self, num_mels: int = 80, *, num_stack: int = 2) -> None:
        self.num_mels = num_mels * num_stack
        self._num_bands = num_mels
        self._num_stack = num_stack

    def num_features(self, num_samples: int) -> int:
        """Stacked frames of so many samples; what is left of the last stack is dropped."""
        return _num_whole_frames(num_samples) // self._num_stack

    def __call__(self, samples: Samples) -> Samples:
        """Features [F, M] of samples [T]."""
        _refuse_shorter(samples, _WINDOW_SAMPLES + (self._num_stack - 1) * _HOP_SAMPLES)
        frames = kaldi_fbank(samples, self._num_bands, window="povey")
        deviation = np.sqrt(frames.var(axis=0, ddof=1) + 1e-7)
        normal: Samples = ((frames - frames.mean(axis=0)) / deviation).astype(np.float32)
        num_out = len(frames) // self._num_stack
        return normal[: num_out * self._num_stack].reshape(num_out, self.num_mels)


class Waveform:
    """The samples themselves, [T, 1], for encoders that learn their own filters (HuBERT).

    `normalize` brings an utterance to mean 0 and variance 1, as HuBERT large was trained.
    `min_samples` is what the encoder needs for one frame.

    >>> Waveform()(np.ones(400, np.float32)).shape
    (400, 1)
    """

    num_mels = 1

    def __init__(self, *, normalize: bool = True, min_samples: int = 400) -> None:
        self._normalize = normalize
        self._min_samples = min_samples

    def num_features(self, num_samples: int) -> int:
        """As many as there are samples; 0 if they are too few for the encoder."""
        return num_samples if num_samples >= self._min_samples else 0

    def __call__(self, samples: Samples) -> Samples:
        """Features [T, 1] of samples [T]."""
        _refuse_shorter(samples, self._min_samples)
        sound = np.asarray(samples, np.float32)
        if self._normalize:
            sound = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
        return sound[:, None].astype(np.float32)


def _num_whole_frames(num_samples: int) -> int:
    """Kaldi's frames of 25 ms every 10 ms that lie wholly inside."""
    return max(0, 1 + (num_samples - _WINDOW_SAMPLES) // _HOP_SAMPLES)


def _refuse_shorter(samples: Samples, min_samples: int) -> None:
    if np.ndim(samples) != 1:
        raise AudioError(f"features are made of mono samples [T], got shape {np.shape(samples)}")
    if len(samples) < min_samples:
        raise AudioError(
            f"the recording has {len(samples)} samples "
            f"({len(samples) / SAMPLE_RATE_HZ * 1000:.1f} ms), but one frame of features takes "
            f"{min_samples}: leave it out"
        )
