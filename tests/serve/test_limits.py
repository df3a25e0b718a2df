"""The queue before the work: bounded, fair, and nothing is lost in it."""

import asyncio
from contextlib import ExitStack

import pytest

from mooer.serve.callers import Caller
from mooer.serve.errors import ApiError
from mooer.serve.limits import Limits
from mooer.serve.metrics import Metrics
from mooer.serve.settings import LimitOptions

ANNA, BEN = Caller("anna"), Caller("ben")


def make(**options):
    return Limits(LimitOptions(**options), Metrics())


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_place_goes_to_who_holds_fewest():
    async def main():
        limits = make(max_running=2, max_running_each=2)
        first, second = await limits.enter(ANNA, 5), await limits.enter(ANNA, 5)
        order = []

        async def ask(caller, name):
            ticket = await limits.enter(caller, 5)
            order.append(name)
            return ticket

        tasks = [asyncio.create_task(ask(ANNA, f"a{i}")) for i in range(3)]
        await settle()
        tasks.append(asyncio.create_task(ask(BEN, "b")))
        await settle()
        assert limits.num_waiting == 4
        first.release()
        await settle()
        assert order == ["b"]  # though anna's three have waited longer
        second.release()
        await settle()
        assert order == ["b", "a0"]
        for task in (tasks[3], tasks[0]):
            (await task).release()
        await settle()
        assert order == ["b", "a0", "a1", "a2"]
        for task in tasks[1:3]:
            (await task).release()
        assert (limits.num_running, limits.num_waiting) == (0, 0)

    asyncio.run(main())


def test_one_caller_does_not_take_all_places():
    async def main():
        limits = make(max_running=4, max_running_each=1, max_waiting_each=1)
        await limits.enter(ANNA, 5)
        waiting = asyncio.create_task(limits.enter(ANNA, 5))
        await settle()
        assert (await limits.enter(BEN, 5)) is not None
        with pytest.raises(ApiError) as caught:
            await limits.enter(ANNA, 5)
        assert caught.value.status == 429
        assert int(caught.value.headers()["Retry-After"]) >= 1
        waiting.cancel()
        await settle()
        assert limits.num_waiting == 0

    asyncio.run(main())


def test_a_full_queue_is_said_before_an_upload():
    async def main():
        limits = make(max_running=1, max_waiting=0)
        ticket = await limits.enter(ANNA, 5)
        with pytest.raises(ApiError, match="busy"):
            limits.check_room(BEN)
        ticket.release()
        ticket.release()  # a second time does nothing
        limits.check_room(BEN)
        assert limits.num_running == 0

    asyncio.run(main())


def test_who_waits_too_long_is_told():
    async def main():
        limits = make(max_running=1)
        ticket = await limits.enter(ANNA, 5)
        with pytest.raises(ApiError) as caught:
            await limits.enter(BEN, 0.02)
        assert caught.value.status == 504
        assert limits.num_waiting == 0
        ticket.release()
        (await limits.enter(BEN, 1)).release()

    asyncio.run(main())


def test_a_turn_that_comes_in_the_moment_of_leaving_is_passed_on():
    async def main():
        limits = make(max_running=1)
        ticket = await limits.enter(ANNA, 5)
        leaving = asyncio.create_task(limits.enter(BEN, 5))
        staying = asyncio.create_task(limits.enter(Caller("cleo"), 5))
        await settle()
        ticket.release()
        leaving.cancel()
        (await staying).release()
        assert limits.num_running == 0

    asyncio.run(main())


def test_live_streams_are_counted():
    async def main():
        limits = make(max_sessions=2, max_sessions_each=1)
        async with limits.session(ANNA):
            with pytest.raises(ApiError, match="you have 1"):
                async with limits.session(ANNA):
                    pass
            async with limits.session(BEN):
                with pytest.raises(ApiError, match="all 2"):
                    async with limits.session(Caller("cleo")):
                        pass
        assert limits.num_sessions == 0

    asyncio.run(main())


def test_the_rate_of_a_caller():
    limits = make(requests_per_minute=2)
    limits.check_rate(ANNA)
    limits.check_rate(ANNA)
    with pytest.raises(ApiError) as caught:
        limits.check_rate(ANNA)
    assert 25 <= int(caught.value.headers()["Retry-After"]) <= 30
    limits.check_rate(BEN)


def test_open_requests_and_the_bytes_they_keep_are_bounded():
    limits, whole = make(max_running_each=1, max_waiting_each=1, max_held_bytes=100), []
    with ExitStack() as stack:
        for _ in range(18):
            whole.append(stack.enter_context(limits.visit(ANNA)))
        with pytest.raises(ApiError) as caught, limits.visit(ANNA):
            pass
        assert caught.value.status == 429
        whole[0](30)
        whole[1](20)
        with pytest.raises(ApiError) as caught:
            whole[2](1)  # more than half of all
        assert caught.value.status == 429
        with limits.visit(BEN) as hold:
            hold(50)
        with limits.visit(BEN) as hold:
            hold(50)
    with limits.visit(ANNA) as hold:
        hold(50)
    assert not limits._visits
    assert not limits._held_bytes
