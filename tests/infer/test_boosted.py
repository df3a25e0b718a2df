"""Hotwords in the units of each decoder, and in the prompts of Whisper and of speech LLMs."""

import pytest
from tests.fakes import LetterCtc, LoudnessVad, ScriptedWhisper, speech

from mooer.decoding.hotwords import Hotword
from mooer.decoding.prefixes import prefix_search
from mooer.infer import RecognizeOptions, Recognizer
from mooer.infer.boosted import boost_tokens, boost_units


def added(boost, units):
    state, total = boost.start(), 0.0
    for unit in units:
        bonus, state = boost.advance(state, unit)
        total += bonus
    return total + boost.finish(state)


def test_phrases_are_spelled_as_they_are_read():
    model = LetterCtc()
    boost = boost_units([Hotword("Day 2"), Hotword("今天"), Hotword("Привет")], model, 2.0)
    assert added(boost, model.spell("daytwo")) == 12.0
    assert added(boost, model.spell("今天")) == 4.0
    assert added(boost, model.spell("day")) == 0.0
    assert boost.num_nodes == 1 + 6 + 2


def test_tokens_of_a_phrase_at_the_beginning_and_after_a_space():
    boost = boost_tokens([Hotword("Qwen", 2.0)], lambda text: {"Qwen": [1, 2], " Qwen": [3]}[text])
    assert added(boost, [1, 2]) == 8.0
    assert added(boost, [9, 3]) == 4.0


def test_a_name_is_heard_because_it_is_expected():
    model = LetterCtc(sure=0.5)
    samples, _ = model.say(["cat"], unit_frames=2)
    rows = model.log_probs(samples)
    for frame in range(len(rows)):  # almost as much like "kat"
        rows[frame, model.spell("k")[0]] = rows[frame, model.spell("c")[0]] - 0.5
    text = "".join(model.letters[unit - 1] for unit in prefix_search(rows, 0)[0].units)
    assert text == "cat"
    boost = boost_units([Hotword("kat")], model)
    found = prefix_search(rows, 0, scorers=[boost])[0]
    assert "".join(model.letters[unit - 1] for unit in found.units) == "kat"


@pytest.mark.parametrize(
    ("hotwords", "told"),
    [
        ("MooER, Qwen", "MooER, Qwen"),
        ((Hotword("MooER", 2.0), Hotword("Qwen"), Hotword("Mower", -1.0)), "Qwen, MooER"),
    ],
)
def test_whisper_is_told_them_in_its_prompt(hotwords, told):
    engine = ScriptedWhisper(["MooER is here"])
    recognizer = Recognizer(engine, LoudnessVad(), name="w", versions={})
    options = RecognizeOptions(hotwords=hotwords, language="en")
    recognizer.transcribe(speech((0.5, 0), (2, 0.5)), options, rate_hz=16_000)
    assert [one.hotwords for one in engine.options] == [told]


def test_hotwords_with_and_without_weights():
    assert RecognizeOptions(hotwords="MooER，Qwen").expected == (Hotword("MooER"), Hotword("Qwen"))
    assert RecognizeOptions().expected == ()
    assert RecognizeOptions(hotwords=(Hotword("a", 2.0),)).expected == (Hotword("a", 2.0),)
