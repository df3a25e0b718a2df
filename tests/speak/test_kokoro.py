import numpy as np
import pytest

from mooer.audio.resample import Resampler
from mooer.errors import ConfigError, DecodeError, ModelError
from mooer.evaluate.metrics import compare
from mooer.speak import Voice, load_speaker, voicing_of
from mooer.speak.kokoro import Kokoro
from tests.processor import HAS_VNNI

SENTENCES = {
    "zh": ("jf_nezumi", "今天天气很好，我们一起去公园散步吧。"),
    "en": ("jm_kumo", "Today we will talk about how machines learn to understand human speech."),
}


@pytest.fixture(scope="module")
def kokoro():
    from mooer.store import fetch

    return Kokoro(fetch("kokoro-82m"))


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(ModelError, match=str(tmp_path)):
        Kokoro(tmp_path)


@pytest.mark.real
@pytest.mark.parametrize("language", SENTENCES)
def test_what_it_says_is_recognised(kokoro, model, language):
    voice, text = SENTENCES[language]
    samples = kokoro.speak(text, language, Voice.parse(voice))
    assert samples.dtype == np.float32
    heard = model.transcribe(samples, rate_hz=kokoro.rate_hz, language=language).text
    if HAS_VNNI:
        assert heard.rstrip(".。") == text.rstrip(".。")
    else:
        assert compare("cer", text, heard, language)[0].rate < 0.1


@pytest.mark.real
@pytest.mark.parametrize(("language", "voice"), [("zh", "zf_xiaoxiao"), ("en", "af_heart")])
def test_who_is_not_asked_for_speaks_natively(model, language, voice):
    text = SENTENCES[language][1]
    voicing = voicing_of(load_speaker("kokoro-82m"))
    assert voicing.default_voice(language) == Voice.parse(voice)
    samples = np.concatenate([one.samples for one in voicing.voice([text])])
    heard = model.transcribe(samples, rate_hz=voicing.rate_hz, language=language).text
    assert compare("cer", text, heard, language)[0].rate < 0.1


@pytest.mark.real
@pytest.mark.parametrize("language", SENTENCES)
def test_the_quicker_operators_say_the_same(kokoro, language):
    """Equal lengths of all sounds; the loud parts differ by less than is heard.

    Whole numbers of the released file round each part anew, so that even equal mathematics in
    another order changes the log-mel spectrum by about 1 dB.
    """
    from mooer.store import fetch

    voice, text = SENTENCES[language]
    (ours, own_words), (released, words) = (
        one.speak_timed(text, language, Voice.parse(voice))
        for one in (kokoro, Kokoro(fetch("kokoro-82m"), as_released=True))
    )
    for own, word in zip(own_words, words, strict=True):
        assert own.end_s - own.start_s == pytest.approx(word.end_s - word.start_s, abs=0.051)
    num = min(len(ours), len(released))
    assert abs(len(ours) - len(released)) <= 0.05 * kokoro.rate_hz
    ours_db, released_db = (levels_db(samples[:num]) for samples in (ours, released))
    loud = released_db > released_db.max() - 50
    assert np.abs(ours_db - released_db)[loud].mean() < 4.0


def levels_db(samples):
    """Power of 24 bands in windows of 40 ms, which say whether two sounds are alike."""
    frames = samples[: len(samples) // 960 * 960].reshape(-1, 960) * np.hanning(960)
    power = np.abs(np.fft.rfft(frames)) ** 2
    return 10 * np.log10(power[:, :480].reshape(len(frames), 24, 20).sum(axis=2) + 1e-12)


@pytest.mark.real
def test_speed_and_voice_change_the_sound(kokoro):
    slow, quick = (
        kokoro.speak("一二三四五六七八九十", "zh", Voice.parse("jm_kumo"), speed=speed)
        for speed in (0.8, 1.25)
    )
    assert 1.3 < len(slow) / len(quick) < 1.8
    blended = kokoro.speak("你好", "zh", Voice.parse("jm_kumo:0.5+jf_alpha:0.5"))
    pure = kokoro.speak("你好", "zh", Voice.parse("jm_kumo"))
    short = min(len(blended), len(pure))
    assert not np.allclose(blended[:short], pure[:short], atol=0.05)
    again = kokoro.speak("你好", "zh", Voice.parse("jm_kumo"))
    np.testing.assert_array_equal(pure, again)


@pytest.mark.slow
@pytest.mark.real
def test_a_long_text_is_spoken_in_pieces(kokoro, model):
    text = "".join(f"这是第{i}句话，我们慢慢地说。" for i in range(1, 9))
    samples = kokoro.speak(text, "zh", Voice.parse("jf_nezumi"))
    resampler = Resampler(kokoro.rate_hz, 16_000)
    heard = np.concatenate([resampler.push(samples), resampler.flush()])
    assert 10 < len(heard) / 16_000 < 40
    spoken = model.transcribe(heard, rate_hz=16_000, language="zh").text
    assert spoken.count("句话") >= 7


@pytest.mark.real
def test_what_cannot_be_spoken(kokoro):
    with pytest.raises(DecodeError, match="nothing to say"):
        kokoro.speak("……！", "zh", Voice.parse("jm_kumo"))
    with pytest.raises(ConfigError, match="did you mean jm_kumo"):
        kokoro.speak("你好", "zh", Voice.parse("jm_kumi"))
    with pytest.raises(ConfigError, match="zh, en"):
        kokoro.speak("bonjour", "fr", Voice.parse("jm_kumo"))
    with pytest.raises(ConfigError, match="speed"):
        kokoro.speak("你好", "zh", Voice.parse("jm_kumo"), speed=9.0)
