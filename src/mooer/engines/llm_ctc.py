"""The CTC head of a saved speech LLM, without torch: what its adapter hears, spelled by tokens.

    model = LlmCtc(folder)
    model.log_probs(samples)    # [F, V], mini's every 80 ms
    model.units.text(...)

`mooer.models.ctc` in numpy: the score of a token is the scaled cosine between an embedding of the
sound and the LLM's embedding of that token. Of the LLM nothing else is read, and nothing is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.engines.device import CPU
from mooer.engines.gguf_weights import GgufWeights
from mooer.engines.llama_model import LlamaModel
from mooer.engines.lora_gguf import read_architecture
from mooer.engines.speech_folder import CTC, SpeechEar, llm_file, read_options
from mooer.errors import ModelError
from mooer.store.safetensors import read_safetensors
from mooer.text import to_simplified
from mooer.text.units import BLANK, START, Units, spoken_runs

Floats = NDArray[np.float32]

MIN_S = 0.1  # of sound, or silence is added: less than a frame
_TENSORS = ("bias", "blank", "ids", "log_scale")


class LlmCtc:
    """A `CtcModel` whose units are tokens of an LLM, without those that are no whole character.

    ModelError if the folder is of no speech LLM with a CTC head, or what is in it does not fit.
    """

    blank = BLANK
    change_cost = 0.0  # it was taught by whole texts, and does not waver

    def __init__(
        self,
        folder: Path,
        *,
        device: str = CPU,  # of the encoder; see `engines.device.place`, also of None
        compute_type: str | None = None,
        num_threads: int = 0,
    ) -> None:
        options = read_options(folder)
        path = llm_file(options.llm.path, folder)
        head = _read(folder / CTC)
        self._vocabulary = LlamaModel(path, vocabulary_only=True)
        written = [(token, self._written(token)) for token in head["ids"].tolist()]
        known = {token: name for token, name in written if name}
        # What the LLM's own tokens cannot spell is spelled by as few units as can be.
        self.units = Units(tuple(known.values()), (-1.0,) * len(known), ("",) * len(known))
        self._classes = {token: place for place, token in enumerate(known, 1)}
        rows = _embeddings(path, list(known))
        if head["blank"].shape != rows.shape[1:]:
            raise ModelError(f"{folder / CTC} is a head for another LLM than {path.name}")
        self._directions = _normal(np.concatenate([head["blank"][None].astype(np.float32), rows]))
        self._scale = np.float32(np.exp(head["log_scale"].astype(np.float32)))
        self._bias = np.float32(head["bias"])
        self._ear = SpeechEar(
            folder,
            options,
            rows.shape[1],
            device=device,
            compute_type=compute_type,
            num_threads=num_threads,
        )
        self.frame_s = self._ear.frame_s

    def log_probs(self, samples: Floats) -> Floats:
        """Log-probabilities [F, V] of classes every `frame_s`, of up to 30 s of 16 kHz sound."""
        missing = round(MIN_S * SAMPLE_RATE_HZ) - len(samples)
        [heard] = self._ear.hear([np.pad(samples, (0, missing)) if missing > 0 else samples])
        scores: Floats = self._scale * (_normal(heard) @ self._directions.T)
        scores[:, BLANK] += self._bias
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return scores

    def spell(self, word: str) -> tuple[int, ...]:
        """Classes of a word or a Chinese character; () if it cannot be spelled."""
        found: list[int] = []
        for run in spoken_runs(to_simplified(word)):
            tokens = self._vocabulary.encode(run.replace(START, " "), special=False)
            if self._classes.keys() >= set(tokens):
                found += [self._classes[token] for token in tokens]
            elif spelled := self.units.spell(run.strip(START)):
                found += spelled
            else:
                return ()
        return tuple(found)

    def _written(self, token: int) -> str:
        """How a unit of this token is called; "" if it is a part of a character, or a space."""
        try:
            text = self._vocabulary.piece(token).decode()
        except UnicodeDecodeError:
            return ""
        name = text.strip()
        return f"{START}{name}" if name and text[0] == " " else name


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The head's own tensors; ModelError if the file is of no such head."""
    if not path.is_file():
        raise ModelError(f"{path.parent} has no {CTC}: this speech LLM was trained without CTC")
    head = read_safetensors(path)
    if sorted(head) != sorted(_TENSORS) or head["ids"].ndim != 1 or not len(head["ids"]):
        raise ModelError(f"{path} is no CTC head of a speech LLM: fetch it again")
    if not all(np.isfinite(head[name]).all() for name in _TENSORS):
        raise ModelError(f"{path} is not finite: fetch it again")
    return head


def _embeddings(path: Path, tokens: Sequence[int]) -> Floats:
    """Rows [N, W] of an LLM's embeddings; ModelError if it has no such tokens."""
    weights = GgufWeights(path)
    try:
        width = int(weights.number(f"{read_architecture(path)}.embedding_length"))
        return weights.rows("token_embd.weight", tokens, width)
    finally:
        weights.close()


def _normal(rows: Floats) -> Floats:
    """Rows [N, W] of length 1."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    normal: Floats = rows / np.maximum(lengths, np.float32(1e-12))
    return normal
