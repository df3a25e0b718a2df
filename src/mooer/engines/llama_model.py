"""A GGUF model as llama.cpp loads it: its tokenizer, and what its file says."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from mooer.engines.llama_library import Library, llama_library
from mooer.engines.llm import find_gguf
from mooer.errors import DecodeError, ModelError

_NO_TOKENIZER = 0  # type of vocabulary
_MAX_PIECE_BYTES = 1024


class LlamaModel:
    """`vocabulary_only`: its weights stay in the file.

    ModelError if the file is missing, damaged, or of no causal LM.
    """

    def __init__(self, path: Path, *, vocabulary_only: bool = False) -> None:
        self._library = llama_library()
        self.path = find_gguf(path)
        self._model = _load_model(self._library, self.path, vocabulary_only)
        self._vocabulary = self._library.llama_model_get_vocab(self._model)
        self.num_tokens = int(self._library.llama_vocab_n_tokens(self._vocabulary))

    def close(self) -> None:
        """Give the memory back."""
        model, self._model = self._model, None
        if model is not None:
            self._library.llama_model_free(model)  # and its LoRA

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Ids of a text; `special`: names such as <|im_end|> are one id, and not letters."""
        self._require_tokenizer()
        data = text.encode()
        room = len(data) + 8
        ids = (ctypes.c_int32 * room)()
        num = self._library.llama_tokenize(
            self._vocabulary, data, len(data), ids, room, False, special
        )
        assert num >= 0, "more ids than bytes"
        return list(ids[:num])

    def piece(self, token: int, special: bool = False) -> bytes:
        """The bytes that an id stands for; a special one stands for none, if not `special`."""
        self._require_tokenizer()
        if not 0 <= token < self.num_tokens:
            raise DecodeError(f"id {token} is not one of the {self.num_tokens} of {self.path.name}")
        text = ctypes.create_string_buffer(_MAX_PIECE_BYTES)
        num = self._library.llama_token_to_piece(
            self._vocabulary, token, text, _MAX_PIECE_BYTES, 0, special
        )
        return text.raw[: max(0, num)]

    def beginning(self) -> int | None:
        """The id that begins a text, by what the file says; None if it names none."""
        self._require_tokenizer()
        # llama.cpp has one of its own for a file that names none.
        value = ctypes.create_string_buffer(_MAX_PIECE_BYTES)
        ask = self._library.llama_model_meta_val_str
        if ask(self._model, b"tokenizer.ggml.bos_token_id", value, _MAX_PIECE_BYTES) < 0:
            return None
        token = int(self._library.llama_vocab_bos(self._vocabulary))
        return token if 0 <= token < self.num_tokens else None

    def ends(self) -> frozenset[int]:
        """The ids that end an answer, by what the file says."""
        is_end = self._library.llama_vocab_is_eog
        return frozenset(i for i in range(self.num_tokens) if is_end(self._vocabulary, i))

    def _live(self) -> None:
        if self._model is None:
            raise ModelError(f"{self.path.name} has been closed: load it again")

    def _require_tokenizer(self) -> None:
        self._live()
        if self._library.llama_vocab_type(self._vocabulary) == _NO_TOKENIZER:
            raise ModelError(f"{self.path} holds no tokenizer: give ids instead of text")


def _load_model(library: Library, path: Path, vocabulary_only: bool) -> Any:
    library.silence()
    library.errors.clear()
    params = library.llama_model_default_params()
    params.vocab_only = vocabulary_only
    model = library.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise ModelError(
            f"{path} cannot be loaded: it is damaged, incomplete or of a kind that this "
            f"llama.cpp does not know{cause(library)}"
        )
    if (
        library.llama_model_has_encoder(model)
        or library.llama_model_is_recurrent(model)
        or library.llama_model_is_hybrid(model)
    ):
        library.llama_model_free(model)
        raise ModelError(f"{path} is no decoder with attention alone: use one such as Qwen2.5")
    return model


def cause(library: Library) -> str:
    """What llama.cpp logged first, in brackets."""
    if not library.errors:
        return ""
    return f" ({library.errors[0].split(': ', 1)[-1].splitlines()[0]})"
