"""Language models by their files."""

import pytest
from tests.conftest import ROOT
from tests.models.folders import save_gguf, save_llm
from tests.tiny import tiny_llm

from mooer.decoding.lm.neural import NeuralText
from mooer.decoding.lm.perplexity import scores_by_text, text_score
from mooer.decoding.lm.text_lm import NGramText
from mooer.engines.causal_lm import CausalLM
from mooer.errors import ConfigError, ModelError
from mooer.infer.language_models import load_language_model
from mooer.models.causal_lm import TorchCausalLM

ARPA = ROOT / "tests" / "golden" / "lm" / "pruned.arpa.gz"
TEXTS = ["the river", "你好", "", "go"]


def test_a_gguf_file_and_a_folder(tmp_path):
    (tmp_path / "hub").mkdir()
    save_llm(tmp_path / "hub")
    save_gguf(tmp_path / "tiny.gguf", tiny_llm())
    by_torch = load_language_model(tmp_path / "hub")
    by_llama = load_language_model(tmp_path / "tiny.gguf", num_threads=1)
    assert isinstance(by_torch, NeuralText)
    assert isinstance(by_torch.model, TorchCausalLM)
    assert isinstance(by_llama, NeuralText)
    assert isinstance(by_llama.model, CausalLM)
    by_llama.model.close()


def test_an_ngram_model():
    lm = load_language_model(str(ARPA), kind="words")
    assert isinstance(lm, NGramText)
    assert lm.kind == "words"
    found = list(scores_by_text(lm, TEXTS))
    assert [one.num_units for one in found] == [2, 2, 1]
    assert [one.logprob for one in found] == lm.logprobs(["the river", "你好", "go"])
    assert text_score(found).num_sentences == 3


def test_what_does_not_fit_the_kind_of_model(tmp_path):
    with pytest.raises(ConfigError, match="is no neural model: it reads no context"):
        load_language_model(ARPA, context="a talk")
    with pytest.raises(ConfigError, match="its units are its own, leave 'words' out"):
        load_language_model(tmp_path, kind="words")
    with pytest.raises(ModelError):
        load_language_model(tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        load_language_model(tmp_path / "none.arpa")
