"""What a CTC model heard in a recording of any length, kept small: some units of each frame.

    emissions = hear(blocks, model)
    emissions.columns([3, 17, 4])          # log-probabilities [F, 3]

The model is shown windows of 30 s that overlap, since what is near the edge of a window is heard
worse, and the middles are joined. Of each frame the blank and the likeliest units are kept; all
other units share what is left of the probability. With 32 units of 16 bits that is 136 bytes a
frame: 25 MB an hour at 20 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.ctc import CtcModel, Floats, Heard, collapse
from mooer.errors import DecodeError, ModelError

SAMPLE_RATE_HZ = 16_000
WINDOW_S = 30.0
MARGIN_S = 2.0  # at both ends of a window, which the windows beside it hear better
TOP_K = 32
LEAST = -30.0  # natural log of what is as good as impossible


@dataclass(frozen=True)
class Emissions:
    """Log-probabilities of F frames: K units of each, the likeliest ones, and the blank."""

    frame_s: float
    blanks: NDArray[np.float16]  # [F]
    units: NDArray[np.unsignedinteger[Any]]  # [F, K], the first of each row the likeliest
    values: NDArray[np.float16]  # [F, K]
    others: NDArray[np.float16]  # [F]: of every unit that is not among them

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.blanks)

    @property
    def num_bytes(self) -> int:
        """What they take in memory."""
        return sum(a.nbytes for a in (self.blanks, self.units, self.values, self.others))

    def cut(self, start: int, end: int) -> Emissions:
        """The frames from `start` to before `end`, in the same memory."""
        arrays = (self.blanks, self.units, self.values, self.others)
        return Emissions(self.frame_s, *(array[start:end] for array in arrays))

    def columns(self, units: Sequence[int]) -> Floats:
        """Log-probabilities [F, N] of some units, each named once."""
        if not units:
            return np.zeros((len(self), 0), np.float32)
        places = np.full(max(int(self.units.max(initial=0)), *units) + 1, -1, np.int32)
        places[list(units)] = np.arange(len(units), dtype=np.int32)
        found: Floats = np.repeat(self.others.astype(np.float32)[:, None], len(units), axis=1)
        columns = places[self.units]
        rows, kept = np.nonzero(columns >= 0)
        found[rows, columns[rows, kept]] = self.values[rows, kept]
        return found

    @property
    def best(self) -> Floats:
        """Log-probability [F] of the likeliest unit that is no blank."""
        found: Floats = self.values[:, 0].astype(np.float32)
        return found

    @property
    def top(self) -> Floats:
        """Log-probability [F] of the likeliest class."""
        return np.maximum(self.best, self.blanks.astype(np.float32))

    def greedy(self) -> list[Heard]:
        """The units of the likeliest path."""
        says = self.values[:, 0] > self.blanks
        path = np.where(says, self.units[:, 0].astype(np.int64), -1)
        return collapse(path, self.top, -1)


def keep(log_probs: Floats, blank: int, frame_s: float, top_k: int = TOP_K) -> Emissions:
    """Log-probabilities [F, V] made small. DecodeError for NaN, ModelError if there is no unit."""
    if log_probs.ndim != 2 or log_probs.shape[1] < 2 or not 0 <= blank < log_probs.shape[1]:
        raise ModelError(
            f"log-probabilities of a CTC model are [F, V] with the blank among V, got "
            f"{list(log_probs.shape)} and the blank {blank}"
        )
    if np.isnan(log_probs).any():
        raise DecodeError("the model gives NaN instead of probabilities: its weights are damaged")
    num_classes = log_probs.shape[1]
    num = min(top_k, num_classes - 1)
    scores = log_probs.astype(np.float32)  # a copy
    blanks = scores[:, blank].copy()
    scores[:, blank] = -np.inf
    places = np.argpartition(scores, -num, axis=1)[:, -num:]
    values = np.take_along_axis(scores, places, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    places, values = (np.take_along_axis(a, order, axis=1) for a in (places, values))
    left = 1.0 - np.exp(values.astype(np.float64)).sum(axis=1) - np.exp(blanks.astype(np.float64))
    with np.errstate(divide="ignore"):
        others = np.log(np.maximum(left, 0.0) / max(1, num_classes - 1 - num))
    others = np.minimum(others, values[:, -1])  # rounding must not make them likelier than those
    small = np.uint16 if num_classes <= 1 << 16 else np.uint32
    blanks, values, others = (_half(a) for a in (blanks, values, others))
    return Emissions(frame_s, blanks, places.astype(small), values, others)


def hear(blocks: Iterable[Floats], model: CtcModel, *, top_k: int = TOP_K) -> Emissions:
    """What the model hears in a stream of blocks [T] at 16 kHz; it is shown 30 s at a time."""
    parts: list[Emissions] = []
    for samples, start, end in windows(blocks, model.frame_s):
        heard = keep(model.log_probs(samples), model.blank, model.frame_s, top_k)
        if end is not None and len(heard) < end:
            raise ModelError(
                f"the CTC model gives {len(heard)} frames for {len(samples) / SAMPLE_RATE_HZ:.1f} s"
                f", too few for frames of {1000 * model.frame_s:g} ms"
            )
        parts.append(heard.cut(start, len(heard) if end is None else end))
    return join(parts, model.frame_s)


def join(parts: Sequence[Emissions], frame_s: float) -> Emissions:
    """One after the other."""
    if not parts:
        nothing = np.zeros(0, np.float16)
        return Emissions(
            frame_s, nothing, np.zeros((0, 1), np.uint16), nothing.reshape(0, 1), nothing
        )
    names = ("blanks", "units", "values", "others")
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return Emissions(frame_s, *arrays)


def windows(blocks: Iterable[Floats], frame_s: float) -> Iterator[tuple[Floats, int, int | None]]:
    """Windows [T] of a stream, and of each the frames that are kept: from, and to before.

    None is the end of the last window. At most one window and one block are held.
    """
    frame = frame_s * SAMPLE_RATE_HZ
    margin = round(MARGIN_S / frame_s)
    inner = int(WINDOW_S / frame_s) - 2 * margin  # frames from one window to the next
    size = round((inner + 2 * margin) * frame)
    held = np.zeros(0, np.float32)
    start = 0  # of the frames of `held`, the first that is not kept yet
    for block in blocks:
        held = np.concatenate([held, np.asarray(block, np.float32)])
        while len(held) >= size:
            yield held[:size], start, inner + margin
            held, start = held[round(inner * frame) :], margin
    if len(held):
        yield held, start, None


def _half(values: NDArray[Any]) -> NDArray[np.float16]:
    return np.clip(values, LEAST, 0.0).astype(np.float16)
