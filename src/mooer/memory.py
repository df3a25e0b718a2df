"""How the C library keeps memory, for processes with many threads."""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGEST_BYTES = 1 << 30


def give_back_memory() -> None:
    """Hand freed pages to the system, those in the middle of the heap too (some ms a GB)."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> None:
    """Large tensors take the place of freed ones, whose pages are then there already.

    By default glibc maps each anew, and the system fills its pages with zeros.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_BYTES)


def share_freed_memory() -> None:
    """One heap for all threads: with one each, glibc keeps for every worker what it has freed."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
