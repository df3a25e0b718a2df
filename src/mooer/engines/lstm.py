"""Long short-term memory in numpy (Hochreiter and Schmidhuber 1997), with torch's weights.

A layer reads all frames in one matrix product; what remains a frame is one product with the state
and one tanh: a sigmoid is a tanh of half its argument, so that the weights of the three gates are
halved once and all four parts of a cell go through the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Lstm:
    """Layers on top of each other, each in one direction or in both.

    `arrays` are those of `torch.nn.LSTM` under `prefix`; KeyError if one is missing, ValueError if
    two do not fit each other.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], prefix: str, num_layers: int) -> None:
        self._layers = []
        width = arrays[f"{prefix}.weight_ih_l0"].shape[1]
        for layer in range(num_layers):
            ways = ["", "_reverse"] if f"{prefix}.weight_ih_l{layer}_reverse" in arrays else [""]
            cells = [_Cell(arrays, prefix, f"l{layer}{way}", width) for way in ways]
            self._layers.append(cells)
            width = sum(cell.width for cell in cells)
        self.width = width

    def __call__(self, x: Floats) -> Floats:
        """Frames [F, B, M] to the states of the last layer [F, B, H], or [F, B, 2H] both ways."""
        for ahead, *back in self._layers:
            states = [ahead(x), *(cell(x[::-1])[::-1] for cell in back)]
            x = np.concatenate(states, axis=-1) if back else states[0]
        return x


class _Cell:
    """One layer in one direction."""

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], prefix: str, name: str, width_in: int
    ) -> None:
        read = arrays[f"{prefix}.weight_ih_{name}"].astype(np.float32)
        held = arrays[f"{prefix}.weight_hh_{name}"].astype(np.float32)
        bias = arrays[f"{prefix}.bias_ih_{name}"] + arrays[f"{prefix}.bias_hh_{name}"]
        self.width = held.shape[1]
        wanted = [(4 * self.width, width_in), (4 * self.width, self.width), (4 * self.width,)]
        if [read.shape, held.shape, bias.shape] != wanted:
            raise ValueError(f"{prefix}, layer {name}: {read.shape} {held.shape} {bias.shape}")
        # Input gate, forget gate, candidate, output gate: all but the candidate are sigmoids.
        half = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), self.width)
        self._read = np.ascontiguousarray((read * half[:, None]).T)
        self._held = np.ascontiguousarray((held * half[:, None]).T)
        self._bias = (bias * half).astype(np.float32)

    def __call__(self, x: Floats) -> Floats:
        num_frames, num_rows, width_in = x.shape
        gates = x.reshape(-1, width_in) @ self._read
        gates += self._bias
        gates = gates.reshape(num_frames, num_rows, -1)
        states = np.empty((num_frames, num_rows, self.width), np.float32)
        hidden = np.zeros((num_rows, self.width), np.float32)
        cell = np.zeros_like(hidden)
        one, two, three = (n * self.width for n in (1, 2, 3))
        for frame in range(num_frames):
            now = gates[frame]  # written to in place
            now += hidden @ self._held
            np.tanh(now, out=now)
            gate_in, forget = now[:, :one], now[:, one:two]
            new, gate_out = now[:, two:three], now[:, three:]
            # (t + 1) / 2 is the sigmoid; the halves of both summands are taken together.
            forget += 1.0
            gate_in += 1.0
            cell *= forget
            gate_in *= new
            cell += gate_in
            cell *= 0.5
            gate_out += 1.0
            np.tanh(cell, out=hidden)
            hidden *= gate_out
            hidden *= 0.5
            states[frame] = hidden
        return states
