"""Errors as OpenAI's clients know them: a status, a type, one sentence that says what to mend."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from mooer.errors import (
    AudioError,
    DecodeError,
    MissingExtra,
    ModelError,
    MooerError,
    StoreError,
)

BUG = "the server failed over this request: its log tells more, under this request's id"
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    411: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    499: "cancelled_error",
    503: "service_unavailable_error",
    504: "timeout_error",
    507: "insufficient_storage_error",
}


class ApiError(Exception):
    """What is answered instead of a result."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        allowed: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s
        self.allowed = allowed

    def body(self) -> dict[str, Any]:
        """The JSON that a client reads; of a stream, its last event."""
        return {
            "error": {
                "message": self.message,
                "type": _TYPES.get(self.status, "server_error"),
                "param": self.param,
                "code": self.code,
            }
        }

    def headers(self) -> Mapping[str, str]:
        """Retry-After in whole seconds, how a key is shown, and which methods there are."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        if self.allowed is not None:
            return {"Allow": self.allowed}
        if self.retry_after_s is None:
            return {}
        return {"Retry-After": str(max(1, round(self.retry_after_s)))}

    def response(self) -> JSONResponse:
        """The same as a response."""
        return JSONResponse(self.body(), self.status, dict(self.headers()))


def wrong(param: str | None, message: str, code: str | None = "invalid_value") -> ApiError:
    """A request that asks for what makes no sense."""
    return ApiError(400, message, param=param, code=code)


def told(error: BaseException) -> ApiError:
    """What a caller is told of an error from below; of a bug nothing but that it is one."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, MooerError):
        return _told_of_ours(error)
    if isinstance(error, MemoryError):
        return ApiError(503, "the server is out of memory: try later", retry_after_s=30)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ApiError(
            507, "the server's disk is full: try later", code="disk_full", retry_after_s=60
        )
    return ApiError(500, BUG, code="internal_error")


def in_one_line(error: BaseException) -> str:
    """What an error says, so that nothing in it looks like another line of the log."""
    return " ".join(str(error).split())


def _told_of_ours(error: MooerError) -> ApiError:
    text = in_one_line(error)
    if isinstance(error, ModelError | StoreError | MissingExtra):
        return ApiError(503, _without_paths(error), code="model_unavailable", retry_after_s=30)
    if isinstance(error, AudioError):
        return ApiError(400, text, param="file", code="invalid_audio")
    code = "nothing_usable" if isinstance(error, DecodeError) else "invalid_value"
    return wrong(None, text, code)


def _without_paths(error: BaseException) -> str:
    """Where weights lie is nobody's business: the log has it."""
    kind = type(error).__name__
    return f"the model cannot be used at the moment ({kind}): the server's log says why"
