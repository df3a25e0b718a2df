"""Looks things up while the user is still speaking, so that few answers wait for it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from mooer.agent.context import Context, Task
from mooer.agent.events import Source
from mooer.agent.jobs import Tell, Work
from mooer.agent.mind import Knowledge
from mooer.errors import MooerError

_DEADLINE_S = 10.0
_ENOUGH = 0.7  # of the text of a turn, from its beginning: what is found for it will do
_MIN_CHARACTERS = 2


class Retrieval:
    """The last search, and what it found."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._text: str | None = None
        self._found: tuple[Source, ...] | None = None
        self._task: Task | None = None
        self._on_found: Callable[[], None] = lambda: None
        self.found_s: float | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to search."""
        return bool(self._context.parts.knowledge) and self._context.options.num_sources > 0

    def look_up(self, text: str, on_found: Callable[[], None] | None = None) -> None:
        """Begin a search, unless one for most of this text has begun; then that one counts."""
        text = text.strip()
        if not self.is_wanted or len(text) < _MIN_CHARACTERS:
            return
        self._on_found = on_found or (lambda: None)
        if self._will_do(text):
            return
        if self._task:
            self._task.close()
        self._text, self._found, self.found_s = text, None, None
        self._task = self._context.start(
            "search",
            _searching(self._context.parts.knowledge, text, self._context.options.num_sources),
            _DEADLINE_S,
            self._take,
            self._done,
        )

    def found_for(self, text: str) -> tuple[Source, ...] | None:
        """What was found for a text; None if the search is not over."""
        if not self.is_wanted or len(text.strip()) < _MIN_CHARACTERS:
            return ()
        return self._found if self._will_do(text.strip()) else None

    def forget(self) -> None:
        """The next turn is another matter."""
        if self._task:
            self._task.close()
        self._text, self._found, self._task, self.found_s = None, None, None, None
        self._on_found = lambda: None

    def _will_do(self, text: str) -> bool:
        searched = self._text
        return (
            searched is not None
            and text.startswith(searched.rstrip("。.，,…"))
            and len(searched) >= _ENOUGH * len(text)
        )

    def _take(self, value: object) -> None:
        if isinstance(value, MooerError):
            self._context.fail("search", value)
        else:
            assert isinstance(value, tuple)
            self._found = value

    def _done(self, error: MooerError | None) -> None:
        self._task = None
        if error:
            self._context.fail("search", error)
        self._found = self._found or ()
        self.found_s = self._context.time_s
        self._on_found()


def _searching(knowledge: Sequence[Knowledge], text: str, num: int) -> Work:
    def work(tell: Tell) -> Generator[None, None, None]:
        found: list[Source] = []
        for place in knowledge:
            try:
                found += place.search(text, num)
            except MooerError as error:  # one place that fails does not take the others away
                tell(error)
            yield
        tell(tuple(sorted(found, key=lambda source: -source.score)[:num]))

    return work
