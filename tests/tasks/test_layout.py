"""Parts of a prompt as ids and labels."""

from __future__ import annotations

import pytest

from mooer.batch import AUDIO, IGNORE
from mooer.tasks.layout import Audio, Text, lay_out
from mooer.tasks.templates import TEMPLATES, parts, tasks

pytest.importorskip("torch")
from tests.tiny import ByteTokenizer


def test_audio_keeps_its_place_and_only_the_answer_is_learned():
    layout = lay_out([Text("ab"), Audio(3), Text("c"), Text("de", learned=True)], ByteTokenizer())
    assert layout.ids == (97, 98, AUDIO, AUDIO, AUDIO, 99, 100, 101)
    assert layout.labels == (IGNORE,) * 6 + (100, 101)


def test_parts_are_tokenized_by_themselves():
    asked: list[str] = []

    class Listening(ByteTokenizer):
        def encode(self, text, *, add_special_tokens=True):
            assert not add_special_tokens
            asked.append(text)
            return super().encode(text)

    lay_out([Text("a"), Text("b"), Audio(1), Text("c")], Listening())
    assert asked == ["a", "b", "c"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_holds_its_embeddings_in_one_run_and_learns_its_answer(name):
    tokenizer = ByteTokenizer()
    for task in tasks(name):
        asked = lay_out(parts(name, task, 5), tokenizer)
        taught = lay_out(parts(name, task, 5, "好"), tokenizer)
        start = asked.ids.index(AUDIO)
        assert asked.ids[start : start + 5] == (AUDIO,) * 5
        assert asked.ids.count(AUDIO) == 5
        assert set(asked.labels) == {IGNORE}
        assert taught.ids[: len(asked.ids)] == asked.ids
        learned = [label for label in taught.labels if label != IGNORE]
        assert tokenizer.decode(learned) == "好" + TEMPLATES[name].end


def test_mooer_ids_begin_with_the_audio_and_the_chat():
    tokenizer = ByteTokenizer()
    layout = lay_out(parts("mooer", "asr", 2, "hi"), tokenizer)
    start, end = (tokenizer.convert_tokens_to_ids(t) for t in ("<|im_start|>", "<|im_end|>"))
    assert layout.ids[:3] == (AUDIO, AUDIO, start)
    assert layout.ids[-3:] == (104, 105, end)
    assert layout.ids.count(start) == layout.ids.count(end) == 3
