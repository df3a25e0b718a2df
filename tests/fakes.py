"""Small stand-ins for the heavy parts of the house."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from mooer.tasks import Message


class FakeLLM:
    """Answers from a script, or by a function of the messages, one character a piece.

    `requests` are the conversations it was given, `num_pieces` how much it was made to say.
    """

    def __init__(self, answers: Sequence[str] | Callable[[Sequence[Message]], str]) -> None:
        self._answers = answers
        self.requests: list[list[Message]] = []
        self.num_pieces = 0
        self.num_closed = 0

    def chat(
        self, messages: Sequence[Message], *, max_tokens: int, grammar: str | None = None
    ) -> Generator[str, None, None]:
        self.requests.append(list(messages))
        if callable(self._answers):
            answer = self._answers(messages)
        else:
            answer = self._answers[len(self.requests) - 1]
        try:
            for piece in answer[: 8 * max_tokens]:
                self.num_pieces += 1
                yield piece
        finally:
            self.num_closed += 1

    def complete(
        self,
        prompt: str,
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        grammar: str | None = None,
    ) -> Generator[str, None, None]:
        return self.chat([Message("user", prompt)], max_tokens=max_tokens)
