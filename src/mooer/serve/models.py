"""`/v1/models`: what is served; administrators load and unload."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mooer.serve.engines import ModelInfo
from mooer.serve.errors import ApiError
from mooer.serve.state import State, caller_of


def routes(state: State) -> list[Route]:
    """`/v1/models`, one of them, and its load and unload."""
    began = int(time.time())

    def told(info: ModelInfo) -> dict[str, Any]:
        found = {"id": info.id, "object": "model", "created": began, "owned_by": "mooer"}
        return found | {"kind": info.kind, "loaded": info.is_loaded, "aliases": info.aliases}

    def find(name: str) -> ModelInfo:
        for info in state.engines.models():
            if name == info.id or name in info.aliases:
                return info
        raise ApiError(
            404,
            f"the model {name[:100]!r} does not exist here: GET /v1/models lists those that do",
            param="model",
            code="model_not_found",
        )

    async def every(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [*map(told, state.engines.models())]})

    async def one(request: Request) -> Response:
        return JSONResponse(told(find(request.path_params["model"])))

    async def load(request: Request) -> Response:
        info = _for_admin(request, find(request.path_params["model"]))
        await state.engines.load(info.id, info.kind)
        return JSONResponse(told(find(info.id)))

    async def unload(request: Request) -> Response:
        info = _for_admin(request, find(request.path_params["model"]))
        await state.engines.unload(info.id)
        return JSONResponse(told(find(info.id)))

    return [
        Route("/v1/models", every),
        Route("/v1/models/{model}/load", load, methods=["POST"]),
        Route("/v1/models/{model}/unload", unload, methods=["POST"]),
        Route("/v1/models/{model}", one),
    ]


def _for_admin(request: Request, info: ModelInfo) -> ModelInfo:
    if not caller_of(request).is_admin:
        raise ApiError(403, "this key may not load models: make one with --admin", code="no_admin")
    return info
