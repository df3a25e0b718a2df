"""An answer is played, counted and flushed to the sample."""

import threading

import numpy as np
import pytest

from mooer.agent.events import AnswerEnded, AnswerSound, Flush
from mooer.agent.playout import Playout


def sound(answer, num, start=0, rate_hz=24_000, value=0.5):
    return AnswerSound(0.0, answer, np.full(num, value, np.float32), rate_hz, start, "")


def ended(answer):
    return AnswerEnded(0.0, answer, "", True)


def test_what_is_pulled_is_what_came_and_silence_behind_it():
    playout = Playout(24_000)
    assert not playout.pull(10).any()
    playout.take(sound(1, 100))
    playout.take(sound(1, 50, 100, value=0.25))
    assert playout.is_playing
    first = playout.pull(120)
    np.testing.assert_array_equal(first, [0.5] * 100 + [0.25] * 20)
    assert playout.reports() == [(1, 120)]
    assert playout.reports() == []
    np.testing.assert_array_equal(playout.pull(60), [0.25] * 30 + [0.0] * 30)
    assert playout.reports() == [(1, 150)]
    assert not playout.is_playing
    [stretch] = playout.stretches
    assert (stretch.start_s, stretch.end_s) == (pytest.approx(10 / 24_000), 160 / 24_000)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 48_000, 44_100])
def test_samples_count_at_the_rate_of_the_answer(rate_hz):
    playout = Playout(rate_hz)
    for start in range(0, 24_000, 1000):
        playout.take(sound(3, 1000, start))
    playout.take(ended(3))
    half = playout.pull(rate_hz // 2)
    [(answer, num)] = playout.reports()
    assert answer == 3
    assert num == pytest.approx(12_000, abs=2)
    assert np.median(half) == pytest.approx(0.5, abs=0.01)
    playout.pull(rate_hz)
    assert playout.reports() == [(3, 24_000)]  # to the sample
    [stretch] = playout.stretches
    assert stretch.end_s - stretch.start_s == pytest.approx(1.0, abs=0.001)


def test_a_flush_is_heard_at_once_and_nothing_stale_comes_after_it():
    playout = Playout(16_000)
    playout.take(sound(1, 24_000))
    playout.pull(1600)
    playout.take(Flush(0.1, 1))
    assert not playout.pull(1600).any()
    assert not playout.is_playing
    assert playout.reports() == [(1, 2400)]


def test_after_a_false_interruption_it_goes_on_from_the_sample():
    playout = Playout(16_000)
    playout.take(sound(1, 24_000))
    playout.pull(1600)
    playout.take(Flush(0.1, 1))
    playout.pull(1600)
    playout.take(sound(1, 21_600, 2400))
    playout.take(ended(1))
    playout.pull(16_000)
    assert playout.reports() == [(1, 24_000)]
    first, second = playout.stretches
    assert (first.end_s, second.start_s) == (pytest.approx(0.1), pytest.approx(0.2))


def test_answers_are_told_apart():
    playout = Playout(24_000)
    for event in (sound(1, 10), ended(1), sound(2, 20), ended(2)):
        playout.take(event)
    playout.pull(100)
    assert playout.reports() == [(1, 10), (2, 20)]
    assert [one.answer for one in playout.stretches] == [1, 2]


def test_one_thread_takes_while_another_pulls():
    playout = Playout(24_000)
    pulled = []

    def pull():
        while sum(pulled) < 5000:
            pulled.append(int(np.count_nonzero(playout.pull(37))))

    thread = threading.Thread(target=pull)
    thread.start()
    for start in range(0, 5000, 50):
        playout.take(sound(1, 50, start))
    thread.join(10)
    assert sum(pulled) == 5000
    assert playout.reports() == [(1, 5000)]


def test_an_answer_that_ended_and_goes_on_after_a_flush_is_counted_to_its_last_sample():
    playout = Playout(16_000)
    playout.take(sound(1, 24_000))
    playout.take(ended(1))
    playout.pull(8000)
    [(_, played)] = playout.reports()
    playout.take(Flush(0.5, 1))
    playout.take(sound(1, 4000, start=played))
    playout.take(sound(1, 24_000 - played - 4000, start=played + 4000))
    playout.pull(16_000)
    assert playout.reports() == [(1, 24_000)]
    assert not playout.is_playing
