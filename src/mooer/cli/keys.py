"""What is typed during a conversation: keys that interrupt it, or lines that are turns of it."""

from __future__ import annotations

import contextlib
import io
import queue
import sys
import threading
from collections.abc import Callable, Iterator

INTERRUPT = "\x1b"  # what `Typed.get` gives for a key, or an empty line, that interrupts
END = "\x04"  # and for the end of what is typed
_INTERRUPTING = (" ", "\x1b", "\r", "\n")


class Typed:
    """Lines, or keys, that a thread reads while others work."""

    def __init__(self, read: Callable[[], Iterator[str]]) -> None:
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._read = read
        # It may wait in `read` for ever: standard input cannot be let go of.
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        for found in self._read():
            self._queue.put(found)
        self._queue.put(END)

    def get(self) -> str | None:
        """What was typed next, if anything was."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None


def typed_lines() -> Iterator[str]:
    """Lines of standard input; an empty one interrupts."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    for line in sys.stdin:
        yield line.strip() or INTERRUPT


def typed_keys() -> Iterator[str]:
    """Space, Esc and Enter of a terminal in `single_keys`; they interrupt."""
    while key := sys.stdin.read(1):
        if key in _INTERRUPTING:
            yield INTERRUPT


@contextlib.contextmanager
def single_keys() -> Iterator[bool]:
    """Have the terminal hand over each key at once, unseen; whether it is one that can."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        yield False
        return
    if not sys.stdin.isatty():
        yield False
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)  # ctrl-C is still a signal
        yield True
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
