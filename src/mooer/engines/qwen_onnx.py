"""A GGUF of Qwen2, with LoRA of a folder merged in, as the graph that `OnnxContext` runs.

Two files are written once, MOOER_HOME/llm/<hash>.onnx and .bin, and found again; of those
of several models the last four in use are kept.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.engines.gguf_weights import GgufWeights
from mooer.engines.llama_model import LlamaModel
from mooer.engines.lora_gguf import digest_of, lora_tensors
from mooer.engines.onnx_file import Graph
from mooer.engines.qwen_graph import Precision, QwenGraph, Tensors, read_sizes
from mooer.errors import ModelError
from mooer.files import whole_file
from mooer.store.settings import read_settings

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]

MAX_KEPT = 4  # graphs in the folder
_VERSION = "1"  # of the graph


def packed(llm: Path, lora: Path | None) -> Path:
    """The graph of an LLM, made if it is not there.

    OutputError if it cannot be kept, ModelError if the LLM is no Qwen2 or LoRA does not fit it.
    """
    stat = llm.stat()
    digest = hashlib.sha256() if lora is None else digest_of(lora)
    digest.update(f"{_VERSION} {llm.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode())
    path = read_settings().home / "llm" / f"{digest.hexdigest()[:16]}.onnx"
    if not (path.is_file() and path.with_suffix(".bin").is_file()):
        logger.info("packing %s for this processor, once: %s", llm.name, path.with_suffix(".bin"))
        write_onnx(path, llm, lora)
        _forget_old(path.parent)
    with suppress(OSError):  # another user's, perhaps
        path.touch()
    return path


def _forget_old(folder: Path) -> None:
    """Remove graphs but those used last: one is half a gigabyte, and is made again when needed."""
    graphs = sorted(folder.glob("*.onnx"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in graphs[MAX_KEPT:]:
        logger.info("removing %s, which was not used for long", path)
        for file in (path, path.with_suffix(".bin")):
            with suppress(OSError):  # in use, on Windows
                file.unlink(missing_ok=True)


def write_onnx(path: Path, llm: Path, lora: Path | None, *, precision: Precision = "int8") -> None:
    """Write the graph and, beside it, its weights. Errors as `packed`."""
    model = LlamaModel(llm, vocabulary_only=True)
    vocabulary = model.num_tokens
    model.close()
    weights = path.with_suffix(".bin")
    with closing(GgufWeights(llm)) as plain, whole_file(weights) as file:
        load: Tensors = plain if lora is None else _Merged(plain, lora)
        graph = Graph(file, weights.name)
        sizes = read_sizes(plain, vocabulary)
        QwenGraph(graph, sizes, load, precision=precision).build()
    graph.write(path)


class _Merged:
    """Weights with what LoRA adds to them."""

    def __init__(self, weights: GgufWeights, lora: Path) -> None:
        self._weights = weights
        self._alpha, self._lora = lora_tensors(lora)

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return self._weights.has(name)

    def tensor(self, name: str, *shape: int) -> Floats:
        """A tensor; ModelError if it is missing or of another size, or LoRA is."""
        weight = self._weights.tensor(name, *shape)
        if f"{name}.lora_a" not in self._lora:
            return weight
        into, out = (self._lora[f"{name}.lora_{side}"].astype(np.float32) for side in "ab")
        if (out.shape[0], into.shape[1]) != weight.shape:
            raise ModelError(f"LoRA of {name} is of another size: it is of another LLM")
        merged: Floats = weight + (out @ into) * np.float32(self._alpha / len(into))
        return merged
