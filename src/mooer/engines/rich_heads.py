"""Heads in numpy: frames in, log-probabilities and labels out.

Those of `mooer.models.rich`, and those that `mooer.train.rich.regression` fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError
from mooer.store.safetensors import read_safetensors
from mooer.tasks.rich import LabellerConfig, RegressionConfig, SpellerConfig

Floats = NDArray[np.float32]
Shapes = dict[str, tuple[int, ...]]

_EPSILON = np.float32(1e-5)
_EVENT_FRAMES = 51  # over which scores of events are averaged: 1 s


class SpellerHead:
    """Frames [F, D] to log-probabilities [F, V]: `mooer.models.rich.Speller`.

    ModelError lists tensors of the file that are missing, left over, of a wrong shape or not
    finite.
    """

    def __init__(self, path: Path, config: SpellerConfig, in_width: int, num_units: int) -> None:
        width, embedding = config.width, config.embedding_width
        shapes: Shapes = {
            **_linear("project", in_width * config.stack, width),
            **_norm_shapes("norm_in", width),
            **_norm_shapes("norm_out", width),
            **_linear("apart", width, embedding * config.stack),
            **_norm_shapes("norm_unit", embedding),
            **_linear("table", embedding, 1 + num_units),
        }
        for i in range(config.num_blocks):
            place = f"blocks.{i}"
            shapes[f"{place}.depthwise.weight"] = (width, 1, config.kernel)
            shapes[f"{place}.depthwise.bias"] = (width,)
            shapes |= _norm_shapes(f"{place}.norm", width)
            shapes |= _linear(f"{place}.expand", width, config.ffn_width)
            shapes |= _linear(f"{place}.contract", config.ffn_width, width)
        self._t = read_checked(path, shapes, "speller")
        self._config = config
        self._kernels = [
            np.ascontiguousarray(self._t[f"blocks.{i}.depthwise.weight"][:, 0].T)
            for i in range(config.num_blocks)
        ]

    def __call__(self, frames: Floats) -> Floats:
        """Natural logarithms, float32."""
        t, stack = self._t, self._config.stack
        num_frames = len(frames)
        filled = np.pad(frames, ((0, -num_frames % stack), (0, 0)))
        x = filled.reshape(len(filled) // stack, -1) @ t["project.weight"].T + t["project.bias"]
        x = norm(x, t, "norm_in")
        for i, kernel in enumerate(self._kernels):
            place = f"blocks.{i}"
            seen = _depthwise(x, kernel) + t[f"{place}.depthwise.bias"]
            fed = silu(_apply(norm(seen, t, f"{place}.norm"), t, f"{place}.expand"))
            x = x + _apply(fed, t, f"{place}.contract")
        x = _apply(norm(x, t, "norm_out"), t, "apart").reshape(len(x) * stack, -1)[:num_frames]
        return log_softmax(_apply(norm(x, t, "norm_unit"), t, "table"))


@dataclass(frozen=True)
class Heard:
    """What a labeller says of one recording."""

    classes: dict[str, Floats]  # probabilities [C] by head
    events: Floats  # probability of each event in it, [E]
    frames: Floats  # and of each frame, [F, E]


class LabellerHead:
    """Frames [F, D] to labels: `mooer.models.rich.Labeller`; ModelError as `SpellerHead`."""

    def __init__(self, path: Path, config: LabellerConfig, in_width: int) -> None:
        width, hidden = config.width, config.hidden_width
        shapes: Shapes = {}
        for name, classes in config.classes.items():
            place = f"heads.{name}"
            shapes |= _linear(f"{place}.project", in_width, width)
            shapes |= _linear(f"{place}.attend", width, 1)
            shapes |= _norm_shapes(f"{place}.norm", 2 * width)
            shapes |= _linear(f"{place}.hidden", 2 * width, hidden)
            shapes |= _linear(f"{place}.out", hidden, len(classes))
        if config.events:
            shapes |= _linear("events.project", in_width, width)
            shapes |= _linear("events.hidden", width, hidden)
            shapes |= _linear("events.out", hidden, len(config.events))
        self._t = read_checked(path, shapes, "labeller")
        self.config = config

    def __call__(self, frames: Floats) -> Heard:
        """Probabilities; of no frames at all, ModelError."""
        if not len(frames):
            raise ModelError("a labeller was given no frames: leave so short a recording out")
        classes = {name: self._class(frames, f"heads.{name}") for name in self.config.classes}
        if not self.config.events:
            none = np.zeros(0, np.float32)
            return Heard(classes, none, none.reshape(len(frames), 0))
        t = self._t
        x = silu(_apply(silu(_apply(frames, t, "events.project")), t, "events.hidden"))
        scores = _apply(x, t, "events.out")
        together = (np.exp(log_softmax(scores.T)).T * scores).sum(0)
        return Heard(classes, sigmoid(together), sigmoid(scores))

    def _class(self, frames: Floats, place: str) -> Floats:
        t = self._t
        x = silu(_apply(frames, t, f"{place}.project"))
        share = np.exp(log_softmax(_apply(x, t, f"{place}.attend").T)).T
        mean = (share * x).sum(0)
        deviation = np.sqrt((share * np.square(x - mean)).sum(0) + _EPSILON)
        pooled = norm(np.concatenate([mean, deviation])[None], t, f"{place}.norm")
        scores = _apply(silu(_apply(pooled, t, f"{place}.hidden")), t, f"{place}.out")
        found: Floats = np.exp(log_softmax(scores))[0]
        return found


class RegressionHead:
    """Frames [F, D] of all its layers to labels, by their mean; ModelError as `SpellerHead`."""

    def __init__(self, path: Path, config: RegressionConfig, in_width: int) -> None:
        shapes: Shapes = {}
        for name, classes in config.classes.items():
            shapes |= _linear(f"heads.{name}", in_width, len(classes))
        shapes |= _linear("events", in_width, len(config.events))
        self._t = read_checked(path, shapes, "labeller")
        self.config = config

    def __call__(self, frames: Floats) -> Heard:
        """Probabilities; those of a frame are of the second around it. Of no frames, ModelError."""
        if not len(frames):
            raise ModelError("a labeller was given no frames: leave so short a recording out")
        mean = frames.mean(0, keepdims=True)
        classes = {
            name: np.exp(log_softmax(_apply(mean, self._t, f"heads.{name}")))[0]
            for name in self.config.classes
        }
        scores = _apply(frames, self._t, "events")
        whole = scores.mean(0)
        return Heard(classes, sigmoid(whole), sigmoid(running_mean(scores, _EVENT_FRAMES)))


def running_mean(x: Floats, width: int) -> Floats:
    """[F, C] over `width` frames around each, at the ends over what there is.

    >>> running_mean(np.float32([[0], [3], [6]]), 3)[:, 0].tolist()
    [1.5, 3.0, 4.5]
    """
    sums = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, 0, np.float64)])
    places = np.arange(len(x))
    low = np.maximum(places - width // 2, 0)
    high = np.minimum(places + width // 2 + 1, len(x))
    found: Floats = ((sums[high] - sums[low]) / (high - low)[:, None]).astype(np.float32)
    return found


def read_checked(path: Path, shapes: Shapes, what: str) -> dict[str, Floats]:
    """The tensors of a file in float32; ModelError lists what does not fit."""
    arrays = read_safetensors(path)
    faults = [f"{name} is missing" for name in shapes if name not in arrays]
    for name, array in arrays.items():
        if name not in shapes:
            faults.append(f"{name} is unexpected")
        elif array.shape != shapes[name]:
            faults.append(f"{name} has {list(array.shape)} instead of {list(shapes[name])}")
        elif not np.isfinite(array).all():
            faults.append(f"{name} is not finite")
    if faults:
        shown = "; ".join(faults[:6])
        raise ModelError(f"{path} does not fit the {what} of its rich.yaml ({shown})")
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}


def norm(x: Floats, tensors: dict[str, Floats], place: str) -> Floats:
    """LayerNorm over the last axis."""
    away = x - x.mean(-1, keepdims=True)
    scaled = away / np.sqrt(np.square(away).mean(-1, keepdims=True) + _EPSILON)
    normed: Floats = scaled * tensors[f"{place}.weight"] + tensors[f"{place}.bias"]
    return normed


def silu(x: Floats) -> Floats:
    """X times its sigmoid."""
    return x * sigmoid(x)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), of any x without overflow.

    >>> sigmoid(np.float32([-1000, 0, 1000])).tolist()
    [0.0, 0.5, 1.0]
    """
    found: Floats = np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1))
    return found


def log_softmax(x: Floats) -> Floats:
    """Over the last axis.

    >>> np.exp(log_softmax(np.float32([[1000, 1000]]))).tolist()
    [[0.5, 0.5]]
    """
    shifted = x - x.max(-1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found


def _apply(x: Floats, tensors: dict[str, Floats], place: str) -> Floats:
    found: Floats = x @ tensors[f"{place}.weight"].T + tensors[f"{place}.bias"]
    return found


def _depthwise(x: Floats, kernel: Floats) -> Floats:
    """[F, W] under a kernel [K, W], with zeros beyond both ends."""
    half = len(kernel) // 2
    filled = np.pad(x, ((half, half), (0, 0)))
    total = np.zeros_like(x)
    for place, weight in enumerate(kernel):
        total += filled[place : place + len(x)] * weight
    return total


def _linear(name: str, in_width: int, out_width: int) -> Shapes:
    return {f"{name}.weight": (out_width, in_width), f"{name}.bias": (out_width,)}


def _norm_shapes(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
