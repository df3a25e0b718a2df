import numpy as np
import pytest

from mooer.errors import ConfigError, StoreError
from mooer.speak import SPEAKERS, Voice, blend, load
from mooer.speak.base import voices_for
from tests.speak.tiny_networks import write_kokoro
from tests.speak.tones import NativeSpeaker, ToneSpeaker


def test_a_voice_is_written_as_it_is_read():
    voice = Voice.parse("a:0.25+b:0.75")
    assert voice.parts == (("a", 0.25), ("b", 0.75))
    assert Voice.parse(str(voice)) == voice


@pytest.mark.parametrize("text", ["", "a:x", ":0.5", "a:-1+b:2", "a:0"])
def test_no_voice(text):
    with pytest.raises(ConfigError, match="voice"):
        Voice.parse(text)


def test_blends_are_of_different_voices_and_come_again_with_the_seed():
    names = ("a", "b", "c", "d")
    first = [blend(names, np.random.default_rng(7)) for _ in range(2)]
    assert first[0] == first[1]
    random = np.random.default_rng(0)
    many = [blend(names, random) for _ in range(200)]
    assert {len(voice.parts) for voice in many} == {2, 3}
    for voice in many:
        assert len({name for name, _ in voice.parts}) == len(voice.parts)
        assert sum(weight for _, weight in voice.parts) == pytest.approx(1.0)
    assert len(set(map(str, many))) > 190


def test_a_speaker_of_one_voice_can_be_blended():
    assert str(blend(("only",), np.random.default_rng(0))) == "only:1.0"


def test_voices_of_a_language():
    assert voices_for(NativeSpeaker(), "zh") == ("high",)
    assert voices_for(NativeSpeaker(), "fr") == ToneSpeaker.voices
    assert voices_for(ToneSpeaker(), "zh") == ToneSpeaker.voices


def test_kokoro_speaks_without_its_native_voices_and_says_so(tmp_path, monkeypatch, caplog):
    folder = write_kokoro(tmp_path / "kokoro")
    more = tmp_path / "more"
    more.mkdir()
    np.zeros(512, "<f4").tofile(more / "zf_xiaoxiao.bin")
    monkeypatch.setattr(load, "fetch", {"kokoro-82m": folder, "kokoro-voices": more}.__getitem__)
    assert load.load_speaker("kokoro-82m").voices == ("one", "two", "zf_xiaoxiao")
    assert not caplog.messages

    def fetch(name):
        if name == "kokoro-voices":
            raise StoreError("npm cannot be reached")
        return folder

    monkeypatch.setattr(load, "fetch", fetch)
    assert load.load_speaker("kokoro-82m").voices == ("one", "two")
    [message] = caplog.messages
    assert "Japanese voices alone" in message
    assert "`mooer models fetch kokoro-voices`" in message


def test_speakers_by_name():
    assert SPEAKERS.load("kokoro-82m").__name__ == "Kokoro"
    with pytest.raises(ConfigError, match="kokoro-82m"):
        SPEAKERS.load("kokoro")
