"""`WS /v1/captions`: sound in, words while they are said out; docs/captions.md has the protocol.

>> {"type": "start", "language": "en"}     then binary frames, and {"type": "end"}
<< {"type": "ready", …}  {"type": "partial", …}  {"type": "final", …}  {"type": "said", …}  …
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from mooer.audio.endpoint import EndpointOptions
from mooer.errors import did_you_mean
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.stream import EndPoint, Final, Partial, Said, Session, StreamEvent
from mooer.infer.utterance import LiveOptions
from mooer.serve.callers import Caller
from mooer.serve.engines import SPEAKER
from mooer.serve.errors import ApiError, wrong
from mooer.serve.interpreting import Speaking
from mooer.serve.jobs import Job
from mooer.serve.live import Hearing, Mark, News
from mooer.serve.sockets import Message, Socket, attend, read_message, together
from mooer.serve.sound import make_decoder
from mooer.serve.state import State
from mooer.text import find_language
from mooer.transcript import Word

PROTOCOL = "mooer-captions"  # as a browser's subprotocol
_START_S = 15.0
_MAX_TEXT = 2000  # letters of a prompt, or of hotwords
_MAX_NUMBER = 1_000_000  # beyond the range of any field
_OPUS_BYTES_PER_S = 4_000.0


@dataclass(frozen=True)
class Wanted:
    """The fields of the message `start`."""

    model: str | None = None
    encoding: str = "pcm16"
    rate_hz: int = 16_000
    channels: int = 1
    language: str | None = None
    to: str | None = None  # language of a translation of each sentence
    speak: bool = False  # send its sound too
    voice: str = "alloy"
    labels: bool = False  # emotion, events, gender and age of each sentence
    itn: bool = False
    punctuate: bool = False
    hotwords: str = ""
    prompt: str = ""
    script: str = "hans"
    step_s: float = 0.6
    silence_s: float = 0.6

    def options(self) -> RecognizeOptions:
        """As recognisers take them. ConfigError for what makes no sense."""
        return RecognizeOptions(
            language=find_language(self.language) if self.language else None,
            task="ast" if self.to else "asr",
            to=find_language(self.to) if self.to else "en",
            words=True,
            rich=self.labels,
            gender=self.labels,
            age=self.labels,
            itn=self.itn,
            punctuate=self.punctuate,
            hotwords=self.hotwords,
            prompt=self.prompt,
            script=self.script,
        )

    def live(self) -> LiveOptions:
        """How the stream is heard. ApiError for steps and silences that no stream has."""
        if not 0.2 <= self.step_s <= 5.0:
            raise wrong("step_s", f"step_s must be 0.2 to 5, not {self.step_s:g}")
        if not 0.2 <= self.silence_s <= 10.0:
            raise wrong("silence_s", f"silence_s must be 0.2 to 10, not {self.silence_s:g}")
        pause_s = min(0.3, self.silence_s / 2)
        return LiveOptions(
            step_s=self.step_s, endpoint=EndpointOptions(pause_s=pause_s, end_s=self.silence_s)
        )

    def check(self) -> None:
        """ApiError for what cannot be meant."""
        if self.speak and not self.to:
            raise wrong("speak", "speak is of translations: say the language by to")

    @property
    def bytes_per_s(self) -> float:
        """Of its sound, about."""
        if self.encoding == "pcm16":
            return 2.0 * self.rate_hz * self.channels
        return _OPUS_BYTES_PER_S if self.encoding in ("opus", "ogg") else float(self.rate_hz)


def routes(state: State) -> list[WebSocketRoute]:
    """`/v1/captions`."""

    async def captions(websocket: WebSocket) -> None:
        await attend(websocket, state, partial(_caption, state), protocols=(PROTOCOL,))

    return [WebSocketRoute("/v1/captions", captions)]


def read_start(message: Message) -> Wanted:
    """The message `start`. ApiError 400 for a key that is unknown or of another type."""
    given = {key: value for key, value in message.items() if key != "type"}
    if message["type"] != "start":
        raise wrong("type", 'the first message is {"type": "start"}', code="not_started")
    known = {field.name: field.default for field in fields(Wanted)}
    for key, value in given.items():
        if key not in known:
            raise wrong(key[:50], f"start has no {key[:50]!r}: {did_you_mean(key[:50], known)}")
        given[key] = _typed(key, value, known[key])
    return Wanted(**given)


def _typed(key: str, value: Any, default: Any) -> Any:
    kind = str if default is None else type(default)
    if value is None and default is None:
        return None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(max(-_MAX_NUMBER, min(_MAX_NUMBER, value)))  # of any length in JSON
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
        raise wrong(key, f"{key} must be {names[kind]}")
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise wrong(key, f"{key} has {len(value)} letters: {_MAX_TEXT} are the most")
    return value


async def _caption(state: State, socket: Socket, caller: Caller) -> None:
    """One stream, from `start` to `done`."""
    first = await socket.receive(_START_S)
    if not isinstance(first, str):
        raise wrong("type", 'sound came before {"type": "start"}', code="not_started")
    wanted = read_start(read_message(first))
    decoder = make_decoder(wanted.encoding, wanted.rate_hz, wanted.channels)
    wanted.check()
    options, live = wanted.options(), wanted.live()
    async with (
        state.engines.session(caller, options, live, model=wanted.model) as stream,
        _speaking(state, socket, caller, wanted) as speaking,
    ):
        hearing = Hearing(
            stream,
            decoder,
            max_s=state.settings.limits.max_duration_s,
            is_ending=lambda: state.limits.is_draining,
            bytes_per_s=wanted.bytes_per_s,
        )
        writer = Writer(socket, stream.session, speaking, options.to)
        writer.begin(wanted)
        try:
            await together(_read(socket, hearing), _hear(hearing, writer), socket.pump())
        finally:
            heard_s = stream.session.time_s
            state.metrics.add("mooer_audio_seconds_total", heard_s, route="/v1/captions")


async def _read(socket: Socket, hearing: Hearing) -> None:
    """Hand on what comes until the caller says that it is the end."""
    while True:
        frame = await socket.receive()
        if isinstance(frame, bytes):
            if frame:
                await hearing.put(frame)
            continue
        try:
            kind = read_message(frame)["type"]
            if kind == "end":
                await hearing.mark(Mark.END)
                return
            if kind == "flush":
                await hearing.mark(Mark.FLUSH)
            elif kind == "ping":
                socket.send({"type": "pong"}, gives_way=True)
            else:
                known = did_you_mean(kind[:50], ("end", "flush", "ping"))
                raise wrong("type", f"unknown message {kind[:50]!r}: {known}")
        except ApiError as error:
            socket.wrong(error)


@asynccontextmanager
async def _speaking(
    state: State, socket: Socket, caller: Caller, wanted: Wanted
) -> AsyncIterator[Speaking | None]:
    """Who speaks translations, if that is wanted. ApiError 404 if nobody here speaks."""
    if not wanted.speak:
        yield None
        return
    async with state.engines.borrow(None, SPEAKER) as engine:
        voice = engine.voice(wanted.voice, wanted.to)
        yield Speaking(socket, engine, Job(caller, float("inf")), voice, state.metrics)


async def _hear(hearing: Hearing, writer: Writer) -> None:
    speaking = writer.speaking

    async def hear() -> None:
        await hearing.run(writer.tell)
        if speaking is not None:
            speaking.finish(at_once=hearing.is_cut)

    await together(hear(), *([speaking.run()] if speaking is not None else []))
    writer.end()
    if hearing.is_cut:
        raise ApiError(503, "the server is about to end: open the stream again", code="draining")


class Writer:
    """What came of sound, as messages."""

    def __init__(
        self, socket: Socket, session: Session, speaking: Speaking | None = None, to: str = ""
    ) -> None:
        self.speaking = speaking
        self._socket = socket
        self._session = session
        self._to = to
        self._num_said = 0
        self._num_warnings = 0
        self._is_speaking = False

    def begin(self, wanted: Wanted) -> None:
        """Say that sound is welcome, and what it is taken for."""
        self._socket.send(
            {
                "type": "ready",
                "id": secrets.token_hex(8),
                "model": self._session.name,
                "encoding": wanted.encoding,
                "rate_hz": wanted.rate_hz,
                "channels": wanted.channels,
                "language": wanted.language,
                "to": wanted.to,
            }
        )

    def tell(self, news: News) -> None:
        """What came of a piece of sound."""
        if self.speaking is not None:
            self.speaking.hear(news.time_s)
        self._tell_start(news.begun_s)
        for event in news.events:
            self._tell_start(_begin_of(event))
            self._socket.send(self._message(event), gives_way=type(event) is Partial)
            if isinstance(event, EndPoint):
                self._is_speaking = False
        self._tell_start(news.speaking_since_s)
        for warning in self._session.warnings[self._num_warnings :]:
            self._num_warnings += 1
            self._socket.send({"type": "warning", "message": warning})
        if news.after is Mark.FLUSH:
            self._socket.send({"type": "flushed", "time_s": round(news.time_s, 3)})

    def end(self) -> None:
        """The last message."""
        session = self._session
        self._socket.send(
            {
                "type": "done",
                "duration_s": round(session.time_s, 3),
                "num_said": self._num_said,
                "model": session.name,
                "versions": session.versions,
            }
        )
        self._socket.finish()

    def _tell_start(self, since_s: float | None) -> None:
        if since_s is not None and not self._is_speaking:
            self._is_speaking = True
            self._socket.send({"type": "speech", "time_s": round(since_s, 3)})

    def _message(self, event: StreamEvent) -> Message:
        if isinstance(event, Said):
            self._num_said += 1
            if self.speaking is not None:
                self.speaking.add(self._num_said, event.segment, self._to)
            return {"type": "said", "id": self._num_said, "segment": plain(event.segment)}
        if isinstance(event, EndPoint):
            return {"type": "end_point", "time_s": event.time_s}
        return {
            "type": "final" if isinstance(event, Final) else "partial",
            "text": event.text,
            "language": event.language,
            "words": [dataclasses.asdict(word) for word in event.words],
        }


def plain(row: Any) -> Mapping[str, Any]:
    """A segment as the transcript's JSON has it, less what is not known.

    >>> from mooer.transcript import Segment
    >>> plain(Segment(0.0, 1.5, "Hello.", "en"))
    {'start_s': 0.0, 'end_s': 1.5, 'text': 'Hello.', 'language': 'en'}
    """
    found = dataclasses.asdict(row)
    return {k: v for k, v in found.items() if v is not None and v is not False and v != ()}


def _begin_of(event: StreamEvent) -> float | None:
    """Where the first word of an utterance begins that is over already."""
    words: tuple[Word, ...] = event.words if isinstance(event, Partial) else ()
    return words[0].start_s if words else None
