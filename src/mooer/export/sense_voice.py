"""SenseVoice as an ONNX file: the graph that `SenseVoice.forward` computes, operator by operator.

Inputs and outputs are called as in the FunASR project's own export, so that either file runs in
either program; but ours gives log-probabilities, `log_probs`, where that gives `ctc_logits`.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mooer.export.onnx_file import Graph
from mooer.models.encoders.sanm import Block, SanmEncoder
from mooer.models.sense_voice import EMOTION, EVENT, SenseVoice, load
from mooer.models.sense_voice_folder import (
    CMVN,
    CONFIG,
    ONNX,
    read_frontend,
    read_settings,
    vocabulary_file,
)
from mooer.models.sense_voice_labels import NUM_QUERIES, read_vocabulary


def export_onnx(folder: Path, out: Path) -> None:
    """Write a released folder as one that `engines.sense_voice` runs. ModelError if not whole."""
    network = load(folder)
    read_frontend(folder, read_settings(folder))
    vocabulary = vocabulary_file(folder)
    read_vocabulary(vocabulary).require(network.num_classes)
    write_onnx(network, out / ONNX)
    for path in (folder / CONFIG, folder / CMVN, vocabulary):
        shutil.copyfile(path, out / path.name)


def write_onnx(network: SenseVoice, path: Path) -> None:
    """Write the network as one float32 file. OutputError if it cannot be written."""
    graph = _Network()
    width = network.encoder.frontend.num_mels
    speech = graph.input("speech", np.float32, ["batch", "frames", width])
    lengths = graph.input("speech_lengths", np.int32, ["batch"])
    language = graph.input("language", np.int32, ["batch"])
    style = graph.input("textnorm", np.int32, ["batch"])
    frames = graph.with_queries(speech, language, style, _array(network.embed.weight))
    lengths = graph.op("Add", lengths, graph.short_ints(NUM_QUERIES))
    hidden = graph.encoder(network.encoder, frames, lengths)
    said = graph.op(
        "LogSoftmax", graph.linear(cast("nn.Linear", network.ctc["ctc_lo"]), hidden), axis=-1
    )
    shape: list[int | str] = ["batch", "frames and 4", network.config.num_classes]
    graph.output(said, "log_probs", np.float32, shape)
    graph.output(lengths, "encoder_out_lens", np.int32, ["batch"])
    graph.write(path)


class _Network(Graph):
    """The modules of SenseVoice as operators; a value is [B, F, D] unless a comment says more."""

    def ints(self, *numbers: int) -> str:
        """Lengths and axes."""
        return self.constant(np.array(numbers, np.int64))

    def short_ints(self, *numbers: int) -> str:
        """Numbers beside those of the inputs."""
        return self.constant(np.array(numbers, np.int32))

    def floats(self, *numbers: float) -> str:
        """Factors and terms."""
        return self.constant(np.array(numbers, np.float32))

    def with_queries(
        self, speech: str, language: str, style: str, table: NDArray[np.float32]
    ) -> str:
        """The four query frames in front of the speech."""
        column = self.ints(1)
        rows = self.op("Unsqueeze", language, column)
        none = self.op("Mul", rows, self.short_ints(0))
        asked = self.op("Add", none, self.short_ints(EVENT, EMOTION))
        rows = self.op("Concat", rows, asked, self.op("Unsqueeze", style, column), axis=1)
        return self.op("Concat", self.op("Gather", self.constant(table), rows), speech, axis=1)

    def encoder(self, encoder: SanmEncoder, frames: str, lengths: str) -> str:
        """Positions, blocks and norms; what is beyond a length is unspecified."""
        config = encoder.config
        places = self._places(frames)
        rows = self.op("Unsqueeze", lengths, self.ints(1))
        inside = self.op("Less", places, self.op("Cast", rows, to=_FLOAT))  # [B, F]
        column = self.op("Unsqueeze", inside, self.ints(2))
        mask = self.op("Cast", column, to=_FLOAT)  # [B, F, 1]
        heads = self.op("Unsqueeze", inside, self.ints(1, 2))
        zero = self.floats(0.0)
        bias = self.op("Where", heads, zero, self.floats(-np.inf))  # [B, 1, 1, F]
        x = self.op("Where", column, frames, zero)
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

    def linear(self, module: nn.Linear, x: str) -> str:
        """A product and a bias."""
        weight, bias = _array(module.weight), _array(module.bias)
        product = self.op("MatMul", x, self.constant(np.ascontiguousarray(weight.T)))
        return self.op("Add", product, self.constant(bias))

    def norm(self, module: nn.LayerNorm, x: str) -> str:
        """A norm over the width."""
        weight, bias = (self.constant(_array(part)) for part in (module.weight, module.bias))
        return self.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=float(module.eps))

    def _places(self, frames: str) -> str:
        """0, 1 … F - 1 in float32, [F]."""
        length = self.op(
            "Gather", self.op("Shape", frames), self.constant(np.array(1, np.int64)), axis=0
        )
        zero, one = self.constant(np.array(0, np.int64)), self.constant(np.array(1, np.int64))
        return self.op("Cast", self.op("Range", zero, length, one), to=_FLOAT)

    def _sinusoids(self, places: str, width: int) -> str:
        """As `sanm.sinusoids`, of positions from 1: [F, D]."""
        steps = np.arange(width // 2, dtype=np.float32) * np.float32(-math.log(1e4))
        rates = np.exp(steps / np.float32(width / 2 - 1), dtype=np.float32)
        counted = self.op("Add", places, self.floats(1.0))
        column = self.op("Unsqueeze", counted, self.ints(1))
        angles = self.op("Mul", column, self.constant(rates))
        return self.op("Concat", self.op("Sin", angles), self.op("Cos", angles), axis=1)

    def _block(self, block: Block, x: str, mask: str, bias: str) -> str:
        attended = self._attention(block, self.norm(block.norm1, x), mask, bias)
        y = self.op("Add", x, attended) if block.residual else attended
        first = self.op("Relu", self.linear(block.feed_forward.w_1, self.norm(block.norm2, y)))
        return self.op("Add", y, self.linear(block.feed_forward.w_2, first))

    def _attention(self, block: Block, x: str, mask: str, bias: str) -> str:
        attention = block.self_attn
        q, k, v = self.ops("Split", 3, self.linear(attention.linear_q_k_v, x), axis=-1)
        width = attention.linear_out.in_features // attention.num_heads
        shape = self.ints(0, 0, attention.num_heads, width)
        scaled = self.op("Mul", q, self.floats(1 / math.sqrt(width)))
        heads = [self.op("Reshape", value, shape) for value in (scaled, k, v)]
        queries = self.op("Transpose", heads[0], perm=[0, 2, 1, 3])
        keys = self.op("Transpose", heads[1], perm=[0, 2, 3, 1])
        values = self.op("Transpose", heads[2], perm=[0, 2, 1, 3])
        scores = self.op("Add", self.op("MatMul", queries, keys), bias)
        found = self.op("MatMul", self.op("Softmax", scores, axis=-1), values)
        found = self.op("Transpose", found, perm=[0, 2, 1, 3])
        found = self.op("Reshape", found, self.ints(0, 0, -1))
        return self.op(
            "Add", self.linear(attention.linear_out, found), self._memory(block, v, mask)
        )

    def _memory(self, block: Block, v: str, mask: str) -> str:
        attention = block.self_attn
        v = self.op("Mul", v, mask)
        around = self.op(
            "Conv",
            self.op("Transpose", v, perm=[0, 2, 1]),
            self.constant(_array(attention.fsmn_block.weight)),
            group=attention.fsmn_block.groups,
            pads=[attention.margin, attention.margin],
        )
        remembered = self.op("Add", self.op("Transpose", around, perm=[0, 2, 1]), v)
        return self.op("Mul", remembered, mask)


_FLOAT = 1  # ONNX's number of the type


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array
