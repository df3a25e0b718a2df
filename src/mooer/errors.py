"""Every error that `mooer` raises on purpose, so that one `except MooerError` is enough.

    MooerError
    ├── ConfigError    (ValueError)     an option or a file of options is wrong
    ├── AudioError     (ValueError)     a sound cannot be read or holds nothing usable
    ├── ManifestError  (ValueError)     a list of inputs cannot be read
    ├── StoreError     (OSError)        weights are missing, damaged or out of reach
    ├── OutputError    (OSError)        a result cannot be written
    ├── ModelError     (RuntimeError)   a model cannot be loaded or does not fit the task
    ├── TrainError     (RuntimeError)   training went wrong and was stopped
    ├── DecodeError    (RuntimeError)   decoding gave nothing usable
    ├── AgentError     (RuntimeError)   a conversation cannot go on
    └── MissingExtra   (ImportError)    an optional package is not installed

A message says what failed, what was got, and how to mend it, in one sentence.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_NAMED = 8


class MooerError(Exception):
    """Root of all errors raised on purpose."""


class ConfigError(MooerError, ValueError):
    """An option, or a file of options, is wrong."""


class AudioError(MooerError, ValueError):
    """A sound cannot be read, or holds nothing usable."""


class ManifestError(MooerError, ValueError):
    """A list of inputs cannot be read."""


class StoreError(MooerError, OSError):
    """Weights are missing, damaged or out of reach."""


class OutputError(MooerError, OSError):
    """A result cannot be written."""


class ModelError(MooerError, RuntimeError):
    """A model cannot be loaded, or does not fit the task."""


class TrainError(MooerError, RuntimeError):
    """Training went wrong and was stopped."""


class DecodeError(MooerError, RuntimeError):
    """Decoding gave nothing usable."""


class AgentError(MooerError, RuntimeError):
    """A conversation cannot go on."""


class MissingExtra(MooerError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, otherwise: str = "") -> None:
        instead = f", or {otherwise}" if otherwise else ""
        super().__init__(f"{package} is not installed: pip install 'mooer[{extra}]'{instead}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End of an error sentence: the nearest known name, and all of them if they are few.

    >>> did_you_mean("whisper-bas", ["whisper-base", "qwen"])
    'did you mean whisper-base? Known: qwen, whisper-base.'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"{hint}Known: {shown}."


def listed(names: Iterable[str]) -> str:
    """How many, and the first of them.

    >>> listed(["a", "b"])
    '2, a, b'
    """
    names = list(names)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{len(names)}, {', '.join(names[:_MAX_NAMED])}{more}"


def first_line(error: BaseException) -> str:
    """Of an error from below, what fits into a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
