"""What was heard as items of a conversation: the events of OpenAI's realtime API in their order."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import Any, Protocol

from mooer.infer.stream import EndPoint, Final, Partial, Said, StreamEvent
from mooer.serve.live import Mark, News
from mooer.text import join_text
from mooer.transcript import Word

_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class Send(Protocol):
    """Sends an event."""

    def __call__(self, kind: str, **fields: Any) -> None:
        """Its type, and its other fields."""
        ...


def new_id(kind: str) -> str:
    """An id as OpenAI's look."""
    return f"{kind}_{secrets.token_hex(12)}"


class Items:
    """Items one after the other; times are of all sound that was appended.

    With turns an item is an utterance. Without, it is what lies between two commits.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._origin_s = 0.0  # of the session that hears
        self._has_turns = True
        self._logprobs = False
        self._last_id: str | None = None
        self._is_begun = False  # whether somebody speaks in the item
        self._is_told = False  # whether a word of it was sent
        self._forget(0.0)

    def open(self, *, has_turns: bool, logprobs: bool) -> None:
        """Another session hears from here on."""
        self._has_turns = has_turns
        self._logprobs = logprobs
        self._forget(0.0)

    def close(self, time_s: float) -> None:
        """That session has ended, after so much sound."""
        self._origin_s += time_s

    def tell(self, news: News) -> None:
        """What came of a piece of sound."""
        if news.after is Mark.CLEAR:
            self._forget(news.time_s)
            self._send("input_audio_buffer.cleared")
            return
        was_committed = False
        if self._has_turns and news.begun_s is not None:
            self._begin(news.begun_s)
        for event in news.events:
            self._tell(event)
            if isinstance(event, EndPoint) and self._has_turns:
                self._commit(event.time_s)
                was_committed = True
        if self._has_turns and news.speaking_since_s is not None:
            self._begin(news.speaking_since_s)
        is_left = news.after is Mark.END and bool(self._texts)
        if (news.after is Mark.FLUSH or is_left) and not was_committed:
            self._commit(news.time_s)

    def _tell(self, event: StreamEvent) -> None:
        if isinstance(event, Partial) and event.words:
            self._begin(event.words[0].start_s)
        if isinstance(event, Final):
            self._delta(event.words)
        elif isinstance(event, Said):
            self._texts.append(event.segment.text)

    def _begin(self, start_s: float) -> None:
        """The item's first sound, if it is that."""
        if self._is_begun:
            return
        self._is_begun = True
        if self._has_turns:
            self._start_s = start_s
            self._send(
                "input_audio_buffer.speech_started",
                item_id=self._id,
                audio_start_ms=self._ms(start_s),
            )

    def _delta(self, words: Sequence[Word]) -> None:
        text = "".join(word.text for word in words)
        if not self._is_told:
            text = text.lstrip()
        if not text:
            return
        self._is_told = True
        more: dict[str, Any] = {"logprobs": _logprobs(words)} if self._logprobs else {}
        self._send(f"{_TRANSCRIPTION}.delta", item_id=self._id, content_index=0, delta=text, **more)

    def _commit(self, end_s: float) -> None:
        """The item is whole: its turn is over, or the caller says so."""
        item_id, before = self._id, self._last_id
        if self._has_turns and self._is_begun:
            self._send(
                "input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=self._ms(end_s)
            )
        self._send("input_audio_buffer.committed", item_id=item_id, previous_item_id=before)
        text = join_text(self._texts)
        for kind in ("added", "done"):
            content = {"type": "input_audio", "transcript": None if kind == "added" else text}
            item = {
                "id": item_id,
                "object": "realtime.item",
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [content],
            }
            self._send(f"conversation.item.{kind}", item=item, previous_item_id=before)
        seconds = max(0.0, end_s - self._start_s)
        self._send(
            f"{_TRANSCRIPTION}.completed",
            item_id=item_id,
            content_index=0,
            transcript=text,
            usage={"type": "duration", "seconds": round(seconds, 3)},
        )
        self._last_id = item_id
        self._forget(end_s)

    def _forget(self, from_s: float) -> None:
        """Begin another item."""
        self._id = new_id("item")
        self._texts: list[str] = []
        self._start_s = from_s
        self._is_begun = self._is_told = False

    def _ms(self, time_s: float) -> int:
        return round(1000 * (self._origin_s + time_s))


def _logprobs(words: Sequence[Word]) -> list[dict[str, Any]]:
    """Of words, since several tokens may make one."""
    return [
        {
            "token": word.text,
            "logprob": round(math.log(max(word.probability, 1e-9)), 4),
            "bytes": list(word.text.encode()),
        }
        for word in words
    ]
