"""Fields of a JSON body, each checked where it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mooer.serve.errors import wrong


def text_of(body: Mapping[str, Any], name: str, default: str = "") -> str:
    """A text; the default where it is missing or null."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise wrong(name, f"{name} must be a string")
    return value


def number_of(body: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    """A number within bounds."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(name, f"{name} must be a number")
    if not low <= value <= high:
        raise wrong(name, f"{name} must be {low:g} to {high:g}")
    return float(value)


def truth_of(body: Mapping[str, Any], name: str) -> bool:
    """True or false; false where it is missing."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong(name, f"{name} must be true or false")
    return bool(value)


def choice(body: Mapping[str, Any], name: str, default: str, known: Sequence[str]) -> str:
    """One of several words."""
    value = text_of(body, name, default)
    if value not in known:
        raise wrong(name, f"{name} must be one of {', '.join(known)}")
    return value


def list_of(body: Mapping[str, Any], name: str, most: int) -> list[Any]:
    """A list; empty where it is missing."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(name, f"{name} must be a list")
    if len(value) > most:
        raise wrong(name, f"{name} has {len(value)} items, at most {most}", "too_long")
    return value
