"""What happens in a conversation as events of OpenAI's realtime API, and as our own.

A caller that knows OpenAI's API alone stops its sound when it hears `speech_started`. So while an
answer is played that is told only once the sound is to stop: a "mm-hm" of the user stops nothing.
A turn that the user takes up again is deleted with its answer, and becomes another item.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import singledispatchmethod
from typing import Any

from mooer.agent import events as agent
from mooer.serve.conversation_items import ConversationItems
from mooer.serve.conversation_session import ConversationSession
from mooer.serve.playhead import Playhead
from mooer.serve.realtime_items import Send, new_id
from mooer.serve.responses import Response

_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_MAX_RESPONSES = 100  # whose sound may still be truncated
_STAGES_OF_ANSWER = ("think", "speak", "search", "tool")


class UserTurn:
    """What a user says, from its first sound until it is an item."""

    def __init__(self, start_s: float) -> None:
        self.item_id = new_id("item")
        self.start_s = start_s
        self.end_s: float | None = None
        self.is_told = False  # whether its speech_started was
        self.is_item = False  # whether it was committed


class ConversationEvents:
    """Tells a caller what its session's events mean; `session` is what the caller wants."""

    def __init__(
        self,
        send: Send,
        items: ConversationItems,
        session: ConversationSession,
        make_playhead: Callable[..., Playhead] = Playhead,
    ) -> None:
        self.session = session
        self.metadata: Mapping[str, str] | None = None  # of the response that was asked for
        self.modality: str | None = None  # and what it is to be
        self.cancelled: str = ""  # why the answer under way is broken off
        self.num_ended = 0  # answers
        self.num_truncated = 0  # of them, as the caller was told
        self._send = send
        self._items = items
        self._make_playhead = make_playhead
        self._turn: UserTurn | None = None
        self._turns: dict[int, str] = {}  # numbers of turns -> ids of items
        self._committed: list[UserTurn] = []  # by the caller, and not heard yet
        self._responses: dict[int, Response] = {}
        self._playheads: dict[int, Playhead] = {}
        self._error: Mapping[str, Any] | None = None  # of the answer under way

    @property
    def current(self) -> Response | None:
        """The response that is being written."""
        last = next(reversed(self._responses.values()), None)
        return None if last is None or last.is_over else last

    @property
    def is_hearing(self) -> bool:
        """Whether the text of a turn that the caller committed is awaited."""
        return bool(self._committed)

    @property
    def is_playing(self) -> bool:
        """Whether an answer can be heard."""
        return any(head.is_playing for head in self._playheads.values())

    def response_of(self, item_id: str) -> Response | None:
        """The answer that an item is of."""
        found = (one for one in self._responses.values() if one.item_id == item_id and item_id)
        return next(found, None)

    def item_of(self, turn: int) -> str | None:
        """The item that a turn of the user is."""
        return self._turns.get(turn)

    def playhead_of(self, response: Response) -> Playhead:
        """How far an answer has been played."""
        return self._playheads[response.answer]

    def advance(self) -> list[tuple[int, int]]:
        """Answers and samples of them, as far as those have been played by the clock."""
        found = [(answer, head.advance()) for answer, head in self._playheads.items()]
        return [(answer, played) for answer, played in found if played is not None]

    def tell(self, events: Sequence[agent.Event]) -> None:
        """Tell what happened."""
        for event in events:
            self._tell(event)

    def commit(self, start_s: float, end_s: float) -> None:
        """The caller ends its turn itself: an item at once, its text when it has been heard."""
        turn = UserTurn(start_s)
        turn.end_s = end_s
        self._commit(turn)
        self._committed.append(turn)

    def tell_truncated(self, response: Response, samples: int) -> None:
        """Only so many samples of an answer were heard."""
        if response.item_id in self._items:
            self.num_truncated += 1
            self._send(
                "conversation.item.truncated",
                item_id=response.item_id,
                content_index=0,
                audio_end_ms=math.floor(response.ms_of(samples)),
            )

    def forget_turn(self) -> None:
        """What the user says is of no interest."""
        self._turn = None

    @singledispatchmethod
    def _tell(self, event: Any) -> None:
        """What nobody needs to know."""

    # --- the user

    @_tell.register
    def _(self, event: agent.UserStarted) -> None:
        if self._turn is None:  # else the user goes on after a pause, and it is one turn
            self._turn = UserTurn(event.time_s)
        if not self.is_playing:
            self._tell_started()

    @_tell.register
    def _(self, event: agent.UserText) -> None:
        if self._turn is not None:
            self._own("partial", item_id=self._turn.item_id, text=event.text)

    @_tell.register
    def _(self, event: agent.UserStopped) -> None:
        if self._turn is not None:
            self._turn.end_s = event.time_s

    @_tell.register
    def _(self, event: agent.TurnEnded) -> None:
        if self._committed:
            turn = self._committed.pop(0)
        else:
            turn = self._turn or UserTurn(event.time_s)
            self._tell_started(turn)
            end_s = event.time_s if turn.end_s is None else turn.end_s
            self._send(
                "input_audio_buffer.speech_stopped",
                item_id=turn.item_id,
                audio_end_ms=_ms(end_s),
            )
            self._commit(turn)
        self._turn = None
        self._turns[event.turn] = turn.item_id
        for old in [*self._turns][:-_MAX_RESPONSES]:
            del self._turns[old]
        self._items.keep(self._user_item(turn.item_id, event.text))
        if self.session.transcriber:
            end_s = event.time_s if turn.end_s is None else turn.end_s
            self._tell_heard(turn.item_id, event.text, end_s - turn.start_s)

    @_tell.register
    def _(self, event: agent.TurnReopened) -> None:
        self._break_off("turn_detected")
        void = self._turns.pop(event.turn, None)
        if void is not None and void in self._items:
            self._items.delete(void)
        if self._turn is None:
            self._turn = UserTurn(event.time_s)
            self._tell_started()

    @_tell.register
    def _(self, event: agent.BackChannel) -> None:
        turn, self._turn = self._turn or UserTurn(event.time_s), None
        self._own("back_channel", item_id=turn.item_id, text=event.text)

    # --- the answer

    @_tell.register
    def _(self, event: agent.AnswerStarted) -> None:
        if self.current is not None:
            self._break_off("turn_detected")
        session = self.session
        response = Response(self._send, self._items, session, event.answer, self.metadata)
        response.has_sound = (self.modality or session.modality) == "audio"
        self._responses[event.answer] = response
        self._playheads[event.answer] = self._make_playhead(reports=session.extension.plays)
        self.metadata = self.modality = self._error = None
        self.cancelled = ""
        for old in [*self._responses][:-_MAX_RESPONSES]:
            del self._responses[old], self._playheads[old]

    @_tell.register
    def _(self, event: agent.AnswerText) -> None:
        if response := self._responses.get(event.answer):
            response.say(event.text)

    @_tell.register
    def _(self, event: agent.AnswerSound) -> None:
        if response := self._responses.get(event.answer):
            response.sound(event)
            head = self._playheads[event.answer]
            head.send(event.start_sample, len(event.samples), event.rate_hz)

    @_tell.register
    def _(self, event: agent.ToolCalled) -> None:
        response = self._responses.get(event.answer)
        if response is not None and not event.is_ours:
            response.call(event)

    @_tell.register
    def _(self, event: agent.AnswerEnded) -> None:
        response = self._responses.get(event.answer)
        if response is None:
            return
        self.num_ended += 1
        if event.is_whole:
            response.end("completed")
        elif self._error is not None:
            response.end("failed", error=self._error)
        else:
            response.end("cancelled", self.cancelled or "turn_detected")

    @_tell.register
    def _(self, event: agent.Flush) -> None:
        if head := self._playheads.get(event.answer):
            head.stop()
        if self._turn is not None:
            self._tell_started()
        self._about("flush", event.answer)

    @_tell.register
    def _(self, event: agent.Resumed) -> None:
        if response := self._responses.get(event.answer):
            self._turn = None
            ms = response.ms_of(event.start_sample)
            self._about("resumed", event.answer, audio_ms=round(ms, 3))

    @_tell.register
    def _(self, event: agent.Remembered) -> None:
        response = self._responses.get(event.answer)
        if response is None or not response.item_id:
            return
        ms = response.ms_of(event.played_samples)
        if not event.is_whole:
            self._keep_heard(response, event.text)
            self.tell_truncated(response, event.played_samples)
        more = {"audio_ms": round(ms, 3), "text": event.text, "is_whole": event.is_whole}
        self._about("remembered", event.answer, **more)

    # --- beside it

    @_tell.register
    def _(self, event: agent.Sourced) -> None:
        found = [{"name": one.name, "text": one.text, "score": one.score} for one in event.sources]
        self._about("sources", event.answer, sources=found)

    @_tell.register
    def _(self, event: agent.Waterfall) -> None:
        moments = {name: round(time_s, 4) for name, time_s in event.moments.items()}
        self._about("waterfall", event.answer, moments=moments)

    @_tell.register
    def _(self, event: agent.Failed) -> None:
        error = {
            "type": "server_error",
            "code": f"{event.stage}_failed",
            "message": event.message,
            "param": None,
        }
        if event.stage == "hear" and self._committed:
            turn = self._committed.pop(0)
            self._send(
                f"{_TRANSCRIPTION}.failed", item_id=turn.item_id, content_index=0, error=error
            )
            return
        if event.stage in ("think", "speak") and self.current is not None:
            self._error = error
        self._send("error", error=error | {"event_id": None})

    # --- how it is told

    def _tell_started(self, turn: UserTurn | None = None) -> None:
        turn = turn or self._turn
        if turn is None or turn.is_told:
            return
        turn.is_told = True
        self._send(
            "input_audio_buffer.speech_started",
            item_id=turn.item_id,
            audio_start_ms=_ms(turn.start_s),
        )

    def _commit(self, turn: UserTurn) -> None:
        turn.is_item = True
        before = self._items.last_id
        self._send("input_audio_buffer.committed", item_id=turn.item_id, previous_item_id=before)
        item = self._user_item(turn.item_id, None)
        self._items.add(item)
        self._items.finish(item)

    @staticmethod
    def _user_item(item_id: str, text: str | None) -> dict[str, Any]:
        return {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": text}],
        }

    def _tell_heard(self, item_id: str, text: str, seconds: float) -> None:
        place = {"item_id": item_id, "content_index": 0}
        if text:
            self._send(f"{_TRANSCRIPTION}.delta", delta=text, **place)
        usage = {"type": "duration", "seconds": round(max(0.0, seconds), 3)}
        self._send(f"{_TRANSCRIPTION}.completed", transcript=text, usage=usage, **place)

    def _break_off(self, reason: str) -> None:
        response = self.current
        if response is None:
            return
        self._playheads[response.answer].stop()
        response.end("cancelled", reason)
        if response.item_id and response.item_id in self._items:
            self._items.delete(response.item_id)

    def _keep_heard(self, response: Response, text: str) -> None:
        """Of an answer that was broken off only what was heard is an item."""
        if response.item_id in self._items:
            kind, place = "output_text", "text"
            if response.has_sound:
                kind, place = "output_audio", "transcript"
            item = self._items.find(response.item_id)
            content = [{"type": kind, place: text}]
            self._items.keep(item | {"status": "incomplete", "content": content})

    def _about(self, kind: str, answer: int, **fields: Any) -> None:
        if response := self._responses.get(answer):
            self._own(kind, response_id=response.id, item_id=response.item_id, **fields)

    def _own(self, kind: str, **fields: Any) -> None:
        """An event of ours, if the caller asked for it."""
        if kind in self.session.extension.events:
            self._send(f"mooer.{kind}", **fields)


def _ms(time_s: float) -> int:
    return max(0, round(1000 * time_s))
