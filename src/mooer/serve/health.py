"""Whether the server lives, whether it can work, and its numbers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import mooer
from mooer.serve.metrics import CONTENT_TYPE
from mooer.serve.state import State


def routes(state: State) -> list[Route]:
    """`/health`, `/ready` and `/metrics`."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": mooer.__version__})

    async def ready(request: Request) -> Response:
        failed = sorted(state.engines.failures())
        limits = state.limits
        is_ready = not limits.is_draining and state.engines.is_usable
        status = "ready" if is_ready else "draining" if limits.is_draining else "failed"
        if state.settings.has_keys:  # who asks has shown none
            return JSONResponse({"status": status}, 200 if is_ready else 503)
        found = {
            "status": status,
            "running": limits.num_running,
            "waiting": limits.num_waiting,
            "sessions": limits.num_sessions,
            "failed_models": failed,
        }
        return JSONResponse(found, 200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        state.metrics.leave()
        return PlainTextResponse(state.metrics.render(), media_type=CONTENT_TYPE)

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]
