"""Bodies of requests: forms whose file goes to the disk as it comes, and JSON of a bounded size.

The file has no name on the disk and is gone when it is closed, or when the process dies. What a
caller calls it is used for nothing but a message.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from starlette.requests import ClientDisconnect, Request

from mooer.serve.errors import ApiError, wrong
from mooer.serve.fields import object_of
from mooer.serve.settings import MIB, LimitOptions, Settings
from mooer.serve.state import HOLD

NAME = "the upload"
_MAX_FIELD_BYTES = 256 << 10
_MAX_FIELDS = 64
_MAX_HEADER_BYTES = 8 << 10  # of one part
_RESERVE_BYTES = 128 * MIB  # of the disk, that uploads leave to others
_WRITE_BYTES = 1 * MIB
_LEAST_BYTES_PER_S = 256  # of a body, after a while


class Form:
    """Fields of a form by name, and its one file."""

    def __init__(self) -> None:
        self.fields: dict[str, list[str]] = {}
        self.file: BinaryIO | None = None
        self.num_bytes = 0

    def text(self, name: str, default: str = "") -> str:
        """The last value of a field."""
        return self.fields.get(name, [default])[-1]

    def texts(self, name: str) -> list[str]:
        """All values of a list, which clients write with brackets or without."""
        return [*self.fields.get(name, []), *self.fields.get(f"{name}[]", [])]

    def close(self) -> None:
        """Let go of the file: it is gone then."""
        if self.file is not None:
            self.file.close()


@asynccontextmanager
async def read_form(request: Request, settings: Settings) -> AsyncIterator[Form]:
    """The form of a request; its file is gone when the block ends.

    ApiError 413 if it is too large, 400 if it is no form, 408 if nothing more comes, 507 if the
    disk is full.
    """
    form = Form()
    try:
        await _Reading(form, _boundary(request), settings.upload_dir).read(
            body_of(request, settings.limits.max_upload_bytes, settings.limits)
        )
        yield form
    finally:
        form.close()


async def read_json(
    request: Request, settings: Settings, max_bytes: int | None = None
) -> dict[str, Any]:
    """The JSON object of a request.

    ApiError 413 if it is too large, 400 if it is none, 408 as for a form, 429 if there is no room.
    """
    parts = []
    limits = settings.limits
    hold = request.scope.get(HOLD, lambda num_bytes: None)
    async for data in body_of(request, max_bytes or limits.max_body_bytes, limits):
        hold(len(data))
        parts.append(data)
    return object_of(b"".join(parts))


async def body_of(request: Request, max_bytes: int, limits: LimitOptions) -> AsyncIterator[bytes]:
    """The pieces of a body. ApiError 413 as soon as it is too large, 408 if it stalls or drips."""
    idle_s, began = limits.idle_s, time.monotonic()
    claimed = request.headers.get("content-length", "")
    if claimed.isascii() and claimed.isdigit() and int(claimed[:20]) > max_bytes:
        raise _too_large(max_bytes)
    num_bytes, is_more = 0, True
    while is_more:
        try:
            message = await asyncio.wait_for(request.receive(), idle_s)
        except asyncio.TimeoutError:
            raise ApiError(
                408,
                f"nothing came for {idle_s:.0f} s: send the body without a pause",
                code="stalled",
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        data: bytes = message.get("body", b"")
        is_more = message.get("more_body", False)
        num_bytes += len(data)
        if num_bytes > max_bytes:
            raise _too_large(max_bytes)
        took_s = time.monotonic() - began
        if is_more and (
            num_bytes < _LEAST_BYTES_PER_S * (took_s - idle_s) or took_s > limits.deadline_s
        ):
            raise ApiError(
                408, f"{num_bytes} bytes came in {took_s:.0f} s: send them faster", code="stalled"
            )
        if data:
            yield data


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(
        413,
        f"the body is larger than {max_bytes / MIB:.0f} MiB, the most that is taken here: send a "
        "compressed format such as mp3 or opus, or the recording in parts",
        param="file",
        code="too_large",
    )


def _boundary(request: Request) -> bytes:
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary: bytes = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 70:
        raise wrong(
            "file",
            "the body must be multipart/form-data with the recording in the field file",
            "invalid_form",
        )
    return boundary


class _Reading:
    """A form on its way in."""

    def __init__(self, form: Form, boundary: bytes, folder: Path | None) -> None:
        from python_multipart.multipart import MultipartParser

        self._form = form
        self._folder = folder
        self._name = ""
        self._is_file = False
        self._field = b""  # name of a part's header, then its value
        self._value = b""
        self._disposition = b""
        self._num_fields = 0
        self._data = bytearray()
        self._parser = MultipartParser(boundary, self._callbacks())
        self._is_done = False

    def _callbacks(self) -> Any:
        def data_of(take: Callable[[bytes], None]) -> Callable[[bytes, int, int], None]:
            return lambda data, start, end: take(data[start:end])

        return {
            "on_part_begin": self._begin,
            "on_part_data": data_of(self._take),
            "on_part_end": self._end,
            "on_header_field": data_of(self._name_of_header),
            "on_header_value": data_of(self._value_of_header),
            "on_header_end": self._end_of_header,
            "on_headers_finished": self._open,
            "on_end": self._finish,
        }

    async def read(self, body: AsyncIterator[bytes]) -> None:
        from python_multipart.exceptions import FormParserError

        try:
            async for data in body:
                self._parser.write(data)
                if self._is_file and len(self._data) >= _WRITE_BYTES:
                    await self._flush()
            self._parser.finalize()
        except FormParserError as error:
            raise wrong(None, f"the form cannot be read: {error}"[:200], "invalid_form") from None
        await self._flush()
        if not self._is_done:
            raise wrong(None, "the form ends in its midst: send all of it", "invalid_form")
        if self._form.file is not None:
            self._form.file.seek(0)

    async def _flush(self) -> None:
        """Write what is held of the file, in a thread: a disk may take its time."""
        file, data = self._form.file, self._data
        if file is not None and data and self._is_file:
            self._data = bytearray()
            await asyncio.to_thread(self._write, file, data)

    def _write(self, file: BinaryIO, data: bytearray) -> None:
        check_disk(self._folder)
        file.write(data)

    def _begin(self) -> None:
        self._disposition = b""
        self._num_fields += 1
        if self._num_fields > _MAX_FIELDS:
            raise wrong(None, f"the form has more than {_MAX_FIELDS} fields", "invalid_form")

    def _name_of_header(self, data: bytes) -> None:
        self._field += data
        self._check_header()

    def _value_of_header(self, data: bytes) -> None:
        self._value += data
        self._check_header()

    def _check_header(self) -> None:
        if len(self._field) + len(self._value) > _MAX_HEADER_BYTES:
            raise wrong(None, "a part of the form has too long a header", "invalid_form")

    def _end_of_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _open(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = b"filename" in options
        if not self._name:
            raise wrong(None, "a part of the form has no name", "invalid_form")
        if self._is_file and (self._name != "file" or self._form.file is not None):
            raise wrong(self._name, "one file is taken, in the field file", "invalid_form")
        if self._is_file:
            self._form.file = nameless(self._folder)

    def _take(self, data: bytes) -> None:
        self._data += data
        if self._is_file:
            self._form.num_bytes += len(data)
        elif len(self._data) > _MAX_FIELD_BYTES:
            raise wrong(self._name[:64], "the field is too long", "invalid_form")

    def _end(self) -> None:
        if self._is_file:
            assert self._form.file is not None
            self._write(self._form.file, self._data)  # at most a piece of the body
            self._is_file = False
        else:
            text = self._data.decode("utf-8", "replace")
            self._form.fields.setdefault(self._name, []).append(text)
        self._data = bytearray()

    def _finish(self) -> None:
        self._is_done = True


def check_disk(folder: Path | None) -> None:
    """ApiError 507 if the disk of uploads has hardly any room left."""
    if shutil.disk_usage(folder or tempfile.gettempdir()).free < _RESERVE_BYTES:
        raise ApiError(
            507, "the server's disk is full: try later", code="disk_full", retry_after_s=60
        )


def nameless(folder: Path | None) -> BinaryIO:
    """A file on the disk that has no name there; to messages it is "the upload"."""
    file: Any = tempfile.TemporaryFile("w+b", prefix="mooer-", dir=folder)  # noqa: SIM115 - `Form` closes it
    file.raw.name = NAME
    return file  # type: ignore[no-any-return]
