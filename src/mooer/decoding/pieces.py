"""Ids to text as they come, whole characters only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

_BROKEN = "\ufffd"  # what bytes that are no character (yet) decode to


def pieces(ids: Iterable[int], decode: Callable[[Sequence[int]], str]) -> Iterator[str]:
    """Pieces of text that joined are `decode` of all ids, none with half of a character.

    >>> list(pieces([0xE4, 0xBD, 0xA0, 0x21], lambda ids: bytes(ids).decode(errors="replace")))
    ['你', '!']
    """
    seen: list[int] = []
    text = ""
    num_given = 0
    for token in ids:
        seen.append(token)
        text = decode(seen)
        whole = text.rstrip(_BROKEN)
        if len(whole) > num_given:
            yield whole[num_given:]
            num_given = len(whole)
    if len(text) > num_given:
        yield text[num_given:]
