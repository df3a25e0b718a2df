import threading
import time
from functools import lru_cache

import numpy as np
import pytest

from mooer.errors import ConfigError, DecodeError
from mooer.speak import Voice, espeak_library, load_speaker
from mooer.speak.espeak_library import to_ipa, to_sound

pytest.importorskip("espeakng_loader")
pytest.importorskip("pypinyin")


@pytest.fixture(scope="module")
def espeak():
    return load_speaker("espeak")


@pytest.mark.parametrize(
    ("text", "language", "num_words"),
    [
        ("Good morning, it is 3.5 degrees.", "en", 6),
        ("今天天气很好，我用Python。", "zh", 9),
        ("Bonjour tout le monde", "fr", 4),
        ("Доброе утро", "ru", 2),
    ],
)
def test_it_speaks_many_languages_and_tells_when(espeak, text, language, num_words):
    samples, stretches = espeak.speak_timed(text, language, Voice.parse("f2"))
    assert samples.dtype == np.float32
    assert 0.3 < len(samples) / espeak.rate_hz < 6
    assert 0.1 < np.abs(samples).max() <= 1.0
    assert len(stretches) == num_words
    edges = [edge for one in stretches for edge in (one.start_s, one.end_s)]
    assert edges == sorted(edges)
    assert edges[-1] <= len(samples) / espeak.rate_hz


def test_every_language_has_a_voice(espeak):
    assert {"zh", "en", "fr", "de", "ja", "ko", "yue"} <= set(espeak.languages)
    for language in espeak.languages:
        assert to_ipa("a 1", espeak._names[language])


def test_voices_and_speeds_differ(espeak):
    slow, quick, other = (
        espeak.speak("one two three four", "en", Voice.parse(voice), speed=speed)
        for voice, speed in (("f2", 0.8), ("f2", 1.6), ("m3", 0.8))
    )
    assert len(slow) > 1.4 * len(quick)
    short = min(len(slow), len(other))
    assert not np.allclose(slow[:short], other[:short], atol=0.05)


@pytest.mark.parametrize(
    ("text", "language", "voice", "speed", "error", "message"),
    [
        ("...", "en", "f2", 1.0, DecodeError, "nothing to say"),
        ("hi", "xx", "f2", 1.0, ConfigError, "espeak-ng speaks"),
        ("hi", "en", "nobody", 1.0, ConfigError, "unknown voice"),
        ("hi", "en", "f2+m1", 1.0, ConfigError, "cannot blend"),
        ("hi", "en", "f2", 0.1, ConfigError, "speed"),
    ],
)
def test_what_it_does_not_say(espeak, text, language, voice, speed, error, message):
    with pytest.raises(error, match=message):
        espeak.speak(text, language, Voice.parse(voice), speed=speed)


def test_its_one_state_is_kept_apart_in_threads():
    """Phonemes and sound are asked for by several threads, with voices of their own."""
    voices = {"en-us": "the water", "fr": "le monde", "cmn": "你好"}
    alone = {
        voice: (to_ipa(text, voice), len(to_sound(text, voice)[0]))
        for voice, text in voices.items()
    }
    found, failed = [], []

    def work(voice):
        for _ in range(10):
            ipa, num = to_ipa(voices[voice], voice), len(to_sound(voices[voice], voice)[0])
            same = ipa == alone[voice][0] and abs(num - alone[voice][1]) < 200  # it is never exact
            (found if same else failed).append(voice)

    threads = [threading.Thread(target=work, args=(voice,)) for voice in voices for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(found) == 60


def test_it_is_started_once_however_many_ask(monkeypatch):
    started, asked = [], threading.Barrier(8)

    def start():
        time.sleep(0.05)
        started.append(True)

    monkeypatch.setattr(espeak_library, "_start", lru_cache(start))

    def ask():
        asked.wait()
        espeak_library.library()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 1


def test_an_unknown_voice_is_told_and_the_next_one_still_speaks():
    with pytest.raises(ConfigError, match="no voice 'nonsense'"):
        to_ipa("hello", "nonsense")
    assert to_ipa("hello", "en-us")


def test_half_a_letter_does_no_harm(espeak):
    assert len(espeak.speak("ab \ud800 cd", "en", Voice.parse("f2"))) > 1000
