"""Work in threads: its results, its reader, its end."""

import asyncio
import threading
from contextlib import aclosing

import numpy as np
import pytest
from tests.serve.stand import until

from mooer.errors import AudioError
from mooer.serve.callers import Caller
from mooer.serve.errors import ApiError
from mooer.serve.jobs import Job, StoppedError, Workers
from mooer.serve.limits import Limits
from mooer.serve.metrics import Metrics
from mooer.serve.settings import LimitOptions

ANNA = Caller("anna")


def make(**options):
    limits = Limits(LimitOptions(**options), Metrics())
    return limits, Workers(limits)


def test_results_come_in_order_and_the_place_is_given_back():
    async def main():
        limits, workers = make(max_running=1)
        job = Job(ANNA, 5)
        async with workers.place(job) as ticket:
            found = [one async for one in workers.stream(job, ticket, lambda job: iter(range(50)))]
        assert found == list(range(50))
        while limits.num_running:
            await asyncio.sleep(0.01)
        assert await workers.run(Job(ANNA, 5), lambda job: "done") == "done"

    asyncio.run(main())


def test_errors_of_the_work_are_raised_where_it_is_awaited():
    async def main():
        limits, workers = make()

        def work(job):
            raise AudioError("no sound")

        with pytest.raises(AudioError, match="no sound"):
            await workers.run(Job(ANNA, 5), work)
        while limits.num_running:
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_slow_reader_holds_the_work_up():
    async def main():
        _, workers = make()
        made = []

        def work(job):
            for i in range(1000):
                made.append(i)
                yield i

        job = Job(ANNA, 5)
        async with (
            workers.place(job) as ticket,
            aclosing(workers.stream(job, ticket, work)) as found,
        ):
            await found.__anext__()
            await asyncio.sleep(0.1)
            assert len(made) < 40

    asyncio.run(main())


def test_the_place_is_free_when_the_thread_has_ended_and_not_before():
    async def main():
        limits, workers = make(max_running=1)
        going_on, ended = threading.Event(), []

        def work(job):
            yield 1
            going_on.wait(5)
            try:
                job.check()
            finally:
                ended.append(True)

        job = Job(ANNA, 5)
        async with workers.place(job) as ticket:
            found = workers.stream(job, ticket, work)
            await found.__anext__()
            await found.aclose()  # the reader leaves
        assert limits.num_running == 1
        going_on.set()
        while limits.num_running:
            await asyncio.sleep(0.01)
        assert ended == [True]

    asyncio.run(main())


def test_a_job_that_does_not_begin_gives_its_place_back():
    async def main():
        limits, workers = make()
        with pytest.raises(ZeroDivisionError):
            async with workers.place(Job(ANNA, 5)):
                raise ZeroDivisionError
        assert limits.num_running == 0

    asyncio.run(main())


def test_no_small_file_becomes_days_of_sound():
    job = Job(ANNA, 5, max_duration_s=2.0)
    job.watch(np.zeros(32_000))
    with pytest.raises(AudioError, match="longer than 2 s"):
        job.watch(np.zeros(1))


def test_a_deadline_and_an_end():
    with pytest.raises(ApiError) as caught:
        Job(ANNA, 0.0).check()
    assert caught.value.status == 504
    job = Job(ANNA, 5)
    job.check()
    job.cancel()
    with pytest.raises(StoppedError):
        job.check()


def test_closing_ends_what_runs():
    async def main():
        _, workers = make()
        job = Job(ANNA, 50)

        def work(job):
            until(lambda: job.check() is not None, 40)
            yield 1

        async with workers.place(job) as ticket:
            found = workers.stream(job, ticket, work)
            pending = asyncio.ensure_future(found.__anext__())
            await asyncio.sleep(0.05)
            workers.close()
            with pytest.raises(StoppedError):
                await pending

    asyncio.run(main())
