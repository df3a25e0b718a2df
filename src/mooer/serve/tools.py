"""What only some requests need beside a recogniser: who speaks, and times of words by alignment.

Each is loaded at its first use and, as models are, let go of when it was not asked for in a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mooer.serve.settings import Settings

logger = logging.getLogger(__name__)

ALIGNER, READER, DIARIZER = "aligner", "reader", "diarizer"


@dataclass
class _Tool:
    make: Callable[[], Any]
    made: Any = None
    num_users: int = 0
    used_at: float = 0.0
    making: threading.Lock = field(default_factory=threading.Lock)


class Tools:
    """One of each in a process, for the threads of requests."""

    def __init__(
        self, settings: Settings, makers: Mapping[str, Callable[[Settings], Any]] | None = None
    ) -> None:
        self._after_s = settings.unload_after_s
        self._tools = {
            name: _Tool(lambda make=make: make(settings))  # type: ignore[misc]
            for name, make in (makers or MAKERS).items()
        }

    @contextmanager
    def borrow(self, name: str) -> Iterator[Any]:
        """A tool, loaded if it is not; it stays loaded until the block ends.

        StoreError and ModelError if it cannot be had.
        """
        tool = self._tools[name]
        with tool.making:
            if tool.made is None:
                tool.made = tool.make()
            tool.num_users += 1
            made = tool.made
        try:
            yield made
        finally:
            with tool.making:
                tool.num_users -= 1
                tool.used_at = time.monotonic()

    def tidy(self) -> None:
        """Let go of what was not asked for in a while, if the settings say so."""
        if self._after_s is None:
            return
        for name, tool in self._tools.items():
            if not tool.making.acquire(blocking=False):
                continue  # it is being loaded
            try:
                is_idle = tool.made is not None and not tool.num_users
                if is_idle and time.monotonic() - tool.used_at > self._after_s:
                    tool.made = None
                    logger.info("the %s was not asked for in %.0f s: unloaded", name, self._after_s)
            finally:
                tool.making.release()


def _aligner(settings: Settings) -> Any:
    from mooer.infer.aligners import load_aligner

    return load_aligner(device=settings.device, num_threads=settings.threads)


def _reader(settings: Settings) -> Any:
    from mooer.infer.attended import load_reader

    return load_reader(device=settings.device, num_threads=settings.threads)


def _diarizer(_: Settings) -> Any:
    from mooer.infer.speakers import load_diarizer

    return load_diarizer()


MAKERS: Mapping[str, Callable[[Settings], Any]] = {
    ALIGNER: _aligner,
    READER: _reader,
    DIARIZER: _diarizer,
}
