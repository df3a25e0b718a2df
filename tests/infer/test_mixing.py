"""Sentences on their way into one sound."""

import numpy as np
import pytest

from mooer.errors import ConfigError
from mooer.infer.mixing import Mix, Spool, UnderOptions, faded

RATE = 24_000


def ones(seconds, loudness=1.0, rate_hz=RATE):
    return np.full(round(seconds * rate_hz), loudness, np.float32)


class Written(list):
    @property
    def sound(self):
        return np.concatenate(self) if self else np.zeros(0, np.float32)


@pytest.fixture
def spool():
    with Spool() as found:
        yield found


@pytest.fixture
def mix_of(spool):
    def make(original_s, under=None, loudness=0.5):
        written = Written()
        spool.push(ones(original_s, loudness, 16_000))
        return written, Mix(written.append, RATE, spool, under)

    return make


def level(sound, start_s, end_s):
    return float(np.abs(sound[round(start_s * RATE) : round(end_s * RATE)]).mean())


def test_sentences_are_where_they_were_put_and_silence_is_kept(mix_of):
    written, mix = mix_of(10.0)
    mix.say(1.0, ones(2.0, 0.3))
    mix.settle(3.0)
    mix.say(5.0, ones(1.0, 0.2))
    mix.finish()
    sound = written.sound
    assert len(sound) == 10 * RATE
    assert level(sound, 1.02, 2.98) == pytest.approx(0.3)
    assert level(sound, 5.02, 5.98) == pytest.approx(0.2)
    assert level(sound, 0.0, 1.0) == level(sound, 3.0, 5.0) == level(sound, 6.0, 10.0) == 0.0


def test_what_is_longer_than_the_original_is_heard_to_its_end(mix_of):
    written, mix = mix_of(2.0, UnderOptions())
    mix.say(1.5, ones(3.0, 0.3))
    mix.finish()
    assert len(written.sound) == round(4.5 * RATE)
    assert level(written.sound, 3.0, 4.4) == pytest.approx(0.3)


def test_only_what_is_settled_is_written(mix_of):
    written, mix = mix_of(60.0)
    mix.say(1.0, ones(2.0))
    assert not written
    mix.settle(2.5)
    assert mix.written_s == 2.5
    mix.settle(20.0)
    assert mix.written_s == 20.0
    assert max(map(len, written)) <= 5 * RATE


def test_the_original_is_faint_under_a_translation_and_rises_behind_it(mix_of):
    written, mix = mix_of(10.0, UnderOptions(under_db=-20.0, rest_db=0.0))
    mix.say(3.0, np.zeros(2 * RATE, np.float32) + 1e-9)
    mix.finish()
    sound = written.sound
    assert level(sound, 0.5, 2.9) == pytest.approx(0.5, rel=0.01)
    assert level(sound, 3.4, 5.2) == pytest.approx(0.05, rel=0.05)
    assert level(sound, 6.0, 9.5) == pytest.approx(0.5, rel=0.01)
    assert np.abs(np.diff(sound[RATE : 9 * RATE])).max() < 0.01  # it moves, and does not jump


def test_with_the_original_under_it_no_more_is_written_than_was_read(mix_of, spool):
    written, mix = mix_of(2.0, UnderOptions(rest_db=0.0))
    mix.settle(5.0)
    assert mix.written_s == 1.0
    spool.push(ones(4.0, 0.5, 16_000))
    mix.settle(5.0)
    assert mix.written_s == 5.0
    mix.finish()
    assert len(written.sound) == 6 * RATE
    assert level(written.sound, 1.5, 5.5) == pytest.approx(0.5, rel=0.01)


def test_loud_on_loud_is_cut(mix_of):
    written, mix = mix_of(2.0, UnderOptions(under_db=0.0, rest_db=0.0), loudness=0.9)
    mix.say(0.5, ones(1.0, 0.9))
    mix.finish()
    assert np.abs(written.sound).max() == 1.0


def test_a_spool_gives_back_what_it_was_given(spool):
    samples = np.random.default_rng(0).uniform(-1, 1, 50_000).astype(np.float32)
    spool.push(samples[:20_000])
    assert len(spool.read(19_990, 100)) == 10
    spool.push(samples[20_000:])
    assert np.abs(spool.read(15_000, 10_000) - samples[15_000:25_000]).max() < 1e-4
    assert len(spool.cut(1.0, 2.0, RATE)) == pytest.approx(RATE, abs=2)
    assert not len(spool.read(60_000, 10))


def test_what_is_faded_begins_and_ends_in_silence():
    found = faded(ones(0.1), RATE)
    assert found[0] == found[-1] == 0.0
    assert found[RATE // 20] == 1.0
    assert len(faded(np.zeros(1, np.float32), RATE)) == 1


def test_an_original_that_is_louder_than_it_was():
    with pytest.raises(ConfigError, match="-18"):
        UnderOptions(under_db=3.0)
