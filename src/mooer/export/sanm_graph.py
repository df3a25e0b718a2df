"""The parts of SenseVoice and Paraformer as operators of ONNX, in float32 or with 8-bit weights."""

from __future__ import annotations

import math
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mooer.engines.onnx_file import Graph
from mooer.errors import ConfigError, did_you_mean
from mooer.export.quantise import in_columns
from mooer.models.encoders.sanm import Block, SanmEncoder

Precision = Literal["float32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")

FLOAT, INT = 1, 7  # ONNX's numbers of the types


def known_precision(name: str) -> Precision:
    """A precision by its name. ConfigError names the nearest."""
    for precision in PRECISIONS:
        if name == precision:
            return precision
    raise ConfigError(f"unknown precision {name!r}: {did_you_mean(name, PRECISIONS)}")


class SanmGraph(Graph):
    """Modules as operators; a value is [B, F, D] unless a comment says more."""

    def __init__(self, precision: Precision = "float32") -> None:
        super().__init__()
        self.precision = precision

    def ints(self, *numbers: int) -> str:
        """Lengths and axes."""
        return self.constant(np.array(numbers, np.int64))

    def short_ints(self, *numbers: int) -> str:
        """Numbers beside those of the inputs."""
        return self.constant(np.array(numbers, np.int32))

    def floats(self, *numbers: float) -> str:
        """Factors and terms."""
        return self.constant(np.array(numbers, np.float32))

    def encoder(self, encoder: SanmEncoder, frames: str, lengths: str) -> str:
        """Positions, blocks and norms; what is beyond a length is unspecified."""
        config = encoder.config
        places = self.places(frames)
        inside, bias = self.inside(places, lengths)
        mask = self.op("Cast", inside, to=FLOAT)  # [B, F, 1]
        x = self.op("Where", inside, frames, self.floats(0.0))
        x = self.op("Mul", x, self.floats(math.sqrt(config.width)))
        x = self.op("Add", x, self._sinusoids(places, config.num_mels * config.num_stack))
        for block in cast("list[Block]", [*encoder.encoders0, *encoder.encoders]):
            x = self._block(block, x, mask, bias)
        x = self.norm(encoder.after_norm, x)
        if config.num_tp_blocks:
            for block in cast("list[Block]", list(encoder.tp_encoders)):
                x = self._block(block, x, mask, bias)
            x = self.norm(encoder.tp_norm, x)
        return x

    def inside(self, places: str, lengths: str) -> tuple[str, str]:
        """Of [F] and [B]: whether a frame counts [B, F, 1], and what is added to scores."""
        rows = self.op("Unsqueeze", lengths, self.ints(1))
        inside = self.op("Less", places, self.op("Cast", rows, to=FLOAT))  # [B, F]
        heads = self.op("Unsqueeze", inside, self.ints(1, 2))
        bias = self.op("Where", heads, self.floats(0.0), self.floats(-np.inf))
        return self.op("Unsqueeze", inside, self.ints(2)), bias  # [B, 1, 1, F]

    def linear(self, module: nn.Linear, x: str) -> str:
        """A product and, if it has one, a bias."""
        weight = array(module.weight)
        bias = None if module.bias is None else self.constant(array(module.bias))
        if self.precision == "int8":
            packed, scale = in_columns(np.ascontiguousarray(weight.T))
            given = [self.constant(packed), self.constant(scale)]
            given += [] if bias is None else ["", bias]  # no zero points
            return self.op("com.microsoft.DynamicQuantizeMatMul", x, *given)
        product = self.op("MatMul", x, self.constant(np.ascontiguousarray(weight.T)))
        return product if bias is None else self.op("Add", product, bias)

    def norm(self, module: nn.LayerNorm, x: str) -> str:
        """A norm over the width."""
        weight, bias = (self.constant(array(part)) for part in (module.weight, module.bias))
        return self.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=float(module.eps))

    def memory(self, module: nn.Conv1d, v: str, mask: str) -> str:
        """An FSMN memory: each value and a weighted sum of its neighbours.

        As an image of one line, whose convolution onnxruntime has a quick way for, three times as
        quick as for a sequence.
        """
        margin = module.kernel_size[0] // 2
        v = self.op("Mul", v, mask)
        line = self.op("Unsqueeze", v, self.ints(1))  # [B, 1, F, D]
        around = self.op(
            "Conv",
            self.op("Transpose", line, perm=[0, 3, 1, 2]),
            self.constant(array(module.weight)[:, :, None]),
            group=module.groups,
            pads=[0, margin, 0, margin],
        )
        around = self.op("Transpose", around, perm=[0, 2, 3, 1])
        remembered = self.op("Add", self.op("Squeeze", around, self.ints(1)), v)
        return self.op("Mul", remembered, mask)

    def attend(self, num_heads: int, q: str, k: str, v: str, bias: str, width: int) -> str:
        """Attention of queries to keys, heads side by side in the width."""
        part = width // num_heads
        shape = self.ints(0, 0, num_heads, part)
        scaled = self.op("Mul", q, self.floats(1 / math.sqrt(part)))
        heads = [self.op("Reshape", value, shape) for value in (scaled, k, v)]
        queries = self.op("Transpose", heads[0], perm=[0, 2, 1, 3])
        keys = self.op("Transpose", heads[1], perm=[0, 2, 3, 1])
        values = self.op("Transpose", heads[2], perm=[0, 2, 1, 3])
        scores = self.op("Add", self.op("MatMul", queries, keys), bias)
        found = self.op("MatMul", self.op("Softmax", scores, axis=-1), values)
        found = self.op("Transpose", found, perm=[0, 2, 1, 3])
        return self.op("Reshape", found, self.ints(0, 0, -1))

    def places(self, frames: str) -> str:
        """0, 1 … F - 1 in float32, [F]."""
        zero, one = self.constant(np.array(0, np.int64)), self.constant(np.array(1, np.int64))
        length = self.op("Gather", self.op("Shape", frames), one, axis=0)
        return self.op("Cast", self.op("Range", zero, length, one), to=FLOAT)

    def _sinusoids(self, places: str, width: int) -> str:
        """As `sanm.sinusoids`, of positions from 1: [F, D]."""
        steps = np.arange(width // 2, dtype=np.float32) * np.float32(-math.log(1e4))
        rates = np.exp(steps / np.float32(width / 2 - 1), dtype=np.float32)
        counted = self.op("Add", places, self.floats(1.0))
        column = self.op("Unsqueeze", counted, self.ints(1))
        angles = self.op("Mul", column, self.constant(rates))
        return self.op("Concat", self.op("Sin", angles), self.op("Cos", angles), axis=1)

    def _block(self, block: Block, x: str, mask: str, bias: str) -> str:
        attention = block.self_attn
        q, k, v = self.ops(
            "Split", 3, self.linear(attention.linear_q_k_v, self.norm(block.norm1, x)), axis=-1
        )
        width = attention.linear_out.in_features
        found = self.attend(attention.num_heads, q, k, v, bias, width)
        memory = self.memory(attention.fsmn_block, v, mask)
        attended = self.op("Add", self.linear(attention.linear_out, found), memory)
        y = self.op("Add", x, attended) if block.residual else attended
        first = self.op("Relu", self.linear(block.feed_forward.w_1, self.norm(block.norm2, y)))
        return self.op("Add", y, self.linear(block.feed_forward.w_2, first))


def array(tensor: Tensor) -> NDArray[np.float32]:
    """Numbers of a parameter."""
    found: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return found
