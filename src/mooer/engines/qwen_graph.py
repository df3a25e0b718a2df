"""Qwen2 as operators of ONNX, its weights in 8 bits: several rows take little longer than one.

Embeddings [B, S, W] of what is new and the keys and values of what was read before give the logits
after the last, and keys and values of all. Qwen2 Technical Report (Yang et al. 2024); grouped-query
attention, rotary positions and blocks of 8-bit weights are operators of onnxruntime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.engines.gguf_weights import GgufWeights
from mooer.engines.onnx_file import Graph
from mooer.errors import ModelError

Floats = NDArray[np.float32]
Precision = Literal["float32", "int8"]

EMBEDDINGS, OUTPUT = "token_embd.weight", "output.weight"
_BLOCK = 64  # weights that share a scale
_ZERO = 128  # what stands for 0
_ROWS = 2048
_HEADS_OF = 16
MAX_TOKENS = 8192  # of a sequence: its places are written down


@dataclass(frozen=True)
class QwenSizes:
    """What the file says of the network."""

    num_layers: int
    num_heads: int
    num_kv_heads: int
    width: int
    ffn_width: int
    vocabulary: int
    rope_base: float
    norm_eps: float

    @property
    def head_width(self) -> int:
        """Of queries, keys and values."""
        return self.width // self.num_heads


def read_sizes(weights: GgufWeights, vocabulary: int) -> QwenSizes:
    """ModelError if the file does not say one of them, or onnxruntime does not read such."""

    def whole(key: str) -> int:
        return int(weights.number(f"qwen2.{key}"))

    sizes = QwenSizes(
        whole("block_count"),
        whole("attention.head_count"),
        whole("attention.head_count_kv"),
        whole("embedding_length"),
        whole("feed_forward_length"),
        vocabulary,
        weights.number("qwen2.rope.freq_base", 10_000.0),
        weights.number("qwen2.attention.layer_norm_rms_epsilon"),
    )
    if sizes.head_width % _HEADS_OF:
        raise ModelError(
            f"its heads are {sizes.head_width} wide, but onnxruntime reads multiples of {_HEADS_OF}"
        )
    return sizes


class Tensors(Protocol):
    """Where weights come from; `GgufWeights` is one."""

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        ...

    def tensor(self, name: str, *shape: int) -> Floats:
        """A tensor by its name in GGUF."""
        ...


class QwenGraph:
    """The network in a graph; `load` gives tensors by their names and shapes in GGUF."""

    def __init__(
        self, graph: Graph, sizes: QwenSizes, load: Tensors, *, precision: Precision = "int8"
    ) -> None:
        self._graph = graph
        self._sizes = sizes
        self._load = load
        self._precision = precision

    def build(self) -> None:
        """All of it: inputs x, before, total, past_k0 …; outputs logits, new_k0 …"""
        graph, sizes = self._graph, self._sizes
        x = graph.input("x", np.float32, ["B", "S", sizes.width])
        graph.input("before", np.int32, ["B"])  # places of the last, from 0
        graph.input("total", np.int32, [])
        turns = self._turns()
        for number in range(sizes.num_layers):
            x = self._block(number, x, turns)
        last = graph.op("Gather", x, graph.constant(np.array(-1, np.int64)), axis=1)
        last = self._norm("output_norm", last)
        name = OUTPUT if self._load.has(OUTPUT) else EMBEDDINGS
        logits = self._product(self._load.tensor(name, sizes.vocabulary, sizes.width), last)
        graph.output(logits, "logits", np.float32, ["B", sizes.vocabulary])

    def _block(self, number: int, x: str, turns: tuple[str, str]) -> str:
        graph, sizes, at = self._graph, self._sizes, f"blk.{number}"
        kv_width = sizes.num_kv_heads * sizes.head_width
        parts = {"q": sizes.width, "k": kv_width, "v": kv_width}
        weight = np.concatenate(
            [self._load.tensor(f"{at}.attn_{p}.weight", n, sizes.width) for p, n in parts.items()]
        )
        bias = np.concatenate(
            [self._load.tensor(f"{at}.attn_{p}.bias", n) for p, n in parts.items()]
        )
        packed = self._product(weight, self._norm(f"{at}.attn_norm", x))
        packed = graph.op("Add", packed, graph.constant(bias))
        shape: list[int | str] = ["B", sizes.num_kv_heads, "P", sizes.head_width]
        past = [graph.input(f"past_{p}{number}", np.float32, shape) for p in "kv"]
        found, *new = graph.ops(
            "com.microsoft.GroupQueryAttention",
            3,
            *(packed, "", "", *past, "before", "total", *turns),
            num_heads=sizes.num_heads,
            kv_num_heads=sizes.num_kv_heads,
            do_rotary=1,
            rotary_interleaved=0,
        )
        for letter, value in zip("kv", new, strict=True):
            longer: list[int | str] = [*shape[:2], "T", shape[3]]
            graph.output(value, f"new_{letter}{number}", np.float32, longer)
        outward = self._load.tensor(f"{at}.attn_output.weight", sizes.width, sizes.width)
        x = graph.op("Add", x, self._product(outward, found))
        return graph.op("Add", x, self._feed_forward(at, self._norm(f"{at}.ffn_norm", x)))

    def _feed_forward(self, at: str, x: str) -> str:
        graph, sizes = self._graph, self._sizes
        into = [
            self._load.tensor(f"{at}.ffn_{name}.weight", sizes.ffn_width, sizes.width)
            for name in ("gate", "up")
        ]
        gate, up = graph.ops("Split", 2, self._product(np.concatenate(into), x), axis=-1)
        opened = graph.op("com.microsoft.QuickGelu", gate, alpha=1.0)  # SiLU
        down = self._load.tensor(f"{at}.ffn_down.weight", sizes.width, sizes.ffn_width)
        return self._product(down, graph.op("Mul", opened, up))

    def _norm(self, name: str, x: str) -> str:
        weight = self._graph.constant(self._load.tensor(f"{name}.weight", self._sizes.width))
        return self._graph.op(
            "SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=self._sizes.norm_eps
        )

    def _turns(self) -> tuple[str, str]:
        """Cosines and sines of rotary positions, [MAX_TOKENS, head width / 2]."""
        half = np.arange(0, self._sizes.head_width, 2) / self._sizes.head_width
        angles = np.arange(MAX_TOKENS)[:, None] / self._sizes.rope_base**half
        cosines, sines = np.cos(angles), np.sin(angles)
        return (
            self._graph.constant(cosines.astype(np.float32)),
            self._graph.constant(sines.astype(np.float32)),
        )

    def _product(self, weight: Floats, x: str) -> str:
        """The product of x [..., K] and a weight [N, K]."""
        graph, (outs, ins) = self._graph, weight.shape
        if self._precision == "float32":
            return graph.op("MatMul", x, graph.constant(np.ascontiguousarray(weight.T)))
        packed, scale = in_blocks(weight)
        return graph.op(
            "com.microsoft.MatMulNBits",
            *(x, graph.constant(packed), graph.constant(scale)),
            K=ins,
            N=outs,
            bits=8,
            block_size=_BLOCK,
            accuracy_level=4,  # sums of products of 8-bit numbers
        )


def in_blocks(weight: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Weights [N, K] as bytes [N, blocks, 64], the last filled up, and a scale of each block.

    >>> packed, scale = in_blocks(np.float32([[-1.27, 0.0, 0.64]]))
    >>> packed.shape, packed[0, 0, :4].tolist(), round(float(scale[0, 0]), 4)
    ((1, 1, 64), [1, 128, 192, 128], 0.01)
    """
    outs, ins = weight.shape
    num_blocks = -(-ins // _BLOCK)
    packed = np.full((outs, num_blocks, _BLOCK), _ZERO, np.uint8)
    scales = np.zeros((outs, num_blocks), np.float32)
    for begin in range(0, outs, _ROWS):  # a few at a time: a vocabulary's take gigabytes
        rows = weight[begin : begin + _ROWS]
        filled = np.pad(rows, ((0, 0), (0, -ins % _BLOCK))).reshape(len(rows), -1, _BLOCK)
        scale = np.abs(filled).max(axis=-1) / np.float32(127)
        steps = np.rint(filled / np.where(scale == 0, 1, scale)[..., None])
        packed[begin : begin + _ROWS] = steps + _ZERO
        scales[begin : begin + _ROWS] = scale
    return packed, scales
