"""Items that a caller makes, asks for and deletes, and the turns in the agent's memory they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mooer.agent.events import Event, TurnEnded
from mooer.agent.mind import Turn
from mooer.serve.conversation_events import ConversationEvents
from mooer.serve.conversation_items import MAX_ITEMS, ConversationItems
from mooer.serve.conversation_session import MAX_TEXT
from mooer.serve.errors import wrong
from mooer.serve.fields import list_of, object_at, text_of
from mooer.serve.realtime_items import Send, new_id
from mooer.serve.sockets import Message

_TEXTS = ("input_text", "output_text", "text")


class ItemDeeds:
    """`tell` tells what happened to the agent's session; `instruct` adds to its instructions."""

    def __init__(
        self,
        send: Send,
        items: ConversationItems,
        events: ConversationEvents,
        tell: Callable[[Sequence[Event]], None],
        instruct: Callable[[str], None],
    ) -> None:
        self._send = send
        self._items = items
        self._events = events
        self._tell = tell
        self._instruct = instruct
        self._turns: dict[str, Turn] = {}  # by their items

    def create(self, asked: Message, session: Any) -> None:
        """A message, or the result of a function. ApiError 400 for another."""
        item = object_at(asked.get("item"), "item")
        kind = text_of(item, "type")
        item_id = text_of(item, "id") or new_id("item")
        if item_id in self._items or len(item_id) > 64:
            raise wrong("item.id", "an item's id is new, and has at most 64 letters")
        known: Message = {
            "id": item_id,
            "object": "realtime.item",
            "type": kind,
            "status": "completed",
        }
        if kind == "function_call_output":
            call, output = text_of(item, "call_id"), text_of(item, "output")
            self._tell(session.tool_result(call, output))
            known |= {"call_id": call, "output": output}
        elif kind == "message":
            role, text = _read_message(item)
            if role == "system":
                self._instruct(text)
            else:
                self._turns[item_id] = Turn("user" if role == "user" else "assistant", text)
                session.remember(self._turns[item_id])
            part = "output_text" if role == "assistant" else "input_text"
            known |= {"role": role, "content": [{"type": part, "text": text}]}
        else:
            raise wrong("item.type", "items that can be made are message and function_call_output")
        self._items.add(known)
        self._items.finish(known)

    def retrieve(self, asked: Message) -> None:
        """What is known of an item."""
        item = self._items.find(asked.get("item_id"))
        self._send("conversation.item.retrieved", item=item)

    def delete(self, asked: Message, session: Any) -> None:
        """Neither an item nor remembered any more; an answer counts as not heard."""
        item_id = self._items.find(asked.get("item_id"))["id"]
        self._items.delete(item_id)
        response = self._events.response_of(item_id)
        if response is not None:
            self._events.playhead_of(response).stop()
            self._tell(session.truncate(response.answer, 0))
        elif item_id in self._turns:
            session.forget(self._turns.pop(item_id))

    def find_turns(self, events: Sequence[Event], session: Any) -> None:
        """Which turns in memory the items of spoken ones are."""
        for event in events:
            item_id = self._events.item_of(event.turn) if isinstance(event, TurnEnded) else None
            if isinstance(event, TurnEnded) and item_id is not None:
                turns = reversed(session.turns)
                last = next((one for one in turns if one.role == "user"), None)
                if last is not None and last.text == event.text:
                    self._turns[item_id] = last
        for item_id in [*self._turns][:-MAX_ITEMS]:
            del self._turns[item_id]


def _read_message(item: Mapping[str, Any]) -> tuple[str, str]:
    """The role of a message, and its text."""
    role = text_of(item, "role")
    if role not in ("user", "assistant", "system"):
        raise wrong("item.role", "role is user, assistant or system")
    texts = []
    for part in list_of(item, "content", 100):
        one = object_at(part, "item.content")
        if one.get("type") not in _TEXTS:
            raise wrong(
                "item.content",
                "an item's content is text here: append sound by input_audio_buffer.append",
            )
        texts.append(text_of(one, "text"))
    text = "\n".join(texts)
    if not text.strip() or len(text) > MAX_TEXT:
        raise wrong("item.content", f"an item has 1 to {MAX_TEXT} letters of text")
    return role, text
