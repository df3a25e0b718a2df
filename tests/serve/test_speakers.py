"""Which voice speaks, by its own name or by one of OpenAI's."""

import pytest
from tests.speak.tones import NativeSpeaker

from mooer.errors import ConfigError
from mooer.serve.speakers import SpeakerEngine
from mooer.speak import Voice


class NamedSpeaker(NativeSpeaker):
    voices = ("jf_one", "zf_one", "zm_two", "af_one", "af_nova")

    def native_voices(self, language):
        return {"zh": self.voices[1:3], "en": self.voices[3:]}.get(language, ())


@pytest.fixture
def engine():
    engine = SpeakerEngine(NamedSpeaker())
    yield engine
    engine.close()


@pytest.mark.parametrize(
    ("name", "language", "voice"),
    [
        ("alloy", "zh", "zf_one"),
        ("ash", "zh", "zm_two"),
        ("alloy", "en", "af_one"),
        ("nova", "en", "af_nova"),
        ("nova", "zh", "zf_one"),
        ("alloy", None, "zf_one"),  # natives of the speaker's first language
        ("alloy", "fr", "jf_one"),
        ("jf_one", "zh", "jf_one"),
        ("jf_one:3+af_one", "zh", "jf_one:0.75+af_one:0.25"),
    ],
)
def test_openais_voices_are_natives(engine, name, language, voice):
    assert engine.voice(name, language) == Voice.parse(voice)


def test_a_voice_that_nobody_has(engine):
    with pytest.raises(ConfigError, match="did you mean af_nova"):
        engine.voice("af_novo", "en")
