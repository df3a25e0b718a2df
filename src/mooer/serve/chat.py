"""`/v1/chat/completions`: text and sound in, text out, and sound with it if wanted."""

from __future__ import annotations

import base64
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mooer.serve.chats import ChatEngine, ChatUsage
from mooer.serve.engines import CHAT
from mooer.serve.jobs import Job
from mooer.serve.messages import ChatAsked, Transcripts, read_chat
from mooer.serve.speech import Wanted, spoken_file
from mooer.serve.state import State, caller_of, request_id_of
from mooer.serve.streams import (
    DONE,
    NO_BUFFER,
    SSE,
    Streamed,
    begun,
    collected,
    event,
    in_turn,
    telling_errors,
)
from mooer.serve.uploads import read_json

logger = logging.getLogger(__name__)

_KEPT_S = 3600  # what a spoken answer is promised to be remembered, while there is room

Piece = str | ChatUsage


def routes(state: State) -> list[Route]:
    """`/v1/chat/completions`."""
    transcripts = Transcripts()

    async def complete(request: Request) -> Response:
        job = state.job(request)
        state.limits.check_room(job.caller)
        body = await read_json(request, state.settings)
        caller = caller_of(request).id
        asked = await read_chat(body, state.settings, transcripts, caller)
        name = state.engines.find(asked.model, CHAT)
        answer = _Answer(state, request, asked, name, transcripts)
        if asked.streams:
            pieces = await begun(request, job, _pieces(state, job, asked, name))
            events = telling_errors(request, answer.events(pieces))
            return Streamed(events, media_type=SSE, headers=NO_BUFFER)
        return JSONResponse(await answer.whole(job))

    return [Route("/v1/chat/completions", complete, methods=["POST"])]


def _pieces(state: State, job: Job, asked: ChatAsked, name: str) -> AsyncGenerator[Piece, None]:
    def work(engine: ChatEngine, job: Job) -> Iterator[Piece]:
        return engine.answer(job, asked.turns, asked.wanted)

    return in_turn(state, job, state.engines.borrow(name, CHAT), work)


class _Answer:
    """One answer, whole or in pieces."""

    def __init__(
        self, state: State, request: Request, asked: ChatAsked, name: str, transcripts: Transcripts
    ) -> None:
        self._state = state
        self._request = request
        self._asked = asked
        self._name = name
        self._transcripts = transcripts
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._audio_id = f"audio_{secrets.token_hex(12)}"
        self._made_at = int(time.time())

    async def whole(self, job: Job) -> dict[str, Any]:
        """The object of an answer that is not streamed."""
        asked = self._asked
        found = await collected(self._request, job, _pieces(self._state, job, asked, self._name))
        text = "".join(one for one in found if isinstance(one, str))
        usage = next((one for one in found if isinstance(one, ChatUsage)), None)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if asked.voice and text.strip():
            job = self._state.job(self._request)
            data = await collected(self._request, job, self._spoken(job, text, asked.format))
            message["content"] = None
            message["audio"] = self._audio() | {
                "data": base64.b64encode(b"".join(data)).decode("ascii"),
                "transcript": text,
            }
        self._note(text)
        choice = {"index": 0, "message": message, "logprobs": None}
        return {
            **self._head("chat.completion"),
            "choices": [choice | {"finish_reason": _reason(usage)}],
            "usage": _usage(usage),
        }

    async def events(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[str, None]:
        """Chunks: the text as it is written, then its sound, the reason, and the end."""
        asked = self._asked
        yield self._chunk({"role": "assistant", "content": "" if not asked.voice else None})
        text, usage = "", None
        async with aclosing(pieces):
            async for one in pieces:
                if isinstance(one, ChatUsage):
                    usage = one
                    continue
                text += one
                audio = {"id": self._audio_id, "transcript": one}
                yield self._chunk({"audio": audio} if asked.voice else {"content": one})
        if asked.voice and text.strip():
            job = self._state.job(self._request)
            async with aclosing(self._spoken(job, text, "pcm16")) as sound:
                async for data in sound:
                    encoded = base64.b64encode(data).decode("ascii")
                    yield self._chunk({"audio": {"id": self._audio_id, "data": encoded}})
            yield self._chunk({"audio": self._audio()})
        self._note(text)
        yield self._chunk({}, _reason(usage))
        if asked.tells_usage:
            head = self._head("chat.completion.chunk")
            yield event({**head, "choices": [], "usage": _usage(usage)})
        yield DONE

    def _spoken(self, job: Job, text: str, format: str) -> AsyncGenerator[bytes, None]:
        format = {"pcm16": "pcm"}.get(format, format)
        wanted = Wanted(text, "", self._asked.voice, format, 1.0, by_events=False)
        return spoken_file(self._state, job, wanted)

    def _audio(self) -> dict[str, Any]:
        return {"id": self._audio_id, "expires_at": self._made_at + _KEPT_S}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._made_at, "model": self._name}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _note(self, text: str) -> None:
        if self._asked.voice:
            self._transcripts.keep(caller_of(self._request).id, self._audio_id, text)
        if self._state.settings.log_content:
            logger.info("%s answered: %s", request_id_of(self._request), text)


def _reason(usage: ChatUsage | None) -> str:
    return "length" if usage is not None and usage.is_cut else "stop"


def _usage(usage: ChatUsage | None) -> dict[str, Any]:
    if usage is None:
        return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    prompt = usage.text + usage.audio
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.answer,
        "total_tokens": prompt + usage.answer,
        "prompt_tokens_details": {"audio_tokens": usage.audio, "cached_tokens": 0},
        "completion_tokens_details": {"audio_tokens": 0},
    }
