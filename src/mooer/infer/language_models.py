"""Language models of any kind, as scorers of text.

lm = load_language_model("domain.arpa")                      # ARPA, KenLM's binary, ours
lm = load_language_model("store:qwen2.5-0.5b", context="A talk on cardiology.")
lm.logprobs(["the heart rate is", "the hard rate is"])
"""

from __future__ import annotations

import os
from pathlib import Path

from mooer.decoding.lm.load import read_ngram
from mooer.decoding.lm.neural import NeuralText
from mooer.decoding.lm.text_lm import NGramText
from mooer.decoding.lm.units import UnitKind
from mooer.engines.causal_lm import CausalLM
from mooer.errors import ConfigError
from mooer.store import located

GGUF = ".gguf"


def load_language_model(
    path: str | os.PathLike[str],
    *,
    context: str = "",
    kind: UnitKind | None = None,
    num_threads: int | None = None,
) -> NGramText | NeuralText:
    """An n-gram model, or a neural one: a GGUF file, a folder with one, or one of transformers.

    `path` may be store:NAME. `context` is what a neural model reads before every text; `kind` are
    the units of an n-gram model, found by their looks where not given. ModelError says what is
    wrong with the files, ConfigError that one of the two does not fit the kind of model.
    """
    place = located(path)
    is_neural = place.is_dir() or place.suffix.lower() == GGUF
    if is_neural and kind is not None:
        raise ConfigError(f"{path} is a neural model: its units are its own, leave {kind!r} out")
    if not is_neural:
        if context:
            raise ConfigError(f"{path} is no neural model: it reads no context, leave it out")
        return NGramText(read_ngram(place), kind)
    if (place / "config.json").exists():
        return _by_transformers(place, context)
    return NeuralText(CausalLM(place, context=context, num_threads=num_threads))


def _by_transformers(folder: Path, context: str) -> NeuralText:
    from mooer.models.causal_lm import TorchCausalLM  # late: it needs torch
    from mooer.models.llm import LlmConfig, load_llm

    model, tokenizer = load_llm(LlmConfig(str(folder)))
    return NeuralText(TorchCausalLM(model, tokenizer, context=context))
