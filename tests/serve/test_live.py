"""The queue before a session, the socket before that, and what holds each of them back."""

import asyncio
import json

import numpy as np
import pytest
from starlette.websockets import WebSocketState
from tests.infer.streams import ScriptEar, open_session, talk
from tests.serve.live import CLIP, WORDS, frames

from mooer.infer import Final
from mooer.serve.errors import ApiError
from mooer.serve.live import MAX_BEHIND_BYTES, Hearing, Mark, Queue
from mooer.serve.sockets import MAX_WAITING, GoneError, Socket, together
from mooer.serve.sound import make_decoder


class Live:
    """A `LiveSession` that hears at once."""

    def __init__(self, session):
        self.session = session

    async def call(self, function, *arguments):
        return function(*arguments)


def hearing(**options):
    session = open_session(ScriptEar(talk(WORDS)))
    return Hearing(Live(session), make_decoder("pcm16", 16_000, 1), max_s=60.0, **options)


def test_who_sends_faster_than_is_heard_waits():
    async def work():
        queue = Queue()
        block = bytes(1 << 15)
        num = MAX_BEHIND_BYTES // len(block) + 1
        for _ in range(num):
            await asyncio.wait_for(queue.put(block), 0.5)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(queue.put(block), 0.05)
        assert queue.num_bytes == num * len(block)
        while queue.num_bytes > MAX_BEHIND_BYTES // 2:
            await queue.take(0.1)
        await asyncio.wait_for(queue.put(block), 0.5)

    asyncio.run(work())


def test_sound_is_taken_up_to_a_mark():
    async def work():
        queue = Queue()
        for item in (b"ab", b"cd", Mark.FLUSH, b"ef"):
            await queue.put(item)
        assert await queue.take(0.1) == [b"ab", b"cd", Mark.FLUSH]
        assert await queue.take(0.1) == [b"ef"]
        assert await queue.take(0.01) == []

    asyncio.run(work())


def test_a_stream_is_heard_to_its_end():
    found = []

    async def work():
        one = hearing()
        for frame in frames(CLIP):
            await one.put(frame)
        await one.mark(Mark.END)
        await one.run(found.append)

    asyncio.run(work())
    events = [event for news in found for event in news.events]
    text = "".join(e.text for e in events if isinstance(e, Final))
    assert text.strip() == WORDS
    assert found[-1].after is Mark.END
    assert found[-1].time_s == pytest.approx(4.5)


def test_a_frame_that_is_long_is_heard_in_pieces():
    found = []

    async def work():
        one = hearing()
        [frame] = frames(CLIP, 10.0)
        await one.put(frame)
        await one.mark(Mark.END)
        await one.run(found.append)

    asyncio.run(work())
    assert len(found) == 5
    assert found[0].time_s == pytest.approx(1.024)


def test_a_stalled_utterance_is_polled_to_its_end():
    found = []

    async def work():
        one = hearing()
        clock = iter(np.arange(0.0, 1e6, 4.0))
        one.session.run_by(lambda: float(next(clock)))
        for frame in frames(CLIP)[:25]:
            await one.put(frame)
        task = asyncio.ensure_future(one.run(found.append))
        for _ in range(100):
            await asyncio.sleep(0.02)
            if found and not one.session.is_open:
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not one.session.is_open
        assert any("no sound came" in warning for warning in one.session.warnings)

    asyncio.run(work())


def test_the_server_may_end_it():
    found = []

    async def work():
        one = hearing(is_ending=lambda: True)
        await one.run(found.append)
        assert one.is_cut

    asyncio.run(work())
    assert found[-1].after is Mark.END


class Reader:
    """The other side of a `Socket`: it reads so many messages, then none."""

    application_state = WebSocketState.CONNECTED
    query_params = {}  # noqa: RUF012

    def __init__(self, reads=10**9):
        self.found = []
        self.closed = None
        self._reads = reads

    async def send_text(self, text):
        if len(self.found) >= self._reads:
            await asyncio.sleep(3600)
        self.found.append(json.loads(text))

    async def receive(self):
        await asyncio.sleep(3600)

    async def close(self, code, reason):
        self.closed = (code, reason)


def test_a_partial_gives_way_to_the_next():
    async def work():
        reader = Reader()
        socket = Socket(reader, idle_s=1.0)
        for i in range(5):
            socket.send({"type": "partial", "i": i}, gives_way=True)
        socket.send({"type": "final", "i": 5})
        socket.send({"type": "partial", "i": 6}, gives_way=True)
        socket.finish()
        await socket.pump()
        assert [m["i"] for m in reader.found] == [4, 5, 6]

    asyncio.run(work())


def test_one_who_does_not_read_is_let_go_of():
    async def work():
        socket = Socket(Reader(reads=1), idle_s=0.05)
        socket.send({"type": "final"})
        socket.send({"type": "final"})
        with pytest.raises(ApiError, match="read what comes"):
            await socket.pump()
        for _ in range(MAX_WAITING):
            socket.send({"type": "final"})
        with pytest.raises(ApiError, match="were not read"):
            socket.send({"type": "final"})

    asyncio.run(work())


def test_a_last_message_says_why_and_the_reason_fits_a_frame():
    async def work():
        reader = Reader()
        socket = Socket(reader, idle_s=1.0)
        socket.send({"type": "final"})
        await socket.close(ApiError(400, "错" * 100))
        assert [m["type"] for m in reader.found] == ["final", "error"]
        code, reason = reader.closed
        assert code == 4400
        assert 0 < len(reason.encode()) <= 123

    asyncio.run(work())


def test_the_first_failure_ends_all():
    ended = []

    async def waits():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("waits")

    async def fails():
        raise GoneError

    async def work():
        with pytest.raises(GoneError):
            await together(waits(), fails())

    asyncio.run(work())
    assert ended == ["waits"]
