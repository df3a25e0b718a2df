"""What a caller's events do to the session of an agent, step by step, in a thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from mooer.agent.events import Event
from mooer.agent.options import AgentOptions
from mooer.audio.pcm import Floats
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import MooerError
from mooer.serve.conversation_events import ConversationEvents
from mooer.serve.conversation_items import ConversationItems
from mooer.serve.conversation_session import ConversationSession, read_modality
from mooer.serve.errors import ApiError, wrong
from mooer.serve.fields import number_of, object_at, refuse_unknown, text_of
from mooer.serve.item_deeds import ItemDeeds
from mooer.serve.realtime_items import new_id
from mooer.serve.sockets import Message
from mooer.serve.sound import Decoder, make_decoder

_LEAST_COMMIT_S = 0.1
_MAX_HELD_S = 600.0  # of sound that waits for the caller's commit
_IN_SESSION = ("tools", "tool_choice", "max_output_tokens", "input", "audio", "prompt")


@dataclass(frozen=True)
class Asked:
    """An event of the caller."""

    message: Message


@dataclass(frozen=True)
class Wrong:
    """An event that makes no sense, and why."""

    error: ApiError | MooerError
    asked: Message


Outcome = Message | Wrong


class Talk(Protocol):
    """A session of an agent, by the options of a caller."""

    session: Any  # mooer.agent.session.Session
    greeting: str  # what the agent says first; "" if it waits

    def options_of(self, wanted: ConversationSession) -> AgentOptions:
        """What the session is to be. ConfigError for what it cannot."""
        ...


class Deeds:
    """One conversation, from one thread at a time; what comes of a step is a list of messages."""

    def __init__(
        self,
        model: str,
        session_id: str,
        expires_at: int,
        *,
        find: Callable[[str], str],
    ) -> None:
        self.active_at = time.monotonic()  # when somebody last said or did something
        self.heard_s = 0.0
        self._id, self._expires_at = session_id, expires_at
        self._find = find
        self._out: list[Outcome] = []
        self._wanted = ConversationSession(model=model)
        self._items = ConversationItems(self._send)
        self._events = ConversationEvents(self._send, self._items, self._wanted)
        self._own = ItemDeeds(self._send, self._items, self._events, self._tell, self._instruct)
        self._talk: Talk | None = None
        self._decoder: Decoder = self._new_decoder()
        self._held: list[Floats] = []  # of a turn that the caller will commit
        self._turn_s = 0.0  # of sound since the last commit
        self._system: list[str] = []  # instructions that came as items
        self._answer_later: Message | None = None  # asked for before its turn was heard
        self._changed_until: int | None = None  # answers; options hold for one of them alone

    # --- what the one who drives it asks

    @property
    def models(self) -> tuple[str, str | None]:
        """The agent, and what hears for it."""
        return self._wanted.model, self._wanted.transcriber or None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is made or played, or a turn is being heard."""
        events = self._events
        return events.current is not None or events.is_playing or self._answer_later is not None

    def needs_agent(self, one: bytes | Asked) -> bool:
        """Whether it can be done by an agent alone, as all but settings that name no voice."""
        if isinstance(one, bytes):
            return True
        session = one.message.get("session")
        return one.message["type"] != "session.update" or "voice" in str(session)

    def begin(self) -> list[Outcome]:
        """The first event."""
        self._send("session.created", session=self._described())
        return self._taken()

    def open(self, talk: Talk) -> list[Outcome]:
        """The agent is there."""
        self._talk = talk
        talk.session.change(talk.options_of(self._wanted))
        if talk.greeting:
            self._tell(talk.session.speak(talk.greeting))
        return self._taken()

    def do(self, taken: Sequence[bytes | Asked]) -> list[Outcome]:
        """Sound and events in their order, or what has come of them meanwhile."""
        for one in taken:
            if isinstance(one, bytes):
                self._hear(one)
            else:
                self.active_at = time.monotonic()
                try:
                    self._do(one.message)
                except (ApiError, MooerError) as error:
                    self._out.append(Wrong(error, one.message))
        if self._talk is not None:
            session = self._talk.session
            if not any(isinstance(one, bytes) for one in taken):
                self._tell(session.poll())
            for answer, played in self._events.advance():
                self._tell(session.played(answer, played))
        return self._taken()

    # --- sound

    def _hear(self, data: bytes) -> None:
        samples = self._decoder.push(data)
        if not len(samples):
            return
        self.heard_s += len(samples) / SAMPLE_RATE_HZ
        self._turn_s += len(samples) / SAMPLE_RATE_HZ
        if self._wanted.turns is not None:
            self._tell(self._agent.session.push(samples))
            return
        self._held.append(samples)
        if self._turn_s > _MAX_HELD_S:
            self._held, self._turn_s = [], 0.0
            raise ApiError(
                413,
                f"more than {_MAX_HELD_S:.0f} s of sound wait for a commit: commit sooner",
                code="input_audio_buffer_too_long",
            )

    def _commit(self) -> None:
        if self._turn_s < _LEAST_COMMIT_S:
            raise wrong(
                None,
                f"{1000 * self._turn_s:.0f} ms of sound to be committed: append 100 ms at least",
                code="input_audio_buffer_commit_empty",
            )
        session = self._agent.session
        turn_s, self._turn_s = self._turn_s, 0.0
        if self._held:
            samples, self._held = np.concatenate(self._held), []
            self._events.commit(self.heard_s - turn_s, self.heard_s)
            self._tell(session.push(samples))
        self._tell(session.commit())

    def _clear(self) -> None:
        self._held, self._turn_s = [], 0.0
        self._events.forget_turn()
        self._tell(self._agent.session.clear())
        self._send("input_audio_buffer.cleared")

    # --- events

    @property
    def _agent(self) -> Talk:
        assert self._talk is not None, "what needs an agent waits for one"
        return self._talk

    def _do(self, asked: Message) -> None:
        kind = asked["type"]
        deeds: dict[str, Callable[[Message], None]] = {
            "session.update": self._update,
            "input_audio_buffer.commit": lambda _: self._commit(),
            "input_audio_buffer.clear": lambda _: self._clear(),
            "conversation.item.create": lambda one: self._own.create(one, self._agent.session),
            "conversation.item.retrieve": self._own.retrieve,
            "conversation.item.delete": lambda one: self._own.delete(one, self._agent.session),
            "conversation.item.truncate": self._truncate,
            "response.create": self._respond,
            "response.cancel": self._cancel,
            "mooer.played": self._played,
        }
        if kind not in deeds:
            raise wrong(
                "type", f"{kind[:60]!r} is not done in a conversation", code="unsupported_event"
            )
        deeds[kind](asked)

    def _update(self, asked: Message) -> None:
        session = object_at(asked.get("session"), "session")
        kind = session.get("type", "realtime")
        if kind != "realtime":
            raise wrong(
                "session.type",
                "the conversation has begun: connect again for a session that transcribes",
            )
        named = session.get("model")
        wanted = self._wanted.changed(session)
        if named not in (None, wanted.model) and not str(named).startswith("gpt-"):
            raise wrong("session.model", "the agent is chosen by ?model= of the address")
        if wanted.transcriber:
            self._find(wanted.transcriber)
        if self._talk is not None:
            self._talk.session.change(self._options_of(wanted))
        has_new_sound = wanted.input != self._wanted.input
        self._wanted = self._events.session = wanted
        if has_new_sound:
            self._decoder = self._new_decoder()
        self._send("session.updated", session=self._described())

    def _instruct(self, text: str) -> None:
        self._system.append(text)
        self._agent.session.change(self._options_of(self._wanted))

    def _truncate(self, asked: Message) -> None:
        item_id = self._items.find(asked.get("item_id"))["id"]
        response = self._events.response_of(item_id)
        if response is None or not response.has_sound:
            raise wrong("item_id", "what is truncated is the sound of an answer")
        end_ms = number_of(asked, "audio_end_ms", 0.0, 0.0, 1e8)
        samples = response.samples_of(end_ms)
        self._events.playhead_of(response).stop()
        told = self._events.num_truncated
        self._tell(self._agent.session.truncate(response.answer, samples))
        if self._events.num_truncated == told:
            self._events.tell_truncated(response, samples)

    def _respond(self, asked: Message) -> None:
        given = object_at(asked.get("response") or {}, "response")
        for name in _IN_SESSION:
            if given.get(name) is not None:
                raise wrong(f"response.{name}", f"{name} is set by session.update, for all answers")
        known = ("instructions", "output_modalities", "modalities", "metadata", "conversation")
        refuse_unknown(given, (*known, *_IN_SESSION), "response")
        if given.get("conversation") not in (None, "auto"):
            raise wrong("response.conversation", "an answer is part of the conversation here: auto")
        if self._events.current is not None:
            raise wrong(
                None,
                "an answer is under way: wait for response.done, or send response.cancel",
                code="conversation_already_has_active_response",
            )
        metadata = object_at(given.get("metadata") or {}, "response.metadata")
        if len(str(metadata)) > 16 * 600:
            raise wrong("response.metadata", "metadata are up to 16 short texts by their names")
        if self._events.is_hearing:
            self._answer_later = given
        else:
            self._answer(given)

    def _answer(self, given: Mapping[str, Any]) -> None:
        events, session = self._events, self._agent.session
        events.metadata = given.get("metadata") or None
        modalities = given.get("output_modalities", given.get("modalities"))
        if modalities is not None:
            events.modality = read_modality(modalities, "response.output_modalities")
            options = self._options_of(self._wanted)
            session.change(replace(options, speaks=events.modality == "audio"))
            self._changed_until = events.num_ended + 1
        self._tell(session.respond(text_of(given, "instructions")))

    def _cancel(self, asked: Message) -> None:
        response = self._events.current
        named = asked.get("response_id")
        if response is None or named not in (None, response.id):
            raise wrong(
                "response_id", "no such answer is under way", code="response_cancel_not_active"
            )
        self._events.cancelled = "client_cancelled"
        self._tell(self._agent.session.interrupt())

    def _played(self, asked: Message) -> None:
        """The caller's report; of what was deleted meanwhile it says nothing."""
        ms = number_of(asked, "audio_ms", 0.0, 0.0, 1e8)
        response = self._events.response_of(text_of(asked, "item_id"))
        if response is None:
            return
        head = self._events.playhead_of(response)
        played = head.report(response.samples_of(ms))
        self._tell(self._agent.session.played(response.answer, played))

    # --- what comes of it

    def _tell(self, events: Sequence[Event]) -> None:
        if not events:
            return
        self.active_at = time.monotonic()
        self._events.tell(events)
        self._own.find_turns(events, self._agent.session)
        later = self._answer_later
        if later is not None and not self._events.is_hearing:
            self._answer_later = None
            self._answer(later)
        if self._changed_until is not None and self._events.num_ended >= self._changed_until:
            self._changed_until = None
            self._agent.session.change(self._options_of(self._wanted))

    def _options_of(self, wanted: ConversationSession) -> AgentOptions:
        return self._agent.options_of(wanted.instructed(self._system))

    def _new_decoder(self) -> Decoder:
        return make_decoder(self._wanted.input.encoding, self._wanted.input.rate_hz, 1)

    def _described(self) -> Message:
        return self._wanted.describe(self._id, self._expires_at)

    def _send(self, kind: str, **fields: Any) -> None:
        self._out.append({"type": kind, "event_id": new_id("event"), **fields})

    def _taken(self) -> list[Outcome]:
        out, self._out = self._out, []
        return out
