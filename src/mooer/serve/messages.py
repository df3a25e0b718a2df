"""Messages of a chat request as turns: texts, and sounds as bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mooer.serve.chats import ChatTurn, ChatWanted
from mooer.serve.errors import wrong
from mooer.serve.fetching import decode_data, fetch_url
from mooer.serve.fields import choice, list_of, number_of, text_of, truth_of
from mooer.serve.settings import Settings
from mooer.tasks.conversation import MARK

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_MAX_MESSAGES = 200
_MAX_PARTS = 32
_MAX_CHARS = 100_000
_MAX_SOUNDS = 32  # each may be half a minute, however few its bytes
_MAX_TOKENS, _USUAL_TOKENS = 4096, 500
_KEPT = 256
# What changes the answer and is not done here; other fields that are not known are passed over.
_REFUSED = ("tools", "functions", "logprobs", "stop", "response_format", "prediction")
FORMATS = ("wav", "mp3", "flac", "opus", "aac", "pcm16")


@dataclass(frozen=True)
class ChatAsked:
    """A request for an answer."""

    model: str
    turns: tuple[ChatTurn, ...]
    wanted: ChatWanted
    streams: bool
    tells_usage: bool
    voice: str = ""  # "": no sound
    format: str = "wav"


class Transcripts:
    """Texts of spoken answers by their ids, for the caller's next turn; the newest alone."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, caller: str, id: str, text: str) -> None:
        """Remember an answer of a caller."""
        with self._lock:
            self._texts[caller, id] = text
            while len(self._texts) > _KEPT:
                self._texts.popitem(last=False)

    def find(self, caller: str, id: str) -> str:
        """The text of an answer. ApiError 400 if it is not there, or another caller's."""
        with self._lock:
            text = self._texts.get((caller, id))
        if text is None:
            raise wrong("messages", "the audio of that id is not known any more: send its text")
        return text


async def read_chat(
    body: Mapping[str, Any], settings: Settings, transcripts: Transcripts, caller: str
) -> ChatAsked:
    """What a body asks for. ApiError 400 names the field that makes no sense."""
    for name in _REFUSED:
        if body.get(name) not in (None, [], False, {"type": "text"}):
            raise wrong(name, f"{name} is not done here: leave it out", "unsupported_parameter")
    if number_of(body, "n", 1, 1, 128) != 1:
        raise wrong("n", "one answer is given at a time: leave n out", "unsupported_parameter")
    messages = list_of(body, "messages", _MAX_MESSAGES)
    if not messages:
        raise wrong("messages", "messages is a list of turns, and it is empty")
    turns = []
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong("messages", f"messages[{i}] must be an object")
        turns.append(await _turn(message, f"messages[{i}]", settings, transcripts, caller))
        if sum(len(turn.audio) for turn in turns) > _MAX_SOUNDS:
            raise wrong("messages", f"messages have more than {_MAX_SOUNDS} sounds", "too_long")
    if sum(len(turn.text) for turn in turns) > _MAX_CHARS:
        raise wrong("messages", f"messages have more than {_MAX_CHARS} characters", "too_long")
    usual = number_of(body, "max_tokens", _USUAL_TOKENS, 1, _MAX_TOKENS)
    most = number_of(body, "max_completion_tokens", usual, 1, _MAX_TOKENS)
    streams = truth_of(body, "stream")
    voice, format = _sound(body, streams)
    options = body.get("stream_options")
    return ChatAsked(
        model=text_of(body, "model"),
        turns=tuple(turns),
        wanted=ChatWanted(int(most), number_of(body, "temperature", 0.0, 0.0, 2.0)),
        streams=streams,
        tells_usage=isinstance(options, dict) and truth_of(options, "include_usage"),
        voice=voice,
        format=format,
    )


def _sound(body: Mapping[str, Any], streams: bool) -> tuple[str, str]:
    """The voice and format of a spoken answer; no voice where none is wanted."""
    modalities = list_of(body, "modalities", 2) or ["text"]
    if not all(one in ("text", "audio") for one in modalities):
        raise wrong("modalities", "modalities are text and audio")
    if "audio" not in modalities:
        return "", "wav"
    audio = body.get("audio")
    if not isinstance(audio, dict):
        raise wrong("audio", 'audio is {"voice": …, "format": …}')
    voice = audio.get("voice")
    if isinstance(voice, dict):
        voice = voice.get("id")
    if not isinstance(voice, str) or not 0 < len(voice) <= 256:
        raise wrong("audio", "audio needs a voice: GET /v1/audio/voices lists them")
    format = choice(audio, "format", "wav", FORMATS)
    if streams and format != "pcm16":
        raise wrong("audio", "a stream has sound as pcm16 alone")
    return voice, format


async def _turn(
    message: Mapping[str, Any],
    where: str,
    settings: Settings,
    transcripts: Transcripts,
    caller: str,
) -> ChatTurn:
    role = _ROLES.get(str(message.get("role")))
    if role is None:
        raise wrong("messages", f"{where}.role is one of {', '.join(_ROLES)}")
    content = message.get("content")
    said = message.get("audio")
    if role == "assistant" and content is None and isinstance(said, dict):
        return ChatTurn(role, transcripts.find(caller, str(said.get("id"))))
    if isinstance(content, str):
        return ChatTurn(role, content)
    if not isinstance(content, list) or not 0 < len(content) <= _MAX_PARTS:
        raise wrong("messages", f"{where}.content is a text, or a list of 1 to {_MAX_PARTS} parts")
    texts: list[str] = []
    sounds: list[bytes] = []
    for part in content:
        if not isinstance(part, dict):
            raise wrong("messages", f"{where}.content has a part that is no object")
        if part.get("type") in ("text", "input_text", "output_text"):
            texts.append(text_of(part, "text"))
        elif role == "user":
            sounds.append(await _heard(part, where, settings))
            texts.append(MARK)
        else:
            raise wrong("messages", f"{where}: {role} has text alone")
    return ChatTurn(role, "".join(texts), tuple(sounds))


async def _heard(part: Mapping[str, Any], where: str, settings: Settings) -> bytes:
    """The sound of a part."""
    kind = part.get("type")
    inner = part.get(str(kind))
    if kind == "input_audio" and isinstance(inner, dict):
        data = text_of(inner, "data")
        if not data:
            raise wrong("messages", f"{where}.input_audio.data is the sound in base64: it is empty")
        return decode_data(data, settings.limits.max_body_bytes, "messages")
    if kind == "audio_url" and isinstance(inner, dict):
        url = text_of(inner, "url")
        if url.startswith("data:"):
            return decode_data(url, settings.limits.max_body_bytes, "messages")
        with await fetch_url(url, settings) as file:
            return file.read(settings.limits.max_body_bytes)
    raise wrong("messages", f"{where} has a part that is neither text nor input_audio")
