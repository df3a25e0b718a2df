"""Events of OpenAI's realtime API on a socket: how they are read, and how errors are told."""

from __future__ import annotations

import base64
import binascii
from functools import partial
from typing import Any

from mooer.serve.errors import ApiError, wrong
from mooer.serve.realtime_items import new_id
from mooer.serve.sockets import Message, Socket, read_message

IDLE_S = 600.0  # between what a caller says, who may wait for a button to be pressed


class SwitchedError(Exception):
    """The caller wants the other kind of session, by the event that is given."""

    def __init__(self, asked: Message) -> None:
        super().__init__(asked["type"])
        self.asked = asked


def shape(error: ApiError, asked: Message) -> Message:
    """An error as an event, which names the event that it is about."""
    named = asked.get("event_id")
    about = {"event_id": named[:512] if isinstance(named, str) else None}
    return {"type": "error", "event_id": new_id("event"), "error": error.body()["error"] | about}


def ending() -> ApiError:
    """What is told when the server ends."""
    return ApiError(503, "the server is about to end: connect again", code="draining")


def read_event(frame: str | bytes) -> Message:
    """A frame as an event. ApiError 400 for what is none."""
    if isinstance(frame, bytes):
        raise wrong("type", "a binary frame: events here are JSON, sound is base64")
    return read_message(frame)


def sound_of(audio: Any) -> bytes:
    """The bytes of an `input_audio_buffer.append`. ApiError 400 if they are none."""
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise wrong("audio", "audio must be sound in base64", code="invalid_audio") from None


def tell_wrong(socket: Socket, error: ApiError, asked: Message) -> None:
    """Tell of an event that makes no sense. The error itself is raised once there are many."""
    socket.shape = partial(shape, asked=asked)
    socket.wrong(error)
    socket.shape = partial(shape, asked={})
