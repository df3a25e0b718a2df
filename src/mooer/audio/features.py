"""From samples to the features that encoders were trained on.

- `log_mel`: Whisper's log-mel spectrogram (Radford et al. 2022, "Robust Speech Recognition via
  Large-Scale Weak Supervision", section 2.2), [M, F], 10 ms a frame.
- `kaldi_fbank`: Kaldi's filter bank (Povey et al. 2011, "The Kaldi Speech Recognition Toolkit"),
  [F, M], 10 ms a frame; `stack_frames` (low frame rate, Pundak and Sainath 2016, "Lower Frame
  Rate Neural Network Acoustic Models") and `apply_cmvn` make of it what Paraformer and
  SenseVoice read, 60 ms a frame: `paraformer_features`.

Samples are mono float32 at 16 kHz in [-1, 1] throughout.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.errors import AudioError, ModelError

Floats = NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
_FFT_SAMPLES = 400
_HOP_SAMPLES = 160
_QUARTER = _FFT_SAMPLES // 4 + 1  # 0 … 100, both ends included
_TILE_FRAMES = 25  # products so small stay in one thread: BLAS's own stall on a busy machine
_BLOCK_FRAMES = 500  # of all sizes tried the fastest: a block's arrays stay in the second cache


@dataclass(frozen=True)
class FeatureKind:
    """How a feature moves in time, declared once.

    `frame_s` is the step from a frame to the next, `window_s` what one frame sees.
    """

    name: str
    frame_s: float
    window_s: float

    @property
    def rate_hz(self) -> float:
        """Frames in a second.

        >>> PARAFORMER.rate_hz
        16.666666666666668
        """
        return 1.0 / self.frame_s


WHISPER = FeatureKind("whisper log-mel", frame_s=0.010, window_s=0.025)
KALDI = FeatureKind("kaldi fbank", frame_s=0.010, window_s=0.025)
PARAFORMER = FeatureKind("kaldi fbank, 7 frames stacked, every 6th", frame_s=0.060, window_s=0.085)


# ---------------------------------------------------------------- Whisper


@lru_cache(maxsize=4)
def mel_filters(num_mels: int = 80) -> Floats:
    """Triangular filters of equal area on Slaney's mel scale, from 0 to 8 kHz: [M, 201].

    The scale is linear to 1 kHz (200/3 Hz a mel) and logarithmic above (27 mels for a factor of
    6.4), as in Slaney 1998, "Auditory Toolbox, version 2", and in librosa.

    >>> mel_filters(80).shape
    (80, 201)
    """

    def to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    top_mel = 15 + 27 * np.log(8) / np.log(6.4)
    edges_hz = to_hz(np.linspace(0.0, top_mel, num_mels + 2))
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    bins_hz = np.arange(_FFT_SAMPLES // 2 + 1) * (SAMPLE_RATE_HZ / _FFT_SAMPLES)
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))
    filters.flags.writeable = False
    return filters.astype(np.float32)


@lru_cache(maxsize=1)
def _transforms() -> tuple[Floats, Floats]:
    """Window [2, 1, 101] and transforms [4, 101, 100] that `_mel_power` multiplies with.

    The 400-point transform of a frame is four small matrix products instead of an FFT: with
    a = x[n] ± x[400 - n] the cosine and the sine parts separate, and with a[n] ± a[200 - n] the
    even and the odd bins. Matrices of this size run at the full speed of BLAS, more than twice
    as fast as numpy's FFT; the log-mel stays within 5e-5 of one in float64.
    """
    n = np.arange(_QUARTER)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT_SAMPLES) / _FFT_SAMPLES)
    # Samples 0 and 200, and 100 and 300, meet themselves in the folds and would count twice.
    weight = np.where((n == 0) | (n == _QUARTER - 1), 0.5, 1.0)[:, None]
    even = 2 * n[:-1]  # without bin 200, which no filter reads
    phases = [2 * np.pi * np.outer(n, bins) / _FFT_SAMPLES for bins in (even, even + 1)]
    transforms = np.stack([part(phase) * weight for part in (np.cos, np.sin) for phase in phases])
    window = np.stack([hann[n], hann[200 - n]])[:, None, :]
    return window.astype(np.float32), transforms.astype(np.float32)


@lru_cache(maxsize=4)
def _bands(num_mels: int) -> list[tuple[slice, list[tuple[slice, Floats]]]]:
    """The mel filters cut into bands: (mels, for even and odd bins (bins, filters [b, m])).

    A filter is zero but for a few bins, the lower the fewer: two bands halve the products, and
    more would be too small for BLAS.
    """
    filters = mel_filters(num_mels)
    bands = []
    for mels in (slice(0, num_mels // 2), slice(num_mels // 2, num_mels)):
        halves = []
        for parity in (0, 1):
            half = filters[mels, parity::2]
            used = np.flatnonzero(half.any(axis=0))
            bins = slice(int(used[0]), int(used[-1]) + 1)
            halves.append((bins, np.ascontiguousarray(half[:, bins].T)))
        bands.append((mels, halves))
    return bands


def log_mel(samples: Floats, num_mels: int = 80, pad_to_s: float | None = None) -> Floats:
    """Whisper's log-mel spectrogram: [M, F] float32, 10 ms a frame, F = T // 160.

    Frames of 25 ms under a periodic Hann window, the first centred on sample 0 (the ends are
    mirrored), power, mel filters, log10 with a floor of 1e-10, cut at 8 decades below the
    loudest value, then (x + 4) / 4. `num_mels` is 80, or 128 for large-v3. `pad_to_s` adds
    silence to that length first (Whisper's own windows are 30 s); longer samples stay as they
    are. Equal windows gain nothing from being computed together: blocks of frames already fill
    the cache.

    >>> log_mel(np.zeros(16_000, np.float32)).shape
    (80, 100)
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1:
        raise AudioError(f"log_mel takes mono samples [T], got an array of shape {samples.shape}")
    num_samples = len(samples)
    if pad_to_s is not None:
        num_samples = max(num_samples, round(pad_to_s * SAMPLE_RATE_HZ))
    num_frames = num_samples // _HOP_SAMPLES
    mels = np.full((num_mels, num_frames), 1e-10, np.float32)
    if num_frames == 0:
        return mels
    # Frames that see nothing but the added silence have the floor's value already.
    half = _FFT_SAMPLES // 2
    num_heard = min(num_frames, -(-(len(samples) + half) // _HOP_SAMPLES))
    silence = min(num_samples - len(samples), num_heard * _HOP_SAMPLES + half)
    sound = np.concatenate([samples, np.zeros(silence, np.float32)]) if silence else samples
    _mel_power(np.pad(sound, half, mode="reflect"), mels[:, :num_heard])
    np.maximum(mels, 1e-10, out=mels)
    np.log(mels, out=mels)  # unlike log10 it is vectorised
    mels *= np.float32(0.25 / np.log(10))
    np.maximum(mels, mels.max() - 2.0, out=mels)
    mels += 1.0
    return mels


def mel_power(samples: Floats, num_mels: int = 40) -> Floats:
    """Power in mel bands: [M, F] float32, F = 1 + T // 160, silence before and after the sound.

    Frames, window and filters are those of `log_mel`, without its logarithm.

    >>> mel_power(np.zeros(16_000, np.float32)).shape
    (40, 101)
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1:
        raise AudioError(f"mel_power takes mono samples [T], got an array of shape {samples.shape}")
    mels = np.zeros((num_mels, 1 + len(samples) // _HOP_SAMPLES), np.float32)
    _mel_power(np.pad(samples, _FFT_SAMPLES // 2), mels)
    return mels


def _mel_power(padded: Floats, out: Floats) -> None:
    """Write the mel power of `padded` [200 + T + 200] into `out` [M, F]."""
    window, transforms = _transforms()
    num_frames = out.shape[1]
    size = min(_BLOCK_FRAMES, -(-num_frames // _TILE_FRAMES) * _TILE_FRAMES)
    backward = padded[::-1].copy()  # numpy reads this faster than `padded` with a step of -1
    last = len(padded) - 1
    # x[n], x[400 - n] and x[200 + n], x[200 - n] of each frame, n = 0 … 100
    pairs = [
        (_frames(padded, 0, num_frames, 1), _frames(backward, last - 400, num_frames, -1)),
        (_frames(padded, 200, num_frames, 1), _frames(backward, last - 200, num_frames, -1)),
    ]
    plus, minus = np.zeros((2, 2, size, _QUARTER), np.float32)
    folded = np.empty((4, size, _QUARTER), np.float32)
    bins = np.empty((4, size, _QUARTER - 1), np.float32)
    tiled = (4, size // _TILE_FRAMES, _TILE_FRAMES, -1)
    for start in range(0, num_frames, size):
        rows = min(size, num_frames - start)
        for i, (ahead, back) in enumerate(pairs):
            a, b = ahead[start : start + rows], back[start : start + rows]
            np.add(a, b, out=plus[i, :rows])
            np.subtract(a, b, out=minus[i, :rows])
        plus *= window
        minus *= window
        np.add(plus[0], plus[1], out=folded[0])
        np.subtract(plus[0], plus[1], out=folded[1])
        # minus[1] is x[200 + n] - x[200 - n], hence the signs are the other way round.
        np.add(minus[0], minus[1], out=folded[2])
        np.subtract(minus[0], minus[1], out=folded[3])
        np.matmul(folded.reshape(tiled), transforms[:, None], out=bins.reshape(tiled))
        bins *= bins
        power = bins[:2]
        power += bins[2:]
        tiles = power.reshape(2, *tiled[1:])
        for mels, ((even, even_filters), (odd, odd_filters)) in _bands(out.shape[0]):
            band = tiles[0, ..., even] @ even_filters
            band += tiles[1, ..., odd] @ odd_filters
            out[mels, start : start + rows] = band.reshape(size, -1)[:rows].T


def _frames(signal: Floats, first: int, num_frames: int, direction: int) -> Floats:
    """View [F, 101] of `signal`: each frame begins a hop after, or before, the last."""
    step = signal.strides[0]
    strides = (direction * _HOP_SAMPLES * step, step)
    return np.lib.stride_tricks.as_strided(signal[first:], (num_frames, _QUARTER), strides)


# ---------------------------------------------------------------- Kaldi


def kaldi_fbank(
    samples: Floats,
    num_mels: int = 80,
    *,
    window: str = "hamming",
    scale_16_bit: bool = True,
    snip_edges: bool = True,
) -> Floats:
    """Kaldi's log filter bank: [F, M] float32, 25 ms windows every 10 ms, no dither.

    `window` is "hamming" for Paraformer and SenseVoice, "povey" for Kaldi's own models.
    `scale_16_bit` multiplies by 32768, for networks trained on integer samples. With
    `snip_edges` only frames that lie wholly inside count: F = 1 + (T - 400) // 160, 0 for less
    than 25 ms. Everything else is Kaldi's default: pre-emphasis 0.97, no DC, 20 Hz to 8 kHz.

    >>> kaldi_fbank(np.zeros(16_000, np.float32)).shape
    (98, 80)
    """
    import kaldi_native_fbank as knf

    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1:
        raise AudioError(
            f"kaldi_fbank takes mono samples [T], got an array of shape {samples.shape}"
        )
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = window
    options.frame_opts.snip_edges = snip_edges
    options.mel_opts.num_bins = num_mels
    options.energy_floor = 0.0
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(SAMPLE_RATE_HZ, (samples * 32768.0 if scale_16_bit else samples).tolist())
    fbank.input_finished()
    if fbank.num_frames_ready == 0:
        return np.zeros((0, num_mels), np.float32)
    return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])


def stack_frames(x: Floats, num_stack: int = 7, stride: int = 6) -> Floats:
    """Stack `num_stack` neighbours of every `stride`-th frame: [F, M] -> [ceil(F / stride), D].

    D is num_stack * M. Output frame i holds the frames around i * stride, so the left edge
    repeats the first frame (num_stack - 1) // 2 times, and the right edge the last as often as
    needed (FunASR's LFR).

    >>> stack_frames(np.arange(4, dtype=np.float32)[:, None], 3, 2)
    array([[0., 0., 1.],
           [1., 2., 3.]], dtype=float32)
    """
    num_frames = len(x)
    num_out = -(-num_frames // stride)
    left = (num_stack - 1) // 2
    source = np.arange(num_out)[:, None] * stride + np.arange(num_stack) - left
    stacked: Floats = x[np.clip(source, 0, max(0, num_frames - 1))]
    return stacked.reshape(num_out, num_stack * x.shape[1])


@dataclass(frozen=True)
class Cmvn:
    """Mean and variance normalisation: (x + shift) * scale, both [D]."""

    shift: Floats
    scale: Floats


def load_cmvn(path: str | os.PathLike[str]) -> Cmvn:
    """Read a Kaldi `am.mvn` text file: the bracketed vectors of <AddShift> and <Rescale>.

    Raises `ModelError` if a vector is missing, is not made of numbers, or if the two differ in
    length.
    """
    try:
        words = Path(path).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the CMVN file {path} cannot be read ({error}): fetch it again") from None
    vectors = []
    for tag in ("<AddShift>", "<Rescale>"):
        try:
            start = words.index("[", words.index(tag)) + 1
            vector = np.array(words[start : words.index("]", start)], np.float32)
        except ValueError:
            raise ModelError(
                f"the CMVN file {path} has no vector of numbers after {tag}: fetch it again"
            ) from None
        vectors.append(vector)
    shift, scale = vectors
    if len(shift) != len(scale) or len(shift) == 0:
        raise ModelError(
            f"the CMVN file {path} has {len(shift)} shifts but {len(scale)} scales: fetch it again"
        )
    return Cmvn(shift, scale)


def apply_cmvn(x: Floats, cmvn: Cmvn) -> Floats:
    """Normalise [F, D] by (x + shift) * scale; `ModelError` if D is not the file's."""
    if x.shape[-1] != len(cmvn.shift):
        raise ModelError(
            f"features of width {x.shape[-1]} do not fit a CMVN of width {len(cmvn.shift)}: "
            f"use the am.mvn that came with the model"
        )
    return (x + cmvn.shift) * cmvn.scale


def paraformer_features(samples: Floats, cmvn: Cmvn) -> Floats:
    """What Paraformer and SenseVoice read: [ceil(F / 6), 560] float32, 60 ms a frame."""
    return apply_cmvn(stack_frames(kaldi_fbank(samples)), cmvn)
