"""The turns that a mind is shown: as many of the last as its context has room for."""

from __future__ import annotations

from collections.abc import Sequence

from mooer.agent.mind import Turn

STEP_TURNS = 8  # that are left out together: what is shown begins alike for some turns


def num_tokens(text: str) -> int:
    """How many tokens a text has at most, nearly: three letters of ASCII, or one other character.

    >>> num_tokens("Hello there!"), num_tokens("你好")
    (4, 2)
    """
    num_ascii = sum(char < "\x80" for char in text)
    return len(text) - num_ascii + -(-num_ascii // 3)


def fitting(turns: Sequence[Turn], room_tokens: int, *, first: int = 0) -> tuple[int, list[Turn]]:
    """How many turns are left out, and those from a user's on that fit; the last is always there.

    The oldest go first, `STEP_TURNS` at once, so that the beginning of the prompt, which is in the
    KV cache, does not move with every turn. `first` are left out in any case.
    """
    sizes = [num_tokens(turn.text) + 8 + _calls_tokens(turn) for turn in turns]
    last = max(0, len(turns) - 1)
    start = min(first, last)
    while start < last and sum(sizes[start:]) > room_tokens:
        start = min(start + STEP_TURNS, last)
    while start < last and turns[start].role != "user":
        start += 1
    while start and start == last and turns[start].role == "tool":  # with what it answers
        last = start = start - 1
    return start, list(turns[start:])


def _calls_tokens(turn: Turn) -> int:
    return sum(num_tokens(call.name + call.arguments) + 20 for call in turn.calls)
