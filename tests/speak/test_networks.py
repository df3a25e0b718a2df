"""Kokoro and Piper over networks that hum: what goes in, and when words are heard."""

import json
import logging

import numpy as np
import pytest

from mooer.errors import ConfigError, DecodeError, ModelError
from mooer.speak import Voice
from mooer.speak.kokoro import Kokoro
from mooer.speak.piper import Piper
from tests.processor import HAS_VNNI
from tests.speak.tiny_networks import write_kokoro, write_piper

pytest.importorskip("espeakng_loader")
pytest.importorskip("pypinyin")


def test_kokoro_tells_when_words_are_heard(tmp_path):
    kokoro = Kokoro(write_kokoro(tmp_path / "kokoro"))
    text = "我用Python，写代码。"
    samples, stretches = kokoro.speak_timed(text, "zh", Voice.parse("one"))
    assert [text[one.start : one.end] for one in stretches] == [
        *"我用",
        "Python，",
        *"写代",
        "码。",
    ]
    starts = [one.start_s for one in stretches]
    assert starts == sorted(starts)
    assert stretches[0].start_s == pytest.approx(0.025)  # behind the first pad
    assert all(one.end_s > one.start_s for one in stretches)
    assert stretches[-1].end_s <= len(samples) / kokoro.rate_hz
    python = stretches[2]
    assert python.end_s - python.start_s == pytest.approx(0.05 * 6)  # pˈIθən
    np.testing.assert_array_equal(samples, kokoro.speak(text, "zh", Voice.parse("one")))


