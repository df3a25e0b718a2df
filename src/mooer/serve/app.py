"""The server as an ASGI application: rooms with routes, a guard before them, models behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib import import_module

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from mooer.serve.engines import Load, shows_failure
from mooer.serve.errors import ApiError
from mooer.serve.guard import Guard
from mooer.serve.settings import Settings
from mooer.serve.state import State, make_state

logger = logging.getLogger(__name__)

ROOMS = (  # each has `routes`
    "health",
    "models",
    "transcriptions",
    "speech",
    "chat",
    "captions",
    "realtime",
    "webpage",
    "openapi",
)
_TIDY_S = 1.0


def make_app(settings: Settings, load: Load | None = None) -> Guard:
    """The application; its models are loaded when it starts. `load` takes the place of the house's.

    ConfigError if the settings make no sense.
    """
    if load is None:
        from mooer.serve.loading import load_engine as load
    settings.check()
    state = make_state(settings, load)
    routes: list[BaseRoute] = []
    for name in ROOMS:
        routes += import_module(f"mooer.serve.{name}").routes(state)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        if settings.warm:
            with contextlib.suppress(Exception):  # said in the log; /ready and requests tell it too
                await state.engines.warm()
        keeping = asyncio.create_task(_keep(state))
        try:
            yield
        finally:
            state.limits.is_draining = True
            keeping.cancel()
            state.workers.close()
            await state.engines.close()

    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _plain_error},
        lifespan=life,
    )
    return Guard(app, state)  # outside of all of it, beside the server itself


async def _keep(state: State) -> None:
    """Unload what is not used, and leave numbers for the other workers."""
    while True:
        await asyncio.sleep(_TIDY_S)
        state.metrics.leave()
        try:
            await state.engines.tidy()
        except Exception as error:
            if not shows_failure(error):
                raise
            logger.error("%s", error)


async def _plain_error(request: Request, error: Exception) -> Response:
    """Of a path or a method that is not there."""
    assert isinstance(error, HTTPException)
    sentences = {
        404: "there is no such address here: /docs lists what there is",
        405: f"{request.method} is not what this address takes: /docs lists what it does",
    }
    text = sentences.get(error.status_code, str(error.detail))
    return ApiError(error.status_code, text, code="not_found").response()
