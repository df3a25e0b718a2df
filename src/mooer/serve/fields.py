"""JSON objects of callers, bounded, and their fields, each checked where it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mooer.errors import did_you_mean
from mooer.serve.errors import ApiError, wrong

MAX_VALUES = 200_000  # far more than a conversation has; each takes much more memory than letters
_HALF_LETTER = re.compile(r"\\u[dD][89a-fA-F]")


def object_of(data: str | bytes, what: str = "the body") -> dict[str, Any]:
    """The JSON object in `data`. ApiError 400 if it is none, or one that nobody would send."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        if sum(map(text.count, ",:[{")) > MAX_VALUES:
            raise ApiError(
                400, f"{what} has more than {MAX_VALUES} values: send fewer", code="invalid_json"
            )
        found = json.loads(text)
        if _HALF_LETTER.search(text):  # as many a whole letter begins
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise wrong(
            None, f"{what} holds half of a letter (a lone surrogate): mend it", "invalid_json"
        ) from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:80]
        raise wrong(None, f"{what} must be a JSON object: {reason}", "invalid_json") from None
    if not isinstance(found, dict):
        raise wrong(None, f"{what} must be a JSON object", "invalid_json")
    return found


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
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(name, f"{name} must be a number")
    if not low <= value <= high:  # nor what is not a number, nor infinite
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


def object_at(value: Any, place: str) -> dict[str, Any]:
    """A value that is an object; `place` is where it stands, as "session.audio"."""
    if not isinstance(value, dict):
        raise wrong(place, f"{place} must be an object")
    return value


def number_at(value: Any, place: str, least: float, most: float) -> float:
    """A value that is a number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise wrong(place, f"{place} must be a number from {least:g} to {most:g}")
    return float(value)


def refuse_unknown(given: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    """ApiError 400 for a field that an object has and should not, with the nearest that it may."""
    for key in given:
        if key not in known:
            name = key[:50]
            raise wrong(
                f"{place}.{name}",
                f"{place} has no {name!r}: {did_you_mean(name, known)}",
                code="unknown_parameter",
            )
