"""Silero voice activity detection over a stream of blocks (https://github.com/snakers4/silero-vad).

The sequence export of the model is used: many 32 ms steps in one call, the LSTM state handed from
call to call, so that an hour costs seconds and memory does not grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError

FRAME_SAMPLES = 512  # 32 ms at 16 kHz, the step of the model
_CONTEXT_SAMPLES = 64  # tail of the previous frame that each frame is shown with
_SAMPLES_PER_S = 16_000

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class VadOptions:
    """When speech begins and ends."""

    threshold: float = 0.5  # probability at which speech begins
    release: float = 0.35  # probability under which silence begins
    min_speech_s: float = 0.1  # shorter bursts are no speech
    min_silence_s: float = 0.16  # shorter silences are part of speech
    pad_s: float = 0.4  # kept before and after speech


@dataclass(frozen=True)
class Span:
    """A stretch of speech: where it begins in the input, and its samples [T] at 16 kHz."""

    start_sample: int
    samples: Samples
    speech_prob: float  # mean over its frames

    @property
    def end_sample(self) -> int:
        """First sample after it."""
        return self.start_sample + len(self.samples)


class SpeechProbability(Protocol):
    """What tells how probably frames are speech: `SpeechModel`, or what stands in for it."""

    def start(self) -> Any:
        """State of a stream that has not begun."""
        ...

    def step(self, frames: Samples, state: Any) -> tuple[Samples, Any]:
        """Probabilities [N] of frames [N, 512] at 16 kHz, and the state after them."""
        ...


class SpeechModel:
    """Speech probability of every 32 ms; keeps no state between recordings."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has no base class of its own
            raise ModelError(f"{path} is not a usable VAD model: {error}") from error

    def start(self) -> _State:
        """State of a recording that has not begun."""
        zero = np.zeros((1, 1, 128), np.float32)
        return _State(zero, zero, np.zeros(_CONTEXT_SAMPLES, np.float32))

    def step(self, frames: Samples, state: _State) -> tuple[Samples, _State]:
        """Probabilities [N] of `frames` [N, 512] that follow those which gave `state`."""
        context = np.empty((len(frames), _CONTEXT_SAMPLES), np.float32)
        context[0] = state.context
        context[1:] = frames[:-1, -_CONTEXT_SAMPLES:]
        probs, hidden, cell = self._session.run(
            ["speech_probs", "hn", "cn"],
            {
                "input": np.concatenate([context, frames], axis=1),
                "h": state.hidden,
                "c": state.cell,
            },
        )
        return probs.reshape(-1), _State(hidden, cell, frames[-1, -_CONTEXT_SAMPLES:].copy())


@dataclass(frozen=True)
class _State:
    hidden: Samples
    cell: Samples
    context: Samples


class SpeechStream:
    """Speech probabilities of samples that come in pieces of any length."""

    def __init__(self, model: SpeechProbability) -> None:
        self._model = model
        self._state = model.start()
        self._rest = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> list[tuple[Samples, float]]:
        """The frames [512] that are whole now, each with its probability."""
        joined = np.concatenate([self._rest, samples])
        num_whole = len(joined) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = joined[num_whole:]
        if not num_whole:
            return []
        frames = joined[:num_whole].reshape(-1, FRAME_SAMPLES)
        probs, self._state = self._model.step(frames, self._state)
        return list(zip(frames, probs.tolist(), strict=True))

    def flush(self) -> list[tuple[Samples, float]]:
        """What is left, filled up with silence; the next samples are those of another recording."""
        missing = -len(self._rest) % FRAME_SAMPLES
        found = self.push(np.zeros(missing, np.float32)) if missing else []
        self._state = self._model.start()
        return found


def speech_spans(
    blocks: Iterable[Samples],
    model: SpeechModel,
    options: VadOptions | None = None,
    *,
    max_s: float = 30.0,
) -> Iterator[Span]:
    """Spans of speech in a stream of blocks [T] at 16 kHz, padded, in order, without overlap.

    A span longer than `max_s` is cut where speech is least probable in its second half. Held in
    memory: one span, and one block.
    """
    tracker = _Tracker(options or VadOptions(), max_frames=int(max_s * _SAMPLES_PER_S) // 512)
    state = model.start()
    for frames in _framed(blocks):
        probs, state = model.step(frames, state)
        for frame, prob in zip(frames, probs.tolist(), strict=True):
            if span := tracker.push(frame, prob):
                yield span
    if span := tracker.finish():
        yield span


def _framed(blocks: Iterable[Samples]) -> Iterator[Samples]:
    rest = np.zeros(0, np.float32)
    for block in blocks:
        samples = np.concatenate([rest, block]) if len(rest) else block
        num_whole = len(samples) // FRAME_SAMPLES
        rest = samples[num_whole * FRAME_SAMPLES :]
        if num_whole:
            yield samples[: num_whole * FRAME_SAMPLES].reshape(num_whole, FRAME_SAMPLES)
    if len(rest):
        yield np.pad(rest, (0, FRAME_SAMPLES - len(rest))).reshape(1, FRAME_SAMPLES)


class _Tracker:
    """Hysteresis over frames: silence, speech, or silence that may still be part of speech."""

    def __init__(self, options: VadOptions, max_frames: int) -> None:
        def frames(seconds: float) -> int:
            return round(seconds * _SAMPLES_PER_S / FRAME_SAMPLES)

        self._options = options
        self._max = max_frames
        self._pad = frames(options.pad_s)
        self._min_speech = frames(options.min_speech_s)
        # Silence must be awaited for the padding too, or it could not be cut off the span.
        self._min_silence = max(frames(options.min_silence_s), self._pad)
        self._num_seen = 0
        self._frames: list[Samples] = []  # in silence: the padding to come; else the span so far
        self._probs: list[float] = []
        self._speaking = False
        self._num_silent = 0

    def push(self, frame: Samples, prob: float) -> Span | None:
        self._num_seen += 1
        self._frames.append(frame)
        self._probs.append(prob)
        if not self._speaking:
            if prob >= self._options.threshold:
                self._speaking, self._num_silent = True, 0
            else:
                del self._frames[: -self._pad or None], self._probs[: -self._pad or None]
            return None
        self._num_silent = self._num_silent + 1 if prob < self._options.release else 0
        if self._num_silent >= self._min_silence:
            return self._close(keep=len(self._frames) - self._num_silent + self._pad)
        if len(self._frames) >= self._max:
            half = self._max // 2
            return self._close(keep=half + 1 + int(np.argmin(self._probs[half:])), speaking=True)
        return None

    def finish(self) -> Span | None:
        return self._close(keep=len(self._frames)) if self._speaking else None

    def _close(self, keep: int, *, speaking: bool = False) -> Span | None:
        """The first `keep` frames as a span; the rest may be the beginning of the next one."""
        start = self._num_seen - len(self._frames)
        kept, probs = self._frames[:keep], self._probs[:keep]
        self._frames, self._probs = self._frames[keep:], self._probs[keep:]
        self._speaking, self._num_silent = speaking, 0
        num_speech = sum(p >= self._options.release for p in probs)
        if num_speech < self._min_speech:
            return None
        return Span(start * FRAME_SAMPLES, np.concatenate(kept), float(np.mean(probs)))
