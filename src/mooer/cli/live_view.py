"""What a stream looks like: redrawn in place on a terminal, lines of text or of JSON elsewhere."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from mooer.subtitles import SubtitleOptions, to_txt

if TYPE_CHECKING:
    from mooer.infer.stream import StreamEvent
    from mooer.transcript import Word


class View(Protocol):
    """Shows events; a context manager."""

    def show(self, event: StreamEvent) -> None:
        """Show one."""
        ...

    def __enter__(self) -> View: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Lines:
    """Sentences, a line each, when they are said."""

    def __init__(self, look: SubtitleOptions) -> None:
        self._look = look

    def show(self, event: StreamEvent) -> None:
        """Print a sentence; what is not yet one is not shown."""
        from mooer.infer.stream import Said

        if isinstance(event, Said):
            print(to_txt([event.segment], self._look), end="", flush=True)  # noqa: T201

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_reason: object) -> None:
        return None


class JsonLines(Lines):
    """Every event, a JSON object a line."""

    def __init__(self) -> None:
        super().__init__(SubtitleOptions())

    def show(self, event: StreamEvent) -> None:
        """Print it."""
        print(json.dumps(event_dict(event), ensure_ascii=False), flush=True)  # noqa: T201


def event_dict(event: StreamEvent) -> dict[str, Any]:
    """An event as plain values: its name in `event`, its text, and every field.

    >>> from mooer.infer import EndPoint
    >>> event_dict(EndPoint(2.5))
    {'event': 'end_point', 'time_s': 2.5}
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
    text = getattr(event, "text", None)
    shown = {} if text is None else {"text": text.strip()}
    return {"event": name, **shown, **dataclasses.asdict(event)}


class Terminal:
    """Final words in plain letters and the open ones dim behind them, drawn again in place."""

    def __init__(self, look: SubtitleOptions) -> None:
        from rich.console import Console
        from rich.live import Live

        self._look = look
        self._console = Console(file=sys.stdout, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._finals: tuple[Word, ...] = ()
        self._open = ""

    def show(self, event: StreamEvent) -> None:
        """Draw the line again; a sentence that is said goes above it, and stays."""
        from mooer.infer.stream import Final, Partial, Said

        if isinstance(event, Said):
            end_s = event.segment.end_s
            self._finals = tuple(word for word in self._finals if word.start_s >= end_s)
            self._console.print(
                to_txt([event.segment], self._look), end="", markup=False, soft_wrap=True
            )
        elif isinstance(event, Final):
            self._finals += event.words
            self._open = ""
        elif isinstance(event, Partial):
            self._open = event.text
        self._draw()

    def __enter__(self) -> Terminal:
        self._live.start()
        return self

    def __exit__(self, *_reason: object) -> None:
        self._live.stop()

    def _draw(self) -> None:
        from rich.text import Text

        final = "".join(word.text for word in self._finals).lstrip()
        shown = Text(final)
        shown.append(self._open if final else self._open.lstrip(), style="dim")
        self._live.update(shown, refresh=True)
