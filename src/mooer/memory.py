"""How the C library keeps memory, for processes with many threads."""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8  # malloc.h


def give_back_memory() -> None:
    """Hand freed pages to the system, those in the middle of the heap too (some ms a GB)."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def share_freed_memory() -> None:
    """One heap for all threads: with one each, glibc keeps for every worker what it has freed."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
