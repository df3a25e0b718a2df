"""A GGUF model in llama.cpp that reads rows of ids or of embeddings, sequence by sequence."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.engines.llama_library import ABORTED, F32, Batch
from mooer.engines.llama_model import LlamaModel, cause
from mooer.engines.llm import find_gguf, usable_cores
from mooer.errors import DecodeError, ModelError

BATCH_ROWS = 128  # evaluated at once: bounds memory, and is as fast as more
_GO, _STOP = b"\0\0", b"!\0"

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """Where a row goes, and whether the logits after it are wanted."""

    sequence: int
    position: int
    wanted: bool


class Context(Protocol):
    """What jobs are run by; `LlamaContext` is one."""

    context_tokens: int

    def evaluate(self, content: Sequence[int] | Floats, rows: Sequence[Row]) -> list[Floats]:
        """Logits [V] after every row that wants them, of ids or embeddings [N, W]."""
        ...

    def copy(self, source: int, target: int, num_rows: int) -> None:
        """Let the sequence `target` begin with the first rows of `source`."""
        ...

    def remove(self, sequence: int) -> None:
        """Forget a sequence."""
        ...

    def clear(self) -> None:
        """Forget all sequences."""
        ...


class LlamaContext(LlamaModel):
    """Model, LoRA and KV cache; one cache of cells that all sequences share.

    `context_tokens` cells hold the rows of all sequences together; one that sequences share
    (`copy`) is held once. `exact` keeps and computes attention in float32.

    ModelError if a file is missing, damaged, or of no causal LM.
    """

    def __init__(
        self,
        path: Path,
        *,
        lora: Path | None = None,
        num_threads: int | None = None,
        context_tokens: int = 4096,
        num_sequences: int = 8,
        exact: bool = False,
    ) -> None:
        self._context: Any = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="mooer-llama")
        self._lock = threading.Lock()  # held while the model is used, so that it is not closed
        self._stop = ctypes.create_string_buffer(2)  # not empty: stop; see `_set_abort`
        self.context_tokens = context_tokens
        super().__init__(path)
        try:
            self.width = int(self._library.llama_model_n_embd(self._model))
            threads = num_threads or usable_cores()
            self._context = self._open(threads, num_sequences, exact)
            self._memory = self._library.llama_get_memory(self._context)
            self._set_abort()
            if lora is not None:
                self._apply(find_gguf(lora))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the memory back; what is being evaluated stops first."""
        self._stop.raw = _STOP
        with self._lock:
            context, self._context = self._context, None
            if context is not None:
                self._library.llama_free(context)
            super().close()
        self._worker.shutdown()

    def evaluate(self, content: Sequence[int] | Floats, rows: Sequence[Row]) -> list[Floats]:
        """Logits [V] after every row that wants them, of ids or embeddings [N, W].

        At most `BATCH_ROWS` rows; the logits are copies. An interrupt stops llama.cpp and is
        raised. DecodeError if the cache is full, or if somebody closes it meanwhile.
        """
        assert len(content) == len(rows) <= BATCH_ROWS, (len(content), len(rows))
        arrays = _arrays(content, rows)
        self._live()
        task = self._worker.submit(self._decode, arrays)
        try:
            code, logits = task.result()
        except BaseException:
            self._stop.raw = _STOP
            task.exception()  # wait until it has stopped
            if self._context is not None:
                self._stop.raw = _GO
            raise
        if code == ABORTED:
            raise DecodeError(f"{self.path.name} was closed while it answered")
        if code != 0:
            raise DecodeError(
                f"llama.cpp could not read {len(rows)} rows into its cache of "
                f"{self.context_tokens} (code {code}): raise context_tokens"
            )
        return logits

    def copy(self, source: int, target: int, num_rows: int) -> None:
        """Let the sequence `target` begin with the first rows of `source`, which it shares."""
        with self._lock:
            self._live()
            self._library.llama_memory_seq_cp(self._memory, source, target, 0, num_rows)

    def remove(self, sequence: int) -> None:
        """Forget a sequence."""
        with self._lock:
            if self._context is not None:
                self._library.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def clear(self) -> None:
        """Forget all sequences, and write zeros over them: what is NaN there would spread."""
        with self._lock:
            if self._context is not None:
                self._library.llama_memory_clear(self._memory, True)

    def _open(self, num_threads: int, num_sequences: int, exact: bool) -> Any:
        library = self._library
        params = library.llama_context_default_params()
        params.n_ctx = self.context_tokens
        params.n_batch = params.n_ubatch = BATCH_ROWS
        params.n_seq_max = num_sequences
        params.n_threads = params.n_threads_batch = num_threads
        if exact:
            params.type_k = params.type_v = F32
            params.flash_attn_type = 0  # it computes in half precision
        params.kv_unified = True  # so that a prefix is shared, and any sequence may be long
        context = library.llama_init_from_model(self._model, params)
        if not context:
            raise ModelError(
                f"{self.path} cannot be given a context of {self.context_tokens} tokens and "
                f"{num_sequences} sequences{cause(library)}: make it smaller"
            )
        self._context = context
        self.context_tokens = int(library.llama_n_ctx(context))  # it rounds up
        told = (
            library.llama_n_batch(context),
            library.llama_n_seq_max(context),
            library.llama_n_threads(context),
            library.llama_n_ctx_seq(context),  # as long as all, if they share
        )
        if told != (BATCH_ROWS, num_sequences, num_threads, self.context_tokens):
            raise ModelError(
                f"{library.path} did not take its parameters (it says {told}): install a known "
                "version of xllamacpp"
            )
        return context

    def _set_abort(self) -> None:
        # llama.cpp asks after every node of the graph. A callback in Python would wait for the
        # interpreter each time; `strlen` answers from memory, 0 while `_stop` is empty.
        libc = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
        address = ctypes.cast(libc.strlen, ctypes.c_void_p)
        self._library.llama_set_abort_callback(self._context, address, self._stop)

    def _apply(self, path: Path) -> None:
        self._library.errors.clear()
        adapter = self._library.llama_adapter_lora_init(self._model, str(path).encode())
        if not adapter:
            raise ModelError(
                f"{path} is not a LoRA of {self.path.name}{cause(self._library)}: use the one "
                "that was trained on this model"
            )
        adapters = (ctypes.c_void_p * 1)(adapter)
        scales = (ctypes.c_float * 1)(1.0)
        if self._library.llama_set_adapters_lora(self._context, adapters, 1, scales) != 0:
            raise ModelError(f"{path} cannot be applied to {self.path.name}")

    def _decode(self, arrays: dict[str, NDArray[Any]]) -> tuple[int, list[Floats]]:
        batch = Batch(n_tokens=len(arrays["pos"]))
        for name, array in arrays.items():
            if name != "sequences":  # which is there for the pointers to it
                setattr(batch, name, array.ctypes.data)
        with self._lock:
            if self._context is None:
                return ABORTED, []
            code = int(self._library.llama_decode(self._context, batch))
            wanted = np.flatnonzero(arrays["logits"]).tolist() if code == 0 else []
            return code, [self._logits(i) for i in wanted]

    def _logits(self, index: int) -> Floats:
        pointer = self._library.llama_get_logits_ith(self._context, index)
        assert pointer, "logits were asked for"
        return np.array(np.ctypeslib.as_array(pointer, (self.num_tokens,)), np.float32)


def _arrays(content: Sequence[int] | Floats, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """The fields of a llama_batch; it points to these arrays, which must outlive its use."""
    sequences = np.array([row.sequence for row in rows], np.int32)
    steps = np.arange(len(rows), dtype=np.uint64) * sequences.itemsize
    arrays = {
        "pos": np.array([row.position for row in rows], np.int32),
        "n_seq_id": np.ones(len(rows), np.int32),
        "sequences": sequences,
        "seq_id": (np.uint64(sequences.ctypes.data) + steps).astype(np.uintp),
        "logits": np.array([row.wanted for row in rows], np.int8),
    }
    if isinstance(content, np.ndarray) and content.ndim == 2:
        arrays["embd"] = np.ascontiguousarray(content, np.float32)
    else:
        arrays["token"] = np.array(content, np.int32)
    return arrays
