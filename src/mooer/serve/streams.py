"""Answers that come piece by piece, and work that ends when its reader does."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mooer.serve.errors import in_one_line, told
from mooer.serve.jobs import Job, StoppedError
from mooer.serve.state import State, request_id_of

logger = logging.getLogger(__name__)

T = TypeVar("T")
SSE = "text/event-stream"
NO_BUFFER = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # the second is for nginx
DONE = "data: [DONE]\n\n"


def event(value: Mapping[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


async def in_turn(
    state: State,
    job: Job,
    engine: AbstractAsyncContextManager[Any],
    work: Callable[[Any, Job], Iterator[T]],
) -> AsyncGenerator[T, None]:
    """What an engine's work yields, once it is this caller's turn."""
    async with engine as ready, state.workers.place(job) as ticket:
        found = state.workers.stream(job, ticket, lambda job: work(ready, job))
        async with aclosing(found):
            async for one in found:
                yield one


async def when_there(request: Request, job: Job, work: Awaitable[T]) -> T:
    """The result of some work, unless the client leaves before: then the job is cancelled."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait([task, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise StoppedError
        return task.result()
    finally:
        leaving.cancel()
        if not task.done():
            job.cancel()
            task.cancel()
            await asyncio.wait([task])


async def begun(
    request: Request, job: Job, found: AsyncGenerator[T, None]
) -> AsyncGenerator[T, None]:
    """The same generator once its first piece is there, so that what fails at once is a status."""
    try:
        first = await when_there(request, job, _next(found))
    except BaseException:
        await found.aclose()
        raise
    return _rest(found, *first)


async def _next(found: AsyncGenerator[T, None]) -> list[T]:
    async for one in found:
        return [one]
    return []


async def _rest(found: AsyncGenerator[T, None], *first: T) -> AsyncGenerator[T, None]:
    async with aclosing(found):
        for one in first:
            yield one
        async for one in found:
            yield one


async def collected(request: Request, job: Job, found: AsyncGenerator[T, None]) -> list[T]:
    """All of it, unless the client leaves before."""

    async def all_of_it() -> list[T]:
        async with aclosing(found):
            return [one async for one in found]

    return await when_there(request, job, all_of_it())


class Streamed(StreamingResponse):
    """A response in pieces, whose source is closed when it ends, however it does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            source: Any = self.body_iterator
            await source.aclose()


async def telling_errors(request: Request, events: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    """Events, the last of which says what failed, if something did."""
    async with aclosing(events):
        try:
            async for one in events:
                yield one
        except StoppedError:
            return
        except Exception as error:
            answer = told(error)
            is_bug = answer.code == "internal_error"
            name = request_id_of(request)
            logger.warning("%s failed: %s", name, in_one_line(error), exc_info=is_bug)
            yield event(answer.body())
