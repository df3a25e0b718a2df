"""Jobs in virtual time: each result comes when a machine of this speed would have it."""

import threading

import pytest
from tests.agent.score import Clock

from mooer.agent.jobs import Done, ThreadJobs, VirtualJobs
from mooer.errors import AgentError, DecodeError


def steps(clock, *times, closed=None):
    def work(tell):
        try:
            for i, seconds in enumerate(times):
                clock.spend(seconds)
                tell(i)
                yield
        finally:
            if closed is not None:
                closed.append(True)

    return work


def drained(job, until_s, step_s=0.1):
    found, now_s = [], 0.0
    while now_s <= until_s:
        while (due_s := job.due(now_s)) is not None:
            found.append((round(due_s, 3), job.take()))
        now_s += step_s
    return found


def test_results_come_when_they_are_done():
    clock = Clock()
    job = VirtualJobs(clock).start("think", steps(clock, 0.3, 0.5), at_s=1.0, deadline_s=9)
    assert job.due(1.2) is None
    assert drained(job, 3.0) == [(1.3, 0), (1.8, 1), (1.8, Done())]


def test_a_lane_does_one_thing_at_a_time_and_lanes_go_side_by_side():
    clock = Clock()
    jobs = VirtualJobs(clock)
    first = jobs.start("hear", steps(clock, 1.0), at_s=0.0, deadline_s=9)
    second = jobs.start("hear", steps(clock, 0.5), at_s=0.2, deadline_s=9)
    other = jobs.start("turn", steps(clock, 0.1), at_s=0.2, deadline_s=9)
    assert drained(first, 2.0)[0] == (1.0, 0)
    assert drained(second, 2.0)[0] == (1.5, 0)
    assert drained(other, 2.0)[0] == (0.3, 0)


def test_work_is_done_only_as_far_as_time_has_come():
    clock, closed = Clock(), []
    job = VirtualJobs(clock).start(
        "think", steps(clock, *[1.0] * 1000, closed=closed), at_s=0.0, deadline_s=9
    )
    job.due(0.5)
    job.close()
    assert clock.now_s <= 2.0
    assert closed == [True]
    assert job.due(100.0) is None


def test_a_closed_job_leaves_its_lane_where_it_stood():
    clock = Clock()
    jobs = VirtualJobs(clock)
    first = jobs.start("hear", steps(clock, 2.0), at_s=0.0, deadline_s=9)
    first.due(0.1)
    first.close()  # a thread that is in a call cannot be stopped: the lane is busy until 2.0
    second = jobs.start("hear", steps(clock, 0.5), at_s=0.2, deadline_s=9)
    assert drained(second, 4.0)[0] == (2.5, 0)


def test_what_takes_too_long_is_given_up():
    clock = Clock()
    jobs = VirtualJobs(clock)
    job = jobs.start("think", steps(clock, 0.5, 60.0), at_s=0.0, deadline_s=3.0)
    (first, last) = drained(job, 5.0)
    assert first == (0.5, 0)
    assert last[0] == 3.5
    assert isinstance(last[1].error, AgentError)
    waiting = jobs.start("think", steps(clock, 0.1), at_s=1.0, deadline_s=2.0)
    (only,) = drained(waiting, 5.0)
    assert isinstance(only[1].error, AgentError)


def test_an_error_is_the_end():
    def work(tell):
        tell("a")
        yield
        raise DecodeError("no more: stop")

    found = drained(VirtualJobs(Clock()).start("hear", work, at_s=0.0, deadline_s=9), 1.0)
    assert found[0][1] == "a"
    assert str(found[1][1].error) == "no more: stop"


def test_threads_give_up_what_hangs():
    clock, gate = Clock(), threading.Event()

    def work(tell):
        gate.wait(30)
        yield

    jobs = ThreadJobs(clock=clock)
    job = jobs.start("think", work, at_s=0.0, deadline_s=3.0)
    assert job.due(1.0) is None
    clock.spend(3.1)
    assert job.due(1.0) == 1.0
    assert isinstance(job.take().error, AgentError)
    assert job.due(2.0) is None
    gate.set()
    jobs.close()
    with pytest.raises(AgentError):
        jobs.start("think", work, at_s=0.0, deadline_s=3.0)
