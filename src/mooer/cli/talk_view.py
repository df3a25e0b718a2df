"""What a conversation looks like: redrawn on a terminal, lines of text or JSON elsewhere."""

from __future__ import annotations

import json
import sys
from typing import Any, Protocol

from mooer.agent.events import (
    AnswerSound,
    AnswerStarted,
    BackChannel,
    Event,
    Flush,
    Remembered,
    Sourced,
    ToolCalled,
    TurnEnded,
    TurnReopened,
    UserStarted,
    UserStopped,
    UserText,
    Waterfall,
)
from mooer.agent.recorder import event_dict
from mooer.agent.waterfall import fall_of

_CUT = " —"  # behind an answer that was interrupted


class TalkView(Protocol):
    """Shows events; a context manager."""

    def show(self, event: Event) -> None:
        """Show one."""
        ...

    def __enter__(self) -> TalkView: ...

    def __exit__(self, *reason: object) -> None: ...


class JsonLines:
    """Every event, a JSON object a line; of sound only how much."""

    def show(self, event: Event) -> None:
        """Print it."""
        print(json.dumps(event_dict(event), ensure_ascii=False), flush=True)  # noqa: T201

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_reason: object) -> None:
        return None


class Lines:
    """Turns of both, a line each as soon as they stand; behind an answer where its time went."""

    def __init__(self) -> None:
        self._turn: TurnEnded | None = None  # not shown yet: the user may go on
        self._timed: set[int] = set()

    def show(self, event: Event) -> None:
        """Print what an event brings, if it does."""
        if isinstance(event, TurnEnded):
            self._show_turn()
            self._turn = event
        elif isinstance(event, TurnReopened):
            self._turn = None
        elif isinstance(event, AnswerSound | Remembered):
            self._show_turn()
        if isinstance(event, Remembered) and event.text:
            self.line("agent", event.text + ("" if event.is_whole else _CUT))
        elif isinstance(event, Waterfall):
            if "played" in event.moments and event.answer not in self._timed:
                self._timed.add(event.answer)
                self.note(str(fall_of(event.moments)))
        elif isinstance(event, BackChannel):
            self.note(f"you: {event.text} (the answer goes on)")
        elif isinstance(event, ToolCalled):
            self.note(f"{event.name}({event.arguments})")
        elif isinstance(event, Sourced) and event.sources:
            self.note("from " + "; ".join(dict.fromkeys(s.name for s in event.sources)))

    def _show_turn(self) -> None:
        if self._turn is not None and self._turn.text:
            self.line("you", self._turn.text)
        self._turn = None

    def line(self, who: str, text: str) -> None:
        """Print a turn."""
        print(f"{who}: {' '.join(text.split())}", flush=True)  # noqa: T201

    def note(self, text: str) -> None:
        """Print what is beside the turns."""
        print(f"    {text}", flush=True)  # noqa: T201

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_reason: object) -> None:
        self._show_turn()


class Terminal(Lines):
    """Turns as lines that stay, and below them the state and what is being said, redrawn."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._console = Console(file=sys.stdout, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._state = "listening"
        self._open = ""

    def show(self, event: Event) -> None:
        """Print what stays, and draw the state again."""
        super().show(event)
        if isinstance(event, UserStarted):
            self._state, self._open = "hearing you", ""
        elif isinstance(event, UserText):
            self._open = event.text
        elif isinstance(event, UserStopped):
            self._state = "hearing whether you are done"
        elif isinstance(event, TurnEnded):
            self._state, self._open = "thinking", event.text
        elif isinstance(event, AnswerStarted):
            self._open = ""
        elif isinstance(event, AnswerSound):
            self._state = "speaking (speak, or press space, to interrupt)"
            self._open += event.text
        elif isinstance(event, Remembered | Flush):
            self._state, self._open = "listening", ""
        self._draw()

    def line(self, who: str, text: str) -> None:
        """Print a turn above the state."""
        from rich.text import Text

        shown = Text(f"{who}: ", style="bold")
        shown.append(" ".join(text.split()), style="not bold")
        self._console.print(shown, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print it dim, above the state."""
        self._console.print(f"    {text}", style="dim", markup=False, soft_wrap=True)

    def __enter__(self) -> Terminal:
        self._live.start()
        self._draw()
        return self

    def __exit__(self, *_reason: object) -> None:
        self._live.stop()
        self._show_turn()

    def _draw(self) -> None:
        from rich.text import Text

        shown = Text(f"[{self._state}] ", style="dim")
        shown.append(" ".join(self._open.split()))
        self._live.update(shown, refresh=True)


def view_of(*, as_json: bool) -> Any:
    """The view for where standard output goes."""
    if as_json:
        return JsonLines()
    return Terminal() if sys.stdout.isatty() else Lines()
