"""`/v1/audio/transcriptions` and `/v1/audio/translations`: a recording to text, in every format."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mooer.serve.asking import Asked, read_asked
from mooer.serve.engines import RECOGNISER
from mooer.serve.fetching import recording_of
from mooer.serve.formats import (
    MEDIA_TYPES,
    addition,
    body_of,
    diarized_segment,
    shown_text,
    streamed_segment,
    usage,
)
from mooer.serve.hearing import hear
from mooer.serve.jobs import Job
from mooer.serve.state import State, request_id_of
from mooer.serve.streams import (
    NO_BUFFER,
    SSE,
    Streamed,
    begun,
    collected,
    event,
    in_turn,
    telling_errors,
)
from mooer.serve.uploads import Form, read_form
from mooer.transcript import Segment, Transcript

logger = logging.getLogger(__name__)

Heard = Segment | Transcript  # segments as they come, at last the transcript


def routes(state: State) -> list[Route]:
    """Both, which differ by the task."""

    async def transcribe(request: Request) -> Response:
        return await answer(state, request, "asr")

    async def translate(request: Request) -> Response:
        return await answer(state, request, "ast")

    return [
        Route("/v1/audio/transcriptions", transcribe, methods=["POST"]),
        Route("/v1/audio/translations", translate, methods=["POST"]),
    ]


async def answer(state: State, request: Request, task: str) -> Response:
    """Read the form, hear the recording in its turn, and answer as was asked."""
    job = state.job(request)
    state.limits.check_room(job.caller)  # before the upload, which would be for nothing
    async with read_form(request, state.settings) as form:
        asked = read_asked(form, task)
        await recording_of(form, state.settings)
        heard = _heard(state, job, asked, form)
        if asked.streams:
            heard = await begun(request, job, heard)
            file, form.file = form.file, None  # it stays open as long as the stream
            events = telling_errors(request, _events(heard, asked, state, request, file))
            return Streamed(events, media_type=SSE, headers=NO_BUFFER)
        *_, transcript = await collected(request, job, heard)
    assert isinstance(transcript, Transcript)
    _note(state, request, transcript)
    body = body_of(transcript, asked.format, asked.granularities)
    if isinstance(body, str):
        return PlainTextResponse(body, media_type=MEDIA_TYPES[asked.format])
    return JSONResponse(body)


def _heard(state: State, job: Job, asked: Asked, form: Form) -> AsyncGenerator[Heard, None]:
    name = state.engines.find(asked.model, RECOGNISER)
    assert form.file is not None
    file = form.file

    def work(engine: Any, job: Job) -> Iterator[Heard]:
        return hear(engine, state.tools, job, file, asked)

    return in_turn(state, job, state.engines.borrow(name, RECOGNISER), work)


async def _events(
    heard: AsyncGenerator[Heard, None], asked: Asked, state: State, request: Request, file: Any
) -> AsyncGenerator[str, None]:
    """A delta for each segment, and the whole at the end."""
    text, number = "", 0
    try:
        async with aclosing(heard):
            async for one in heard:
                if isinstance(one, Transcript):
                    _note(state, request, one)
                    done: dict[str, Any] = {"type": "transcript.text.done", "text": shown_text(one)}
                    if asked.format == "verbose_json":
                        done |= {"language": one.language, "duration": one.duration_s}
                    yield event(done | {"usage": usage(one)})
                    return
                if asked.format == "verbose_json" and (one.text or one.events):
                    yield event(streamed_segment(number, one, asked.task == "ast"))
                said = one.translation if asked.task == "ast" and one.translation else one.text
                if not said:
                    continue
                found: dict[str, Any] = {"type": "transcript.text.delta"}
                if asked.is_diarized:
                    if asked.format != "verbose_json":
                        yield event(diarized_segment(number, one))
                    found["segment_id"] = f"seg_{number:04d}"
                found["delta"] = addition(text, said)
                text += found["delta"]
                number += 1
                yield event(found)
    finally:
        if file is not None:
            file.close()


def _note(state: State, request: Request, transcript: Transcript) -> None:
    route = request.url.path
    state.metrics.add("mooer_audio_seconds_total", transcript.duration_s, route=route)
    if state.settings.log_content:
        logger.info("%s said: %s", request_id_of(request), shown_text(transcript))
