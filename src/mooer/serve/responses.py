"""An answer as a response of OpenAI's realtime API: its events, in their order.

The first piece of text or sound opens a message item, a function call an item of its own; `end`
closes what is open. Nothing is sent of a response that has ended, but what is played of it again.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from mooer.agent.events import AnswerSound, ToolCalled
from mooer.serve.conversation_items import ConversationItems
from mooer.serve.conversation_session import ConversationSession
from mooer.serve.realtime_items import Send, new_id
from mooer.serve.realtime_sound import SoundEncoder

_NO_TOKENS = {  # they are not counted: the models here are the caller's own
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 0, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 0, "audio_tokens": 0},
}


class Response:
    """One answer on its way to the caller."""

    def __init__(
        self,
        send: Send,
        items: ConversationItems,
        session: ConversationSession,
        answer: int,
        metadata: Mapping[str, str] | None,
    ) -> None:
        self.id = new_id("resp")
        self.answer = answer
        self.item_id = ""  # of the message; "" until it says something
        self.has_sound = session.modality == "audio"
        self.is_over = False
        self.sent_samples = 0  # of the answer, at its own rate
        self.rate_hz = 0
        self._send_event = send
        self._items = items
        self._session = session
        self._metadata = metadata
        self._text = ""
        self._output: list[dict[str, Any]] = []  # items that are done
        self._is_open = False  # whether the message is
        self._encoder: SoundEncoder | None = None
        send("response.created", response=self._described("in_progress"))

    def ms_of(self, samples: int) -> float:
        """So many samples of its rate in milliseconds."""
        return 1000 * samples / self.rate_hz if self.rate_hz else 0.0

    def samples_of(self, ms: float) -> int:
        """So many milliseconds in samples of its rate, what was sent at most."""
        return min(self.sent_samples, round(ms * self.rate_hz / 1000))

    def say(self, text: str) -> None:
        """A further piece of its text."""
        if self.is_over or not text:
            return
        self._open()
        self._text += text
        kind = "output_audio_transcript" if self.has_sound else "output_text"
        self._part(f"{kind}.delta", delta=text)

    def sound(self, event: AnswerSound) -> None:
        """A further piece of its sound, or one that is played again after a false interruption."""
        self.rate_hz = event.rate_hz
        if event.start_sample != self.sent_samples or self._encoder is None:
            self._encoder = SoundEncoder(self._session.output, event.rate_hz)
        self.sent_samples = event.start_sample + len(event.samples)
        if not self.has_sound:
            return
        if not self.is_over:
            self._open()
        for data in self._encoder.push(event.samples):
            self._part("output_audio.delta", delta=base64.b64encode(data).decode("ascii"))

    def call(self, event: ToolCalled) -> None:
        """A function that the caller is to run."""
        if self.is_over:
            return
        self._close("completed")
        place = {"response_id": self.id, "output_index": len(self._output)}
        item = {
            "id": new_id("item"),
            "object": "realtime.item",
            "type": "function_call",
            "status": "in_progress",
            "call_id": event.call,
            "name": event.name,
            "arguments": "",
        }
        self._send_event("response.output_item.added", item=item, **place)
        self._items.add(item)
        place_in = place | {"item_id": item["id"], "call_id": event.call}
        name = "response.function_call_arguments"
        self._send_event(f"{name}.delta", delta=event.arguments, **place_in)
        self._send_event(f"{name}.done", arguments=event.arguments, name=event.name, **place_in)
        item = item | {"status": "completed", "arguments": event.arguments}
        self._send_event("response.output_item.done", item=item, **place)
        self._items.finish(item)
        self._output.append(item)

    def end(self, status: str, reason: str = "", error: Mapping[str, Any] | None = None) -> None:
        """It is over: completed, cancelled for a reason, or failed with an error."""
        if self.is_over:
            return
        if self._encoder is not None and self.has_sound and status == "completed":
            for data in self._encoder.flush():
                self._part("output_audio.delta", delta=base64.b64encode(data).decode("ascii"))
            self._encoder = None
        self._close("completed" if status == "completed" else "incomplete")
        self.is_over = True
        details: dict[str, Any] | None = None
        if status != "completed":
            details = {"type": status}
            details |= {"reason": reason} if reason else {}
            details |= {"error": dict(error)} if error else {}
        described = self._described(status) | {"status_details": details, "usage": _NO_TOKENS}
        self._send_event("response.done", response=described)

    def _open(self) -> None:
        """The message item, and its only part."""
        if self._is_open:
            return
        self._is_open = True
        self.item_id = new_id("item")
        item = self._message("in_progress") | {"content": []}
        place = {"response_id": self.id, "output_index": len(self._output)}
        self._send_event("response.output_item.added", item=item, **place)
        self._items.add(item)
        self._part("content_part.added", part=self._content(""))

    def _close(self, status: str) -> None:
        if not self._is_open:
            return
        if self.has_sound:
            self._part("output_audio.done")
            self._part("output_audio_transcript.done", transcript=self._text)
        else:
            self._part("output_text.done", text=self._text)
        self._part("content_part.done", part=self._content(self._text))
        item = self._message(status)
        place = {"response_id": self.id, "output_index": len(self._output)}
        self._send_event("response.output_item.done", item=item, **place)
        self._items.finish(item)
        self._output.append(item)
        self._is_open = False

    def _part(self, kind: str, **fields: Any) -> None:
        index = len(self._output) if self._is_open else 0
        self._send_event(
            f"response.{kind}",
            response_id=self.id,
            item_id=self.item_id,
            output_index=index,
            content_index=0,
            **fields,
        )

    def _content(self, text: str) -> dict[str, Any]:
        """The part as `content_part` events have it."""
        if self.has_sound:
            return {"type": "audio", "transcript": text}
        return {"type": "text", "text": text}

    def _message(self, status: str) -> dict[str, Any]:
        content = {"type": "output_text", "text": self._text}
        if self.has_sound:
            content = {"type": "output_audio", "transcript": self._text}
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [content],
        }

    def _described(self, status: str) -> dict[str, Any]:
        session = self._session
        output = {"format": session.output.describe(), "voice": session.voice}
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": None,
            "output": list(self._output),
            "conversation_id": self._items.conversation_id,
            "output_modalities": ["audio" if self.has_sound else "text"],
            "audio": {"output": output},
            "max_output_tokens": session.max_tokens or "inf",
            "metadata": dict(self._metadata) if self._metadata else None,
            "usage": None,
        }
