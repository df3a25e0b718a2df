"""The server as an ASGI application: rooms with routes, a guard before them, models behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib import import_module
from itertools import count
from typing import Any

from starlette.routing import BaseRoute, Router

from mooer.memory import give_back_memory
from mooer.serve.engines import Load, shows_failure
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
_TRIM_EVERY = 30  # tidyings: what a burst of long clips has freed does not stay for weeks


def make_app(settings: Settings, load: Load | None = None) -> Guard:
    """The application; its models are loaded when it starts. `load` takes the place of the house's.

    ConfigError if the settings make no sense.
    """
    if load is None:
        from mooer.serve.loading import load_engine

        load = load_engine
    settings.check()
    state = make_state(settings, load)
    routes: list[BaseRoute] = []
    for name in ROOMS:
        routes += import_module(f"mooer.serve.{name}").routes(state)

    @contextlib.asynccontextmanager
    async def life(app: Any) -> AsyncIterator[None]:
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

    # Not a Starlette: that would answer errors itself, before the guard sees them. And no redirect
    # to what has no slash at its end: it would lead to whatever host the caller claims.
    app = Router(routes, redirect_slashes=False, lifespan=life)
    return Guard(app, state)  # outside of all of it, beside the server itself


async def _keep(state: State) -> None:
    """Unload what is not used, hand back its memory, leave numbers for the other workers."""
    for tidying in count(1):
        await asyncio.sleep(_TIDY_S)
        state.metrics.leave()
        try:
            await state.engines.tidy()
            state.tools.tidy()
        except Exception as error:
            if not shows_failure(error):
                raise
            logger.error("%s", error)
        if tidying % _TRIM_EVERY == 0:
            await asyncio.to_thread(give_back_memory)
