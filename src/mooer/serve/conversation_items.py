"""The items of a conversation by their ids, as many as are remembered, and what is told of them."""

from __future__ import annotations

from typing import Any

from mooer.serve.errors import ApiError, wrong
from mooer.serve.realtime_items import Send, new_id

Item = dict[str, Any]
MAX_ITEMS = 1000  # of a conversation; the oldest are forgotten


class ConversationItems:
    """Items in their order."""

    def __init__(self, send: Send) -> None:
        self.conversation_id = new_id("conv")
        self._send = send
        self._items: dict[str, Item] = {}

    @property
    def last_id(self) -> str | None:
        """The id of the last one."""
        return next(reversed(self._items), None)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._items

    def find(self, item_id: Any) -> Item:
        """An item. ApiError 404 if there is none."""
        if not isinstance(item_id, str) or not item_id:
            raise wrong("item_id", "item_id is the id of an item")
        if item_id not in self._items:
            raise ApiError(
                404, f"there is no item {item_id[:64]!r}", param="item_id", code="item_not_found"
            )
        return self._items[item_id]

    def add(self, item: Item) -> None:
        """One more; whoever listens is told."""
        before = self.last_id
        self._items[item["id"]] = item
        if len(self._items) > MAX_ITEMS:
            del self._items[next(iter(self._items))]
        self._send("conversation.item.added", item=item, previous_item_id=before)

    def finish(self, item: Item) -> None:
        """One that was added is whole."""
        ids = [*self._items]
        place = ids.index(item["id"]) if item["id"] in self._items else 0
        self._items[item["id"]] = item
        before = ids[place - 1] if place else None
        self._send("conversation.item.done", item=item, previous_item_id=before)

    def keep(self, item: Item) -> None:
        """What is known of it has changed; nobody is told."""
        if item["id"] in self._items:
            self._items[item["id"]] = item

    def delete(self, item_id: str) -> None:
        """It is no part of the conversation any more."""
        self._items.pop(item_id, None)
        self._send("conversation.item.deleted", item_id=item_id)
