"""The CTC head over embeddings: what it spells, how it scores, and that it is kept."""

from __future__ import annotations

import pytest
import torch
from tests.tiny import ByteTokenizer
from torch.nn import functional

from mooer.errors import ModelError
from mooer.models.ctc import CtcConfig, EmbeddingCtc, collapse, read_units, spell, units_of
from mooer.models.tensors import read_tensors

TOKENIZER = ByteTokenizer()


def made(text: str = "abc") -> EmbeddingCtc:
    torch.manual_seed(0)
    table = torch.randn(264, 6)
    return EmbeddingCtc(CtcConfig(), units_of([text], TOKENIZER), table)


def test_chinese_is_spelled_by_characters_and_the_rest_by_words_in_lower_case():
    assert bytes(spell("你好，World！It's 3点。", TOKENIZER)).decode() == "你好 world it's 3点"
    assert spell("，。… —", TOKENIZER) == []


def test_scores_are_scaled_cosines_with_the_table_and_a_blank():
    head = made()
    torch.manual_seed(1)
    heard = 5 * torch.randn(2, 3, 6)
    with torch.no_grad():
        head.bias.fill_(0.3)
        found = head(heard)
        rows = torch.cat([head.blank[None], head.units])
        scores = 30 * functional.cosine_similarity(heard[:, :, None], rows, dim=-1)
        scores[..., 0] += 0.3
    torch.testing.assert_close(found, scores.log_softmax(-1))


def test_an_embedding_itself_is_heard_as_its_token():
    torch.manual_seed(0)
    table = torch.randn(264, 32)
    head = EmbeddingCtc(CtcConfig(), units_of(["abc"], TOKENIZER), table)
    said = table[TOKENIZER.encode(" cab")]
    path = head(said).argmax(-1).tolist()
    assert TOKENIZER.decode(head.tokens(collapse(path))) == " cab"


def test_unknown_units_are_left_out_of_targets():
    head = made("abc")
    assert TOKENIZER.decode(head.tokens(head.targets("abxc", TOKENIZER))) == " abc"


def test_embeddings_of_the_mean_length_cost_nothing():
    head = made()
    unit = functional.normalize(torch.randn(4, 6), dim=-1)
    assert head.norm_loss(unit * head.target_norm).abs().max() < 1e-6
    torch.testing.assert_close(head.norm_loss(2 * unit * head.target_norm), torch.ones(4))


def test_it_is_kept_and_filled_strictly(tmp_path):
    from safetensors.torch import save_file

    head, path = made(), tmp_path / "ctc.safetensors"
    save_file(head.state_dict(), path)
    assert read_units(path) == head.ids.tolist()
    other = made()
    torch.nn.init.zeros_(other.blank)
    other.load_weights(path)
    assert torch.equal(other.blank, head.blank)
    save_file({**head.state_dict(), "more": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="more"):
        other.load_weights(path)
    assert "units" not in read_tensors(path)


def test_no_text_is_refused():
    with pytest.raises(ModelError, match="they hold none"):
        made("。")
