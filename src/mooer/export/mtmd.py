"""llama.cpp's multimodal library (libmtmd): what its network makes of a recording.

The functions are in the shared library inside xllamacpp. As in `engines.llama_library`, fields are
compared with their known defaults, and a library that is laid out otherwise is refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
from collections import deque
from collections.abc import Iterator
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int32, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.engines.llama_library import KNOWN_VERSIONS, llama_library
from mooer.errors import DecodeError, ModelError

Floats = NDArray[np.float32]

_LOG = logging.getLogger(__name__)
_ERRORS: deque[str] = deque(maxlen=4)
_ERROR_LEVEL = 4
_AUDIO = 2  # type of a chunk
_OFF = 0  # flash attention, which would round keys and values to 16 bits
_KNOWN_DEFAULTS = {
    "use_gpu": True,
    "device": None,
    "print_timings": True,
    "n_threads": 4,
    "image_marker": None,
    "flash_attn_type": -1,
    "warmup": True,
    "image_min_tokens": -1,
    "image_max_tokens": -1,
    "cb_eval": None,
    "cb_eval_user_data": None,
    "batch_max_tokens": 1024,
    "progress_callback": None,
    "progress_callback_user_data": None,
}


class _Params(ctypes.Structure):
    """mtmd_context_params, and room for fields that a later version adds."""

    _fields_ = (
        ("use_gpu", c_bool),
        ("device", c_void_p),
        ("print_timings", c_bool),
        ("n_threads", c_int32),
        ("image_marker", c_char_p),
        ("media_marker", c_char_p),
        ("flash_attn_type", c_int32),
        ("warmup", c_bool),
        ("image_min_tokens", c_int32),
        ("image_max_tokens", c_int32),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("batch_max_tokens", c_int32),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("spare", ctypes.c_uint8 * 256),
    )


class _Text(ctypes.Structure):
    """mtmd_input_text."""

    _fields_ = (
        ("text", c_char_p),
        ("text_len", c_size_t),
        ("add_special", c_bool),
        ("parse_special", c_bool),
    )


_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "mtmd_log_set": (None, (c_void_p, c_void_p)),
    "mtmd_default_marker": (c_char_p, ()),
    "mtmd_context_params_default": (_Params, ()),
    "mtmd_init_from_file": (c_void_p, (c_char_p, c_void_p, _Params)),
    "mtmd_free": (None, (c_void_p,)),
    "mtmd_support_audio": (c_bool, (c_void_p,)),
    "mtmd_bitmap_init_from_audio": (c_void_p, (c_size_t, c_void_p)),
    "mtmd_bitmap_free": (None, (c_void_p,)),
    "mtmd_input_chunks_init": (c_void_p, ()),
    "mtmd_input_chunks_size": (c_size_t, (c_void_p,)),
    "mtmd_input_chunks_get": (c_void_p, (c_void_p, c_size_t)),
    "mtmd_input_chunks_free": (None, (c_void_p,)),
    "mtmd_input_chunk_get_type": (c_int32, (c_void_p,)),
    "mtmd_input_chunk_get_n_tokens": (c_size_t, (c_void_p,)),
    "mtmd_tokenize": (
        c_int32,
        (c_void_p, c_void_p, POINTER(_Text), POINTER(c_void_p), c_size_t),
    ),
    "mtmd_encode_chunk": (c_int32, (c_void_p, c_void_p)),
    "mtmd_get_output_embd": (POINTER(c_float), (c_void_p,)),
}


class AudioProjector:
    """An mmproj file beside the LLM that it is for: recordings in, embeddings out.

    ModelError if llama.cpp takes either file for damaged, or the two for parts of two models.
    """

    def __init__(self, path: Path, llm: Path, *, num_threads: int = 2) -> None:
        self._context = self._model = None
        self._llama = llama_library()
        self._library = _bind(self._llama.path)
        self._llama.silence()
        self._library.mtmd_log_set(ctypes.cast(_ON_LOG, c_void_p), None)
        _ERRORS.clear()
        self._model = self._llama.llama_model_load_from_file(
            str(llm).encode(), self._llama.llama_model_default_params()
        )
        if not self._model:
            raise ModelError(f"llama.cpp cannot load {llm}: export it again")
        self.width = int(self._llama.llama_model_n_embd(self._model))
        params = self._library.mtmd_context_params_default()
        params.use_gpu = params.print_timings = params.warmup = False
        params.n_threads, params.flash_attn_type = num_threads, _OFF
        self._context = self._library.mtmd_init_from_file(str(path).encode(), self._model, params)
        if not self._context or not self._library.mtmd_support_audio(self._context):
            self.close()
            raise ModelError(f"llama.cpp cannot load {path}{_cause()}: export it again")

    def embed(self, samples: Floats) -> Floats:
        """Embeddings [N, W] of samples [T] at 16 kHz, of all windows of 30 s one after another."""
        library = self._library
        if self._context is None:
            raise ModelError("the projector has been closed: load it again")
        found = []
        with self._chunks(samples) as chunks:
            for i in range(library.mtmd_input_chunks_size(chunks)):
                chunk = library.mtmd_input_chunks_get(chunks, i)
                if library.mtmd_input_chunk_get_type(chunk) != _AUDIO:
                    continue
                if library.mtmd_encode_chunk(self._context, chunk) != 0:
                    raise DecodeError(f"llama.cpp could not encode the recording{_cause()}")
                rows = library.mtmd_input_chunk_get_n_tokens(chunk)
                pointer = library.mtmd_get_output_embd(self._context)
                found.append(np.ctypeslib.as_array(pointer, (rows, self.width)).copy())
        return np.concatenate(found)

    def close(self) -> None:
        """Give the memory back."""
        if self._context is not None:
            self._library.mtmd_free(self._context)
        if self._model is not None:
            self._llama.llama_model_free(self._model)
        self._context = self._model = None

    def __enter__(self) -> AudioProjector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _chunks(self, samples: Floats) -> Iterator[Any]:
        """A prompt of nothing but the recording, as llama.cpp cuts it."""
        library = self._library
        samples = np.ascontiguousarray(samples, np.float32)
        marker = library.mtmd_default_marker()
        text = _Text(marker, len(marker), False, True)
        recording = library.mtmd_bitmap_init_from_audio(len(samples), samples.ctypes.data)
        chunks = library.mtmd_input_chunks_init()
        try:
            recordings = (c_void_p * 1)(recording)
            code = library.mtmd_tokenize(self._context, chunks, text, recordings, 1)
            if code != 0:
                raise DecodeError(f"llama.cpp could not read the recording (code {code})")
            yield chunks
        finally:
            library.mtmd_input_chunks_free(chunks)
            library.mtmd_bitmap_free(recording)


def _note(level: int, text: bytes | None, _: object) -> None:
    line = (text or b"").decode(errors="replace").strip()
    if level == _ERROR_LEVEL and line:
        _ERRORS.append(line)
    _LOG.debug("%s", line)


_ON_LOG = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)(_note)  # kept: the library calls it


def _cause() -> str:
    return f" ({_ERRORS[0]})" if _ERRORS else ""


@functools.cache
def _bind(path: str) -> Any:
    library = ctypes.CDLL(path)
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise _unknown(f"it has no {name}") from None
        function.restype, function.argtypes = result, arguments
    params = library.mtmd_context_params_default()
    for name, expected in _KNOWN_DEFAULTS.items():
        if (found := getattr(params, name)) != expected:
            raise _unknown(f"{name} is {found}, not {expected}")
    if params.media_marker != library.mtmd_default_marker():
        raise _unknown("media_marker stands elsewhere")
    return library


def _unknown(why: str) -> ModelError:
    return ModelError(
        f"libmtmd is of a version that is not known here ({why}): install xllamacpp "
        f"{KNOWN_VERSIONS}"
    )
