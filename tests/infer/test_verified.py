import logging

import pytest
from tests.speak.tones import ToneSpeaker

from mooer.errors import ConfigError, DecodeError
from mooer.infer.verified import VerifiedVoicing, VerifyOptions, misheard
from mooer.speak import Voice
from mooer.speak.voicing import VoicingOptions

pytest.importorskip("pypinyin")


class Ear:
    """Understands what it is told to, by turns."""

    def __init__(self, *heard):
        self.heard = list(heard)

    def __call__(self, samples, rate_hz, language):
        assert len(samples)
        assert rate_hz == 24_000
        return self.heard.pop(0)


def verified(ear, **options):
    return VerifiedVoicing(
        ToneSpeaker(), ear, VoicingOptions(Voice.parse("low")), VerifyOptions(**options)
    )


def test_what_is_understood_is_said_once():
    voicing = verified(Ear("Good morning, you."))
    [spoken] = voicing.voice(["Good morning, you"])
    assert len(voicing.speaker.said) == 1
    assert (voicing.last.error_rate, voicing.last.num_takes) == (0.0, 1)
    assert spoken.text == "Good morning, you"


def test_the_take_that_is_understood_best_is_kept(caplog):
    voicing = verified(Ear("Cold warning here", "Good warning here", "no"), max_takes=3)
    with caplog.at_level(logging.WARNING):
        [spoken] = voicing.voice(["Good morning here"])
    said = voicing.speaker.said
    assert [speed for *_, speed in said] == [1.0, 0.9, 0.95]
    assert [voice for _, _, voice, _ in said] == ["low:1.0", "low:1.0", "low:0.65+mid:0.35"]
    verdict = voicing.last
    assert (verdict.heard, verdict.speed, verdict.num_takes) == ("Good warning here", 0.9, 3)
    assert verdict.error_rate == pytest.approx(1 / 3)
    assert len(spoken.samples) == int(0.1 * 17 / 0.9 * 24_000)
    assert "heard as 'Good warning here' in the best of 3 takes" in caplog.text
    assert verdict.to_dict()["error_rate"] == 0.3333


def test_a_take_is_enough_when_it_is_good_enough():
    voicing = verified(Ear("no", "Good morning here"), max_takes=5)
    list(voicing.voice(["Good morning here"]))
    assert voicing.last.num_takes == 2


class Unblended(ToneSpeaker):
    def speak(self, text, language, voice, *, speed=1.0):
        if len(voice.parts) > 1:
            raise ConfigError("cannot blend")
        if speed == 1.0 and "hard" in text:
            raise DecodeError("too hard")
        return super().speak(text, language, voice, speed=speed)


def test_a_speaker_that_cannot_blend_and_a_take_that_fails():
    voicing = VerifiedVoicing(
        Unblended(), Ear("no", "never"), VoicingOptions(), VerifyOptions(max_takes=3)
    )
    assert len(list(voicing.voice(["a hard word"]))) == 1
    assert voicing.last.heard == "no"
    with pytest.raises(ConfigError, match="cannot blend"):  # asked for, it is no take among others
        list(voicing.voice(["a word"], voice=Voice.parse("low+mid")))


def test_what_cannot_be_said_is_left_out(caplog):
    voicing = VerifiedVoicing(Unblended(), Ear(), VoicingOptions(), VerifyOptions(max_takes=1))
    assert list(voicing.voice(["so hard"])) == []
    assert "too hard" in caplog.text


@pytest.mark.parametrize(
    ("text", "heard", "language", "error_rate"),
    [
        ("他在那里。", "她在哪里", "zh", 0.25),  # nà and nǎ
        ("漢語很難！", "汉语很难", "zh", 0.0),
        ("有3.5%的人", "有百分之三点五的人", "zh", 0.0),
        ("我用Python", "我用 python。", "zh", 0.0),
        ("It costs $5...", "it costs five dollars", "en", 0.0),
        ("Well… yes", "Well yes", "en", 0.0),
        ("It is 8:05.", "It is 805", "en", 0.0),
        ("a b c d", "", "en", 1.0),
        ("Ça va", "ça va?", "fr", 0.0),
    ],
)
def test_takes_are_compared_by_sound(text, heard, language, error_rate):
    assert misheard(text, heard, language) == pytest.approx(error_rate)


@pytest.mark.parametrize("wrong", [{"max_takes": 0}, {"max_error": 2.0}])
def test_options_that_make_no_sense(wrong):
    with pytest.raises(ConfigError, match="verifying needs"):
        VerifyOptions(**wrong)
