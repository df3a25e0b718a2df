"""A mind that many conversations share: in turn, no longer than wanted, errors where it is read."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.serve.stand import until

from mooer.agent.mind import Turn
from mooer.errors import AgentError
from mooer.serve.callers import Caller
from mooer.serve.jobs import Job, StoppedError
from mooer.serve.shared_agent import SharedMind, Thinking

TURNS = [Turn("user", "Hello?")]


class SlowMind:
    """Writes words while its gate is open; `asked` are the prompts, `num_closed` how many ended."""

    hears = False

    def __init__(self, num_words=3):
        self.num_words = num_words
        self.gate = threading.Event()
        self.asked = []
        self.num_closed = self.num_written = 0
        self.is_busy = False

    def answer(self, turns, *, system, tools=(), max_tokens=200):
        assert not self.is_busy, "two answers at once"
        self.is_busy = True
        self.asked.append(system)
        try:
            for i in range(self.num_words):
                assert self.gate.wait(10)
                if system == "fail":
                    raise AgentError("there is no such mind")
                self.num_written += 1
                yield f"{system}{i} "
        finally:
            self.is_busy = False
            self.num_closed += 1


@pytest.fixture
def mind():
    return SlowMind()


@pytest.fixture
def thinking(mind):
    found = Thinking(mind)
    yield found
    mind.gate.set()
    found.close()


def job(name="anna"):
    return Job(Caller(name), float("inf"))


def said(shared, system):
    return "".join(shared.answer(TURNS, system=system))


def test_answers_are_written_one_after_the_other(thinking, mind):
    with ThreadPoolExecutor() as pool:
        found = [pool.submit(said, SharedMind(thinking, job(c)), c) for c in "abcd"]
        until(lambda: mind.asked)
        mind.gate.set()
        assert [one.result(10) for one in found] == [f"{c}0 {c}1 {c}2 " for c in "abcd"]


def test_who_had_least_goes_first(thinking, mind):
    busy = job("busy")
    with ThreadPoolExecutor() as pool:
        found = [pool.submit(said, SharedMind(thinking, busy), f"busy{i}") for i in range(3)]
        until(lambda: thinking.num_waiting == 2)
        found.append(pool.submit(said, SharedMind(thinking, job("new")), "new"))
        until(lambda: thinking.num_waiting == 3)
        mind.gate.set()
        for one in found:
            one.result(10)
    assert mind.asked.index("new") == 1


def test_an_answer_that_nobody_reads_on_stands_still_until_another_wants_the_mind(thinking, mind):
    mind.gate.set()
    reading = SharedMind(thinking, job()).answer(TURNS, system="a")
    assert next(reading) == "a0 "
    time.sleep(0.2)
    assert mind.num_written <= 2
    assert said(SharedMind(thinking, job()), "b") == "b0 b1 b2 "
    assert mind.asked == ["a", "b"]
    assert "".join(reading) == "a1 a2 "


def test_a_mind_reads_ahead_if_it_can_and_is_idle(thinking, mind):
    SharedMind(thinking, job()).read(TURNS, system="a")  # this one cannot
    reads = []
    mind.read = lambda turns, *, system, tools=(): reads.append((turns, system))
    mind.gate.set()
    answer = SharedMind(thinking, job()).answer(TURNS, system="b")
    next(answer)
    SharedMind(thinking, job()).read(TURNS, system="c")  # while another is answered
    assert reads == []
    answer.close()
    until(lambda: mind.num_closed == 1)
    until(lambda: SharedMind(thinking, job()).read(TURNS, system="a") or reads)
    assert reads == [(TURNS, "a")]


def test_a_mind_tells_where_sentences_end_beside_what_it_writes(thinking, mind):
    shared = SharedMind(thinking, job())
    assert shared.ends("so") is None  # this one cannot
    mind.ends = lambda text: 0.25
    mind.gate.set()
    answer = shared.answer(TURNS, system="a")
    next(answer)
    assert shared.ends("so") == 0.25
    answer.close()


def test_one_that_is_void_is_not_written_on(thinking, mind):
    mind.num_words = 10_000_000
    mind.gate.set()
    reading = SharedMind(thinking, job()).answer(TURNS, system="a")
    next(reading)
    reading.close()
    until(lambda: mind.num_closed == 1)
    waiting = SharedMind(thinking, job()).answer(TURNS, system="b")
    next(waiting)
    waiting.close()
    until(lambda: mind.num_closed == 2)


def test_one_who_has_left_waits_for_nothing(thinking, mind):
    leaving = job()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(said, SharedMind(thinking, job()), "a")
        until(lambda: mind.asked)
        second = pool.submit(said, SharedMind(thinking, leaving), "b")
        until(lambda: thinking.num_waiting)
        leaving.cancel()
        with pytest.raises(StoppedError):
            second.result(10)
        mind.gate.set()
        first.result(10)
    assert mind.asked == ["a"]


def test_what_fails_is_raised_where_it_is_read(thinking, mind):
    mind.gate.set()
    with pytest.raises(AgentError, match="no such mind"):
        said(SharedMind(thinking, job()), "fail")
    assert said(SharedMind(thinking, job()), "a").startswith("a0")
