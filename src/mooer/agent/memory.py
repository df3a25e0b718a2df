"""What a conversation remembers: the user's turns, and of the agent's what was heard."""

from __future__ import annotations

from dataclasses import replace

from mooer.agent.answer import Answer, Round
from mooer.agent.mind import Turn


class Memory:
    """Turns in their order; those of answers are read off as far as they were played."""

    def __init__(self) -> None:
        self._entries: list[Turn | Round] = []

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What was said and heard so far."""
        return tuple(
            turn
            for entry in self._entries
            for turn in (entry.turns() if isinstance(entry, Round) else (entry,))
        )

    def add(self, entry: Turn | Round, *, max_turns: int, keep_sounds: int) -> None:
        """Put something behind all others; the oldest turns, and older sounds, are forgotten."""
        self._entries.append(entry)
        del self._entries[:-max_turns]
        num_sounds = 0
        for i in range(len(self._entries) - 1, -1, -1):
            old = self._entries[i]
            if isinstance(old, Turn) and old.samples is not None:
                num_sounds += 1
                if num_sounds > keep_sounds:
                    self._entries[i] = replace(old, samples=None)

    def forget_answer(self, answer: Answer) -> None:
        """Leave out an answer of which nothing was heard."""
        self._entries = [
            e for e in self._entries if not (isinstance(e, Round) and e.answer is answer)
        ]

    def take_back(self, turn: Turn) -> None:
        """Leave out a turn of the user that goes on."""
        self._entries = [entry for entry in self._entries if entry is not turn]
