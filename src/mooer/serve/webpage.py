"""The page at `/`: a few files that stand beside this one, without a build and without the network.

Its policy lets it load nothing from elsewhere, run no script but its own files, and make no markup
of text.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mooer.serve.errors import ApiError
from mooer.serve.settings import LOOPBACK_NAMES
from mooer.serve.state import State

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
    "cache-control": "no-cache",
}
# Over plain http browsers ignore this one, and complain.
_SECURE_HEADERS = {"cross-origin-opener-policy": "same-origin"}


def routes(state: State) -> list[Route]:
    """`/` and `/static/NAME`."""
    found = {
        file.name: file.read_bytes()
        for file in files("mooer.serve").joinpath("page").iterdir()
        if file.name.rpartition(".")[2] in _TYPES
    }
    tags = {name: f'"{hashlib.sha256(data).hexdigest()[:16]}"' for name, data in found.items()}

    def answer(name: str, request: Request) -> Response:
        if name not in found:
            raise ApiError(404, "the page has no such file", code="not_found")
        headers = _HEADERS | {"etag": tags[name]}
        if request.url.scheme == "https" or request.url.hostname in LOOPBACK_NAMES:
            headers |= _SECURE_HEADERS
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(found[name], media_type=_TYPES[name.rpartition(".")[2]], headers=headers)

    async def index(request: Request) -> Response:
        return answer("index.html", request)

    async def static(request: Request) -> Response:
        return answer(request.path_params["name"], request)

    async def icon(request: Request) -> Response:
        return answer("icon.svg", request)

    return [
        Route("/", index),
        Route("/static/{name}", static),
        Route("/favicon.ico", icon),
    ]
