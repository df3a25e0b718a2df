"""Overlapping windows, each with speakers of its own, laid over each other into turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_BLOCK_FRAMES = 50_000
_EDGE_WEIGHT = 0.1  # of a frame at the end of its window, where the network has heard least


@dataclass(frozen=True)
class Window:
    """What was heard in some seconds of a recording.

    `activity` [F, K]: how surely each of K speakers of this window is heard, 0 to 255.
    """

    first_frame: int
    activity: NDArray[np.uint8]

    @property
    def end_frame(self) -> int:
        """First frame after it."""
        return self.first_frame + len(self.activity)


@dataclass(frozen=True)
class Stretch:
    """A speaker, by number, is heard from one frame to another."""

    first_frame: int
    end_frame: int
    speaker: int


def overlay(
    windows: Sequence[Window],
    speakers: Sequence[Sequence[int]],
    num_speakers: int,
    threshold: float,
) -> NDArray[np.bool_]:
    """Who is heard in each frame of the recording: [F, C].

    `speakers` says which of the C speakers each of a window's K is; -1 is none. Where windows
    overlap, their middles count more than their ends. As many are heard at once as windows found
    on average, and among all those whose probability is highest.
    """
    num_frames = max((window.end_frame for window in windows), default=0)
    scores = np.zeros((num_frames, num_speakers), np.float32)
    counts = np.zeros(num_frames, np.float32)
    weights = np.zeros(num_frames, np.float32)
    for window, owners in zip(windows, speakers, strict=True):
        place = slice(window.first_frame, window.end_frame)
        weight = _tapered(len(window.activity))
        activity = window.activity.astype(np.float32) / 255
        whole = np.zeros((len(activity), num_speakers), np.float32)
        for column, owner in zip(activity.T, owners, strict=True):
            if owner >= 0:
                np.maximum(whole[:, owner], column, out=whole[:, owner])
        scores[place] += weight[:, None] * whole
        counts[place] += weight * (whole >= threshold).sum(axis=1)
        weights[place] += weight
    heard = np.rint(counts / np.maximum(weights, 1e-6)).astype(np.int8)
    found = np.zeros(scores.shape, np.bool_)
    for start in range(0, num_frames, _BLOCK_FRAMES):  # the order of all at once is a large array
        block = slice(start, start + _BLOCK_FRAMES)
        order = np.argsort(-scores[block], axis=1, kind="stable")
        rank = np.argsort(order, axis=1, kind="stable")
        found[block] = rank < heard[block, None]
    return found


def _tapered(num: int) -> Floats:
    """1 in the middle half of a window, falling to 0.1 at both ends."""
    place = (np.arange(num) + 0.5) / max(num, 1)
    edge = np.minimum(place, 1 - place)
    tapered: Floats = np.clip(4 * edge, _EDGE_WEIGHT, 1.0).astype(np.float32)
    return tapered


def stretches(heard: NDArray[np.bool_], min_gap: int, min_length: int) -> list[Stretch]:
    """Stretches of [F, C] in order of time.

    A speaker's silence of less than `min_gap` frames is closed; a stretch of less than
    `min_length` is left out.
    """
    found: list[Stretch] = []
    for speaker, column in enumerate(heard.T):
        steps = np.diff(np.concatenate([[0], column.astype(np.int8), [0]]))
        begins, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
        runs: list[tuple[int, int]] = []
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            if runs and begin - runs[-1][1] < min_gap:
                runs[-1] = (runs[-1][0], end)
            else:
                runs.append((begin, end))
        found += [Stretch(b, e, speaker) for b, e in runs if e - b >= min_length]
    return sorted(found, key=lambda one: (one.first_frame, one.end_frame))