def test_voices_of_more_folders_and_whose_native_they_are(tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    styles = np.arange(510 * 256, dtype="<f4")
    for name in ("zm_yunxi", "zf_xiaoxiao", "zf_xiaoni", "bm_lewis", "af_heart", "jf_alpha"):
        styles.tofile(more / f"{name}.bin")
    kokoro = Kokoro(write_kokoro(tmp_path / "kokoro"), voices=[more])
    assert kokoro.voices[:3] == ("one", "two", "af_heart")
    assert kokoro.native_voices("zh") == ("zf_xiaoxiao", "zm_yunxi")  # xiaoni is unclear
    assert kokoro.native_voices("en") == ("af_heart", "bm_lewis")
    assert kokoro.native_voices("fr") == ()
    style = kokoro._style(Voice.parse("zm_yunxi"), 3)
    np.testing.assert_array_equal(style[0], styles[512:768])
    assert len(kokoro.speak("你好", "zh", Voice.parse("zf_xiaoni"))) > 1000  # by its name
    (more / "cut.bin").write_bytes(bytes(100))
    with pytest.raises(ModelError, match="not a usable Kokoro"):
        Kokoro(write_kokoro(tmp_path / "kokoro"), voices=[more])


def test_times_go_on_over_the_pieces_of_a_long_text(tmp_path):
    kokoro = Kokoro(write_kokoro(tmp_path / "kokoro"))
    text = "今天天气很好，我们一起去公园。" * 6
    samples, stretches = kokoro.speak_timed(text, "zh", Voice.parse("one"))
    assert len(stretches) == 13 * 6
    gaps = np.diff([one.start_s for one in stretches])
    assert gaps.min() >= 0
    assert 0.9 < stretches[-1].end_s / (len(samples) / kokoro.rate_hz) <= 1.0


def test_memory_of_long_clauses_alone_is_given_back(tmp_path):
    kokoro = Kokoro(write_kokoro(tmp_path / "kokoro"))
    session, given = kokoro._network._session, []

    class Watched:
        def run(self, names, feed, options):
            given.append(options)
            return session.run(names, feed, options)

    kokoro._network._session = Watched()
    for text in ("你好。", "今天天气很好，我们一起去公园，然后去吃饭。"):
        kokoro.speak(text, "zh", Voice.parse("one"))
    short, long = given
    assert short is None
    key = "memory.enable_memory_arena_shrinkage"
    assert long.get_run_config_entry(key) == "cpu:0"


def test_a_network_without_that_tensor_speaks_and_tells_no_times(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        kokoro = Kokoro(write_kokoro(tmp_path / "kokoro", named=False))
    assert "times of words are estimates" in caplog.text
    samples, stretches = kokoro.speak_timed("你好", "zh", Voice.parse("one"))
    assert len(samples) > 1000
    assert stretches == ()


def test_piper_speaks_english_and_chinese_names(tmp_path):
    piper = Piper(write_piper(tmp_path / "piper"))
    assert (piper.voices, piper.languages, piper.rate_hz) == (("hum",), ("en",), 22_050)
    text = "In 北京 it is 5 km, Dr. Who."
    samples, stretches = piper.speak_timed(text, "en", Voice.parse("hum"))
    words = [text[one.start : one.end] for one in stretches]
    assert words == ["In", "北", "京", "it", "is", "5", "km,", "Dr.", "Who."]
    assert all(one.end_s > one.start_s for one in stretches)
    assert stretches[-1].end_s <= len(samples) / 22_050


@pytest.mark.parametrize(
    ("text", "language", "voice", "speed", "error", "message"),
    [
        ("?!", "en", "hum", 1.0, DecodeError, "nothing to say"),
        ("你好", "zh", "hum", 1.0, ConfigError, "speaks en, not 'zh'"),
        ("hi", "en", "joe", 1.0, ConfigError, "unknown voice"),
        ("hi", "en", "hum+joe", 1.0, ConfigError, "cannot blend"),
        ("hi", "en", "hum", 9.0, ConfigError, "speed must be"),
        ("word " * 500, "en", "hum", 1.0, DecodeError, "give it in clauses"),
    ],
)
def test_what_piper_does_not_say(tmp_path, text, language, voice, speed, error, message):
    piper = Piper(write_piper(tmp_path / "piper"))
    with pytest.raises(error, match=message):
        piper.speak(text, language, Voice.parse(voice), speed=speed)


def test_folders_that_are_no_voices(tmp_path):
    with pytest.raises(ModelError, match="not a usable Piper voice"):
        Piper(tmp_path)
    folder = write_piper(tmp_path / "piper")
    settings = json.loads((folder / "voice.onnx.json").read_text("utf-8"))
    (folder / "voice.onnx.json").write_text(json.dumps(settings | {"num_speakers": 3}), "utf-8")
    with pytest.raises(ModelError, match="3 speakers"):
        Piper(folder)
    (folder / "voice.onnx").write_bytes(b"nonsense")
    (folder / "voice.onnx.json").write_text(json.dumps(settings), "utf-8")
    with pytest.raises(ModelError, match="not a usable network"):
        Piper(folder)


def starts_off_s(text, stretches, heard):
    """How far each word begins from where a recogniser heard it; the words must be those heard.

    One may be misheard where 8-bit sums are not exact.
    """
    off_s, place, wrong = [], 0, 0
    for segment in heard.segments:
        for word in segment.words:
            bare = word.text.strip(" ,.，。")
            wrong += bare not in text[place:]
            place = max(place, text.find(bare, place))
            [own] = [one for one in stretches if one.start <= place < one.end]
            off_s.append(abs(own.start_s - word.start_s))
            place += len(bare)
    assert wrong <= (not HAS_VNNI)
    assert text[place:].strip(" .。") == ""
    return off_s


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "voice", "language", "text"),
    [
        ("piper-joe", "joe", "en", "Today we will talk about how machines learn to speak."),
        ("kokoro-82m", "jf_nezumi", "zh", "今天天气很好，我们一起去公园散步吧。"),
        ("kokoro-82m", "jm_kumo", "en", "Today we will talk about how machines learn to speak."),
    ],
)
def test_times_of_words_are_those_that_are_heard(model, name, voice, language, text):
    from mooer.speak import load_speaker

    speaker = load_speaker(name)
    samples, stretches = speaker.speak_timed(text, language, Voice.parse(voice))
    heard = model.transcribe(samples, rate_hz=speaker.rate_hz, language=language, words=True)
    assert np.median(starts_off_s(text, stretches, heard)) < 0.15
