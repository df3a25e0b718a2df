"""llama.cpp's C interface, as the shared library inside xllamacpp exports it.

Only what reading embeddings needs. Structs that llama.cpp takes by value come from its own
`*_default_params()`; their layout belongs to a version of llama.cpp and is told by no function, so
every field is compared with the default that is known for it, and a library that is laid out
otherwise is refused. Larger copies than the library's own do no harm: it reads its part of them.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from collections import deque
from ctypes import (
    POINTER,
    c_bool,
    c_char_p,
    c_float,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_void_p,
)
from typing import Any, NamedTuple

from mooer.errors import ModelError

KNOWN_VERSIONS = "2026.10"  # of xllamacpp, whose layout is the one below
F32, F16 = 0, 1  # element types of the KV cache
ABORTED = 2  # what llama_decode answers after the abort callback said so
_ERROR_LEVEL = 4
_SPARE_BYTES = 512  # for fields that a later version adds at the end
_LOG = logging.getLogger(__name__)


class _Field(NamedTuple):
    name: str
    kind: Any
    default: float | None  # as llama.cpp sets it; None: not compared


_MODEL_FIELDS = (
    _Field("devices", c_void_p, None),
    _Field("tensor_buft_overrides", c_void_p, None),
    _Field("n_gpu_layers", c_int32, -1),
    _Field("split_mode", c_int32, 1),
    _Field("load_mode", c_int32, -1),
    _Field("lazy_mode", c_int32, 1),
    _Field("main_gpu", c_int32, 0),
    _Field("tensor_split", c_void_p, None),
    _Field("progress_callback", c_void_p, None),
    _Field("progress_callback_user_data", c_void_p, None),
    _Field("kv_overrides", c_void_p, None),
    _Field("vocab_only", c_bool, 0),
    _Field("check_tensors", c_bool, 0),
    _Field("use_extra_bufts", c_bool, 1),
    _Field("no_host", c_bool, 0),
    _Field("no_alloc", c_bool, 0),
)
_CONTEXT_FIELDS = (
    _Field("n_ctx", c_uint32, 512),
    _Field("n_batch", c_uint32, 2048),
    _Field("n_ubatch", c_uint32, 512),
    _Field("n_seq_max", c_uint32, 1),
    _Field("n_rs_seq", c_uint32, 0),
    _Field("n_outputs_max", c_uint32, 0),
    _Field("n_outputs_max_per_seq", c_uint32, 1),
    _Field("n_threads", c_int32, 4),
    _Field("n_threads_batch", c_int32, 4),
    _Field("ctx_type", c_int32, 0),
    _Field("rope_scaling_type", c_int32, -1),
    _Field("pooling_type", c_int32, -1),
    _Field("attention_type", c_int32, -1),
    _Field("flash_attn_type", c_int32, -1),
    _Field("rope_freq_base", c_float, 0),
    _Field("rope_freq_scale", c_float, 0),
    _Field("yarn_ext_factor", c_float, -1),
    _Field("yarn_attn_factor", c_float, -1),
    _Field("yarn_beta_fast", c_float, -1),
    _Field("yarn_beta_slow", c_float, -1),
    _Field("yarn_orig_ctx", c_uint32, 0),
    _Field("defrag_thold", c_float, -1),
    _Field("cb_eval", c_void_p, None),
    _Field("cb_eval_user_data", c_void_p, None),
    _Field("type_k", c_int32, F16),
    _Field("type_v", c_int32, F16),
    _Field("callbacks", c_void_p * 3, None),
    _Field("embeddings", c_bool, 0),
    _Field("offload_kqv", c_bool, 1),
    _Field("no_perf", c_bool, 1),
    _Field("op_offload", c_bool, 1),
    _Field("swa_full", c_bool, 1),
    _Field("kv_unified", c_bool, 0),
)


class _Spare(ctypes.Structure):
    _fields_ = (("spare", ctypes.c_uint8 * _SPARE_BYTES),)


class ModelParams(ctypes.Structure):
    """llama_model_params, and room after it."""

    _fields_ = (*((f.name, f.kind) for f in _MODEL_FIELDS), ("rest", _Spare))


class ContextParams(ctypes.Structure):
    """llama_context_params, and room after it."""

    _fields_ = (*((f.name, f.kind) for f in _CONTEXT_FIELDS), ("rest", _Spare))


class Batch(ctypes.Structure):
    """llama_batch: rows of tokens or of embeddings, each with its place in a sequence."""

    _fields_ = (
        ("n_tokens", c_int32),
        ("token", c_void_p),  # int32 [N], or null
        ("embd", c_void_p),  # float32 [N, W], or null
        ("pos", c_void_p),  # int32 [N]
        ("n_seq_id", c_void_p),  # int32 [N]: of how many sequences a row is part
        ("seq_id", c_void_p),  # pointers to int32 [N]
        ("logits", c_void_p),  # int8 [N]: whether logits are wanted
    )


class GgufParams(ctypes.Structure):
    """gguf_init_params: whether to leave the tensors in the file, and where to put them."""

    _fields_ = (("no_alloc", c_bool), ("ctx", c_void_p))


_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (c_void_p, c_void_p)),
    "llama_model_default_params": (ModelParams, ()),
    "llama_context_default_params": (ContextParams, ()),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParams)),
    "llama_model_free": (None, (c_void_p,)),
    "llama_model_has_encoder": (c_bool, (c_void_p,)),
    "llama_model_is_recurrent": (c_bool, (c_void_p,)),
    "llama_model_is_hybrid": (c_bool, (c_void_p,)),
    "llama_model_n_embd": (c_int32, (c_void_p,)),
    "llama_model_n_ctx_train": (c_int32, (c_void_p,)),
    "llama_model_meta_val_str": (c_int32, (c_void_p, c_char_p, c_char_p, c_size_t)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_vocab_type": (c_int32, (c_void_p,)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
    "llama_vocab_bos": (c_int32, (c_void_p,)),
    "llama_vocab_is_eog": (c_bool, (c_void_p, c_int32)),
    "llama_tokenize": (
        c_int32,
        (c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool),
    ),
    "llama_token_to_piece": (
        c_int32,
        (c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool),
    ),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParams)),
    "llama_free": (None, (c_void_p,)),
    "llama_n_ctx": (c_uint32, (c_void_p,)),
    "llama_n_ctx_seq": (c_uint32, (c_void_p,)),
    "llama_n_batch": (c_uint32, (c_void_p,)),
    "llama_n_ubatch": (c_uint32, (c_void_p,)),
    "llama_n_seq_max": (c_uint32, (c_void_p,)),
    "llama_n_threads": (c_int32, (c_void_p,)),
    "llama_set_abort_callback": (None, (c_void_p, c_void_p, c_void_p)),
    "llama_adapter_lora_init": (c_void_p, (c_void_p, c_char_p)),
    "llama_set_adapters_lora": (
        c_int32,
        (c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float)),
    ),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "llama_memory_seq_cp": (None, (c_void_p, c_int32, c_int32, c_int32, c_int32)),
    "llama_batch_init": (Batch, (c_int32, c_int32, c_int32)),
    "llama_batch_free": (None, (Batch,)),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_get_logits_ith": (POINTER(c_float), (c_void_p, c_int32)),
    "gguf_init_from_file": (c_void_p, (c_char_p, GgufParams)),
    "gguf_free": (None, (c_void_p,)),
    "gguf_find_key": (c_int64, (c_void_p, c_char_p)),
    "gguf_get_kv_type": (c_int32, (c_void_p, c_int64)),
    "gguf_get_val_u32": (c_uint32, (c_void_p, c_int64)),
    "gguf_get_val_f32": (c_float, (c_void_p, c_int64)),
    "gguf_get_data_offset": (c_size_t, (c_void_p,)),
    "gguf_find_tensor": (c_int64, (c_void_p, c_char_p)),
    "gguf_get_tensor_offset": (c_size_t, (c_void_p, c_int64)),
    "gguf_get_tensor_type": (c_int32, (c_void_p, c_int64)),
    "gguf_get_tensor_size": (c_size_t, (c_void_p, c_int64)),
    "ggml_type_name": (c_char_p, (c_int32,)),
    "ggml_row_size": (c_size_t, (c_int32, c_int64)),
}


class Library:
    """The functions as attributes, typed; `errors` are the last that llama.cpp logged."""

    def __init__(self, path: str) -> None:
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be loaded: {error}") from error
        for name, (result, arguments) in _FUNCTIONS.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise _unknown(path, f"it has no {name}") from None
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self.path = path
        self._library = library
        self.errors: deque[str] = deque(maxlen=4)
        self._on_log = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)(self._note)
        self.silence()
        self.check(self.llama_model_default_params(), _MODEL_FIELDS)
        self.check(self.llama_context_default_params(), _CONTEXT_FIELDS)
        self.check_batch(width=0)
        self.check_batch(width=1)
        self.llama_backend_init()

    def __getattr__(self, name: str) -> Any:  # for type checkers: the functions are set above
        raise AttributeError(name)

    def unpacker(self, kind: str) -> Any:
        """What turns so many packed numbers into float32, given both addresses; None if unknown."""
        try:
            function = getattr(self._library, f"dequantize_row_{kind}")
        except AttributeError:
            return None
        function.restype, function.argtypes = None, (c_void_p, c_void_p, c_int64)
        return function

    def silence(self) -> None:
        """Send llama.cpp's log to ours; another user of the library may have taken it back."""
        self.llama_log_set(ctypes.cast(self._on_log, c_void_p), None)

    def _note(self, level: int, text: bytes | None, _: object) -> None:
        line = (text or b"").decode(errors="replace").strip()
        if level == _ERROR_LEVEL and line:
            self.errors.append(line)
        _LOG.debug("%s", line)

    def check(self, params: ctypes.Structure, fields: tuple[_Field, ...]) -> None:
        """ModelError if a field does not hold what llama.cpp puts there by default."""
        for field in fields:
            found, expected = getattr(params, field.name), field.default
            if isinstance(found, ctypes.Array):  # of pointers, all of them null
                found = next(filter(None, found), None)
            if found != expected:
                raise _unknown(self.path, f"{field.name} is {found}, not {expected}")

    def check_batch(self, width: int) -> None:
        """ModelError if a batch that llama.cpp allocates has not the fields of ours."""
        batch: Batch = self.llama_batch_init(1, width, 1)
        wanted, other = (batch.embd, batch.token) if width else (batch.token, batch.embd)
        filled = (wanted, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits)
        if batch.n_tokens or other or not all(filled):
            raise _unknown(self.path, "llama_batch has another layout")
        self.llama_batch_free(batch)


def _unknown(path: str, why: str) -> ModelError:
    return ModelError(
        f"{path} is of a version that is not known here ({why}): install xllamacpp {KNOWN_VERSIONS}"
    )


@functools.cache
def llama_library() -> Library:
    """The library inside xllamacpp, checked once. ModelError if its version is not known."""
    from xllamacpp import xllamacpp  # late: a hundred megabytes

    return Library(str(xllamacpp.__file__))
