"""`/v1/audio/speech`: a text spoken, sent while it is."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mooer.audio.encoders import MEDIA_TYPES, encoder_for
from mooer.serve.engines import SPEAKER
from mooer.serve.errors import wrong
from mooer.serve.fields import choice, number_of, text_of
from mooer.serve.jobs import Job
from mooer.serve.speakers import OPENAI_VOICES, SpeakerEngine
from mooer.serve.state import State
from mooer.serve.streams import NO_BUFFER, SSE, Streamed, begun, event, in_turn, telling_errors
from mooer.serve.uploads import read_json
from mooer.speak.voicing import written_language

_MAX_BYTES = 1 << 20  # of a body: it is text
MIN_SPEED, MAX_SPEED = 0.5, 2.0  # of the speaker; OpenAI's range is wider


@dataclass(frozen=True)
class Wanted:
    """A text to be spoken."""

    text: str
    model: str
    voice: str
    format: str
    speed: float
    by_events: bool


def routes(state: State) -> list[Route]:
    """`/v1/audio/speech`, and the voices there are."""

    async def speak(request: Request) -> Response:
        job = state.job(request)
        state.limits.check_room(job.caller)
        body = await read_json(request, state.settings, _MAX_BYTES)
        wanted = read_wanted(body, state.settings.limits.max_input_chars)
        spoken = await begun(request, job, spoken_file(state, job, wanted))
        if wanted.by_events:
            events = telling_errors(request, _events(spoken))
            return Streamed(events, media_type=SSE, headers=NO_BUFFER)
        return Streamed(
            spoken, media_type=MEDIA_TYPES[wanted.format], headers={"x-accel-buffering": "no"}
        )

    async def voices(request: Request) -> Response:
        async with state.engines.borrow(None, SPEAKER) as engine:
            return JSONResponse({"voices": engine.voices, "aliases": OPENAI_VOICES})

    return [
        Route("/v1/audio/speech", speak, methods=["POST"]),
        Route("/v1/audio/voices", voices),
    ]


def read_wanted(body: dict[str, Any], max_chars: int) -> Wanted:
    """What a body asks for. ApiError 400 names the field that makes no sense."""
    text = text_of(body, "input")
    if not text.strip():
        raise wrong("input", "input is the text to be spoken: it is empty")
    if len(text) > max_chars:
        raise wrong("input", f"input has {len(text)} characters, at most {max_chars}", "too_long")
    voice = body.get("voice", "alloy")
    if isinstance(voice, dict):
        voice = voice.get("id")
    if not isinstance(voice, str) or not 0 < len(voice) <= 256:
        raise wrong("voice", "voice is the name of a voice: GET /v1/audio/voices lists them")
    speed = number_of(body, "speed", 1.0, 0.25, 4.0)
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise wrong("speed", f"this speaker's speed is {MIN_SPEED:g} to {MAX_SPEED:g}")
    return Wanted(
        text=text,
        model=text_of(body, "model"),
        voice=voice,
        format=choice(body, "response_format", "mp3", tuple(MEDIA_TYPES)),
        speed=speed,
        by_events=choice(body, "stream_format", "audio", ("audio", "sse")) == "sse",
    )


def spoken_file(state: State, job: Job, wanted: Wanted) -> AsyncGenerator[bytes, None]:
    """The bytes of the file, in this caller's turn."""
    name = state.engines.find(wanted.model, SPEAKER)

    def work(engine: SpeakerEngine, job: Job) -> Iterator[bytes]:
        voice = engine.voice(wanted.voice, written_language(wanted.text) or "en")
        encoder = encoder_for(wanted.format, engine.rate_hz)
        for samples in engine.speak(job, wanted.text, voice, wanted.speed):
            state.metrics.add("mooer_spoken_seconds_total", len(samples) / engine.rate_hz)
            if data := encoder.push(samples):
                yield data
        if data := encoder.finish():
            yield data

    return in_turn(state, job, state.engines.borrow(name, SPEAKER), work)


async def _events(spoken: AsyncGenerator[bytes, None]) -> AsyncGenerator[str, None]:
    async with aclosing(spoken):
        async for data in spoken:
            audio = base64.b64encode(data).decode("ascii")
            yield event({"type": "speech.audio.delta", "audio": audio})
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}  # no tokens here
    yield event({"type": "speech.audio.done", "usage": usage})
