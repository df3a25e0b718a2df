"""Speakers as voicings of translations."""

import pytest
from tests.speak.tones import ToneSpeaker

from mooer.errors import ConfigError
from mooer.infer.interpret import Interpreter
from mooer.infer.placing import Placer
from mooer.infer.speaking import voicing_in

LONG = "Well, this is a sentence of some length, which has a comma or two in it, and an end."


def clauses(**options):
    speaker = ToneSpeaker()
    voicing = voicing_in(speaker, "en", "low:1+high:1", **options)
    return [spoken.text for spoken in voicing.voice([LONG])], speaker.said


def test_a_recording_is_spoken_in_whole_sentences():
    texts, said = clauses()
    assert texts == [LONG]
    assert said == [(LONG, "en", "low:0.5+high:0.5", 1.0)]


def test_a_stream_in_clauses_so_that_it_is_heard_early():
    texts, _ = clauses(live=True)
    assert len(texts) > 1
    assert "".join(texts) == LONG


def test_a_number_alone_is_said_in_the_language():
    speaker = ToneSpeaker()
    assert [spoken.text for spoken in voicing_in(speaker, "zh").voice(["35"])] == ["35"]
    assert speaker.said[0][1] == "zh"


@pytest.mark.parametrize(
    ("language", "voice", "why"),
    [("fr", None, "not 'fr'"), ("en", "lov", "did you mean low")],
)
def test_what_a_speaker_has_not(language, voice, why):
    with pytest.raises(ConfigError, match=why):
        voicing_in(ToneSpeaker(), language, voice)


def test_what_is_misheard_is_said_again():
    heard = iter(["hello there", "good morning", "good morning"])
    speaker = ToneSpeaker()
    voicing = voicing_in(speaker, "en", hear=lambda samples, rate_hz, language: next(heard))
    slot = Placer().slot(0.0, None)
    said = Interpreter(None, voicing).speak("Good morning.", slot)
    assert said.heard == "good morning"
    assert [speed for *_, speed in speaker.said] == [1.0, 0.9]
