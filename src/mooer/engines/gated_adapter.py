"""The adapter `gated` in numpy: `mooer.models.adapter.GatedAdapter` without torch.

`stride` frames side by side, RMSNorm, linear, SwiGLU, RMSNorm, linear, all scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ConfigError, ModelError
from mooer.store.safetensors import read_safetensors

Floats = NDArray[np.float32]

_EPSILON = np.float32(1e-6)


@dataclass(frozen=True)
class AdapterOptions:
    """The section `adapter` of mooer.yaml; `gated` reads the first three after the name."""

    name: str = "concat"
    stride: int = 2
    hidden_width: int = 2048
    output_scale: float = 1.0
    num_layers: int = 4
    num_heads: int = 4
    ffn_width: int = 2560
    dropout: float = 0.0
    norm: bool = False

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ConfigError(f"adapter stride {self.stride} is not at least 1")


class GatedAdapter:
    """Frames [F, D] to embeddings [ceil(F / stride), W], in float32.

    ModelError lists tensors of `path` that are missing, left over, of a wrong shape or not finite.
    """

    def __init__(self, path: Path, options: AdapterOptions, in_width: int, out_width: int) -> None:
        assert options.name == "gated", options
        self.stride = options.stride
        self.in_width = in_width
        stacked, hidden = in_width * options.stride, options.hidden_width
        shapes = {
            "norm_pre.weight": (stacked,),
            "linear1.weight": (2 * hidden, stacked),
            "norm_mid.weight": (hidden,),
            "linear2.weight": (out_width, hidden),
        }
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
            raise ModelError(f"{path} does not fit the adapter ({'; '.join(faults)})")
        wide = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
        self._norm_pre, self._norm_mid = wide["norm_pre.weight"], wide["norm_mid.weight"]
        self._linear1, self._linear2 = wide["linear1.weight"].T, wide["linear2.weight"].T
        self._scale = np.float32(options.output_scale)

    def __call__(self, frames: Floats) -> Floats:
        """Embeddings; frames that do not fill the last group are followed by zeros."""
        num_missing = -len(frames) % self.stride
        filled = np.pad(frames, ((0, num_missing), (0, 0)))
        groups = filled.reshape(-1, self.in_width * self.stride)
        value, gate = np.split(_norm(groups, self._norm_pre) @ self._linear1, 2, axis=1)
        opened = value * gate * _sigmoid(gate)
        embeddings: Floats = (_norm(opened, self._norm_mid) @ self._linear2) * self._scale
        return embeddings


def _norm(x: Floats, weight: Floats) -> Floats:
    """RMSNorm over the last axis."""
    mean = np.mean(np.square(x), axis=-1, keepdims=True, dtype=np.float32)
    normed: Floats = x / np.sqrt(mean + _EPSILON) * weight
    return normed


def _sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), of any x without overflow.

    >>> _sigmoid(np.float32([-1000, 0, 1000])).tolist()
    [0.0, 0.5, 1.0]
    """
    found: Floats = np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1))
    return found
