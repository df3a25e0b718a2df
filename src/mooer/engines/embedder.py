"""Texts as vectors that are near where their meanings are: multilingual-e5-small, without torch.

Wang et al. 2024, "Multilingual E5 Text Embeddings": a BERT of 12 layers, the mean over its tokens,
of unit length; a question is embedded behind "query: " and what it is looked for in behind
"passage: ". Two texts are compared by the product of their vectors. Weights, MIT:
https://huggingface.co/intfloat/multilingual-e5-small
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.engines.e5_file import BLOCK, E5File, Floats, Packed, read_e5
from mooer.engines.onnx import open_session
from mooer.engines.onnx_file import Graph
from mooer.engines.unigram import Unigram
from mooer.errors import ModelError

NAME = "multilingual-e5-small"  # in the catalog
FILE = "e5-small-q4.bin"
QUERY, PASSAGE = "query: ", "passage: "
ACCURACY = 4  # of MatMulNBits: what weights are multiplied with is rounded to 8 bits; 1: float32
BATCH_TOKENS = 2048  # with what fills rows up to the longest

_FLOAT32 = 1  # ONNX's number of the type
_SPACES = re.compile(" {2,}")
_META = "\u2581"  # SentencePiece's space

Ids = list[int]


class Embedder:
    """The network in onnxruntime; from any one thread at a time. ModelError if it is not there.

    `name` says of what model the vectors are: only those of one model can be compared.
    """

    name = NAME

    def __init__(self, folder: Path, *, num_threads: int = 1) -> None:
        path = folder / FILE
        file = read_e5(path)
        self._sizes = file.sizes
        self.width = file.sizes.width
        self._words = _matrix(file, "emb.word", path)
        self._rewritten = file.rewritten
        self._ends = (file.begin, file.end)
        special = (file.begin, file.end)  # "</s>" in a text is letters
        self._pieces = Unigram(file.pieces, unknown=file.unknown, special=special)
        try:
            places = file.vectors["emb.pos"].reshape(file.sizes.num_positions, -1)
            self._places: Floats = places + file.vectors["emb.type"][: file.sizes.width]
            graph = _graph(file)
        except (KeyError, ValueError) as error:
            raise ModelError(f"{path} lacks a part of the network ({error})") from None
        self._session = open_session(path, num_threads=num_threads, content=graph)

    def queries(self, texts: Sequence[str]) -> Floats:
        """Vectors [N, 384] of questions, of unit length."""
        return self._embed([QUERY + text for text in texts])

    def passages(self, texts: Sequence[str]) -> Floats:
        """Vectors [N, 384] of what may answer them, of unit length.

        A text of more than 510 tokens is read in parts, and is their mean.
        """
        return self._embed([PASSAGE + text for text in texts])

    def tokens(self, text: str) -> Ids:
        """What a text is to the network, without a prefix and without ends."""
        text = text.encode(errors="replace").decode().translate(self._rewritten)
        text = _SPACES.sub(" ", text)
        text = text if text.startswith(" ") else " " + text
        return self._pieces.ids(text.replace(" ", _META))

    def _embed(self, texts: Sequence[str]) -> Floats:
        parts: list[tuple[int, Ids]] = []
        most = self._sizes.num_positions - 2
        for i, text in enumerate(texts):
            ids = self.tokens(text)
            parts += [(i, ids[at : at + most]) for at in range(0, max(1, len(ids)), most)]
        found = np.zeros((len(texts), self._sizes.width), np.float32)
        for batch in _batches(parts):
            sums = self._sums([ids for _, ids in batch])
            np.add.at(found, [i for i, _ in batch], sums)
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        vectors: Floats = found / np.where(norms > 0, norms, np.float32(1))
        return vectors

    def _sums(self, rows: Sequence[Ids]) -> Floats:
        """Sums [N, 384] over the tokens of each row."""
        begin, end = self._ends
        longest = max(map(len, rows)) + 2
        ids = np.full((len(rows), longest), end, np.int64)
        mask = np.zeros((len(rows), longest), np.int32)
        for i, row in enumerate(rows):
            ids[i, : len(row) + 2] = [begin, *row, end]
            mask[i, : len(row) + 2] = 1
        words = self._words.rows(ids.ravel()).reshape(len(rows), longest, -1)
        words += self._places[:longest]
        found: Floats = self._session.run(None, {"words": words, "mask": mask})[0]
        return found


def _batches(parts: list[tuple[int, Ids]]) -> Iterator[list[tuple[int, Ids]]]:
    """Parts of like length together, `BATCH_TOKENS` at most in a batch of more than one."""
    batch: list[tuple[int, Ids]] = []
    for part in sorted(parts, key=lambda part: len(part[1])):
        if batch and (len(batch) + 1) * (len(part[1]) + 2) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(part)
    if batch:
        yield batch


def _matrix(file: E5File, name: str, path: Path) -> Packed:
    try:
        return file.matrices[name]
    except KeyError:
        raise ModelError(f"{path} lacks {name}: fetch it again") from None


def _graph(file: E5File) -> bytes:
    """Words [B, L, 384] and mask [B, L] in, sums over tokens [B, 384] out."""
    sizes = file.sizes
    graph = Graph()
    words = graph.input("words", np.float32, ["B", "L", sizes.width])
    mask = graph.input("mask", np.int32, ["B", "L"])

    def vector(name: str) -> str:
        return graph.constant(file.vectors[name])

    def linear(x: str, name: str) -> str:
        packed = file.matrices[f"{name}.w"]
        num_out, num_blocks = packed.scales.shape
        weights = graph.constant(_in_pairs(packed.halves))
        scales = graph.constant(packed.scales.astype(np.float32))
        given = (x, weights, scales, "", "", vector(f"{name}.b"))
        sides: dict[str, Any] = {"K": num_blocks * BLOCK, "N": num_out, "bits": 4}
        return graph.op(
            "com.microsoft.MatMulNBits", *given, block_size=BLOCK, accuracy_level=ACCURACY, **sides
        )

    def norm(x: str, added: str, name: str) -> str:
        given = (x, added, vector(f"{name}.w"), vector(f"{name}.b"))
        return graph.op("com.microsoft.SkipLayerNormalization", *given, epsilon=sizes.epsilon)

    first = (vector("emb.ln.w"), vector("emb.ln.b"))
    x = graph.op("LayerNormalization", words, *first, axis=-1, epsilon=sizes.epsilon)
    for layer in (f"l{i}" for i in range(sizes.num_layers)):
        heads = [linear(x, f"{layer}.{name}") for name in "qkv"]
        attended = graph.op(
            "com.microsoft.MultiHeadAttention", *heads, "", mask, num_heads=sizes.num_heads
        )
        x = norm(x, linear(attended, f"{layer}.ao"), f"{layer}.aln")
        inner = graph.op("com.microsoft.Gelu", linear(x, f"{layer}.fi"))
        x = norm(x, linear(inner, f"{layer}.fo"), f"{layer}.oln")
    counted = graph.op("Cast", mask, to=_FLOAT32)
    counted = graph.op("Unsqueeze", counted, graph.constant(np.array([2], np.int64)))
    along = graph.constant(np.array([1], np.int64))
    sums = graph.op("ReduceSum", graph.op("Mul", x, counted), along, keepdims=0)
    graph.output(sums, "sums", np.float32, ["B", sizes.width])
    return graph.encode(name=FILE)


def _in_pairs(halves: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Weights 0 and 1 in the first byte, 2 and 3 in the next, as onnxruntime has them."""
    numbers = np.concatenate([halves & 15, halves >> 4], axis=-1)
    packed: NDArray[np.uint8] = numbers[..., 0::2] | numbers[..., 1::2] << 4
    return packed
