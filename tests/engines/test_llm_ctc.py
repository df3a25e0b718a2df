"""The CTC head of a saved speech LLM without torch, beside the same in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.export.native import save_native
from tests.models.folders import byte_level_tokenizer

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.decoding.ctc import greedy
from mooer.engines.llm_ctc import LlmCtc
from mooer.errors import MooerError
from mooer.models.ctc import spell
from mooer.models.load import load
from mooer.text.units import START, Units

pytestmark = [
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.usefixtures("own_home"),
]
TOKENIZER = byte_level_tokenizer()
WHOLE = TOKENIZER.encode("cabd")  # ids of letters, as the head has them: sorted
PART = TOKENIZER.encode("中")[0]  # a byte of a character


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ctc")
    source, model = save_native(root, lora=False)
    torch.manual_seed(3)
    model.set_units(sorted([*WHOLE, TOKENIZER.encode(" ")[0], PART]))
    save_file(model.ctc.state_dict(), source / "ctc.safetensors")
    return source


@pytest.fixture(scope="module")
def model(folder):
    return LlmCtc(folder, compute_type="float32", num_threads=1)


def sound(seconds):
    t = np.arange(round(seconds * SAMPLE_RATE_HZ), dtype=np.float32) / SAMPLE_RATE_HZ
    return (0.6 * np.sin(500 * t * (1 + seconds * t))).astype(np.float32)


@torch.no_grad()
@pytest.mark.parametrize("seconds", [0.63, 2.37])
def test_what_it_hears_is_what_torch_hears(folder, model, seconds):
    network = load(folder)
    features = torch.from_numpy(network.encoder.frontend(sound(seconds)))[None]
    heard, _ = network.embed_audio(features, torch.tensor([features.shape[1]]))
    expected = network.ctc(heard)[0]
    known = network.ctc.ids.tolist()
    kept = [0, *(place for place, token in enumerate(known, 1) if token in WHOLE)]
    found = model.log_probs(sound(seconds))
    assert found.shape == (len(expected), 1 + len(WHOLE))
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected[:, kept].log_softmax(-1), atol=1e-3)
    assert len(greedy(found, model.blank)) <= len(found)


def test_its_units_are_whole_characters(model):
    assert sorted(model.units.names) == ["a", "b", "c", "d"]
    assert model.frame_s == 0.08


def test_a_moment_is_long_enough(model):
    assert len(model.log_probs(sound(0.001))) == len(model.log_probs(sound(0.1)))


@pytest.mark.parametrize("word", ["bad", "DAC", "我b"])
def test_words_are_spelled_as_in_training(folder, word, monkeypatch):
    model = LlmCtc(folder, num_threads=1)
    names = {token: token + 1 for token in range(256)}  # as if it had every unit
    monkeypatch.setattr(model, "_classes", names)
    assert [unit - 1 for unit in model.spell(word)] == spell(word, TOKENIZER)


def test_what_the_tokens_cannot_spell_is_spelled_by_units(model, monkeypatch):
    assert model.spell("abc") == ()  # no unit begins a word
    names = (f"{START}a", "c", "b", "a")
    monkeypatch.setattr(model, "units", Units(names, (-1.0,) * 4, ("",) * 4))
    assert model.spell("abc") == (1, 3, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda head: head.clear(), "trained without CTC"),
        (lambda head: head.pop("blank"), "no CTC head"),
        (lambda head: head.update(ids=head["ids"][:0]), "no CTC head"),
        (lambda head: head.update(blank=head["blank"][:5]), "another LLM than llm.gguf"),
        (lambda head: head.update(ids=head["ids"] + 10**6), "is not one of the"),
        (lambda head: head["blank"].fill_(float("nan")), "not finite"),
    ],
)
def test_another_file_is_told(folder, tmp_path, change, said):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    head = load_file(folder / "ctc.safetensors")
    change(head)
    (tmp_path / "ctc.safetensors").unlink()
    if head:
        save_file(head, tmp_path / "ctc.safetensors")
    with pytest.raises(MooerError, match=said):
        LlmCtc(tmp_path, num_threads=1)
