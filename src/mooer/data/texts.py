"""Texts to be spoken: plain lines, JSON lines of sentences, or of Chinese and English pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooer.data.manifest import safe_stem
from mooer.errors import ManifestError
from mooer.text import is_cjk

PAIRED = ("zh", "en")


@dataclass(frozen=True)
class Line:
    """One text to be spoken, and what is known of it."""

    id: str
    text: str
    language: str
    translation: tuple[str, ...] = ()
    translation_language: str | None = None
    attribution: str | None = None
    licence: str | None = None


def read_texts(paths: Sequence[Path], languages: Sequence[str] = PAIRED) -> list[Line]:
    """Lines of all files, in order, in the languages asked for; every id once.

    A .jsonl line is `{"id", "zh", "en": […]}`, spoken in both languages with the other as its
    translation, or `{"id", "text", "language", "translation"}`; `attribution` and `licence` are
    kept. Any other file is plain text, one sentence a line, Chinese if it has a Chinese
    character. ManifestError, with the line, for what is neither.
    """
    lines: list[Line] = []
    places: dict[str, str] = {}
    for path in paths:
        for place, line in _read(path):
            if line.language not in languages:
                continue
            stem = safe_stem(line.id)
            if stem in places:
                raise ManifestError(
                    f"{place} has the id {line.id!r} of {places[stem]}: give each line its own"
                )
            places[stem] = place
            lines.append(line)
    if not lines:
        names = ", ".join(map(str, paths))
        raise ManifestError(f"{names}: no line in {' or '.join(languages)}: nothing to speak")
    return lines


def _read(path: Path) -> Iterator[tuple[str, Line]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8 ({error}): convert it") from error
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror or error}") from error
    is_json = path.suffix.lower() in (".jsonl", ".ndjson")
    for number, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        place = f"{path} line {number}"
        name = f"{path.stem}-{number:06d}"
        if is_json:
            for line in _from_json(raw, place, name):
                yield place, line
        else:
            yield place, Line(name, raw.strip(), language_of(raw))


def language_of(text: str) -> str:
    """Code of the language of a plain text: zh if it has a Chinese character, else en."""
    return "zh" if any(map(is_cjk, text)) else "en"


def _from_json(raw: str, place: str, name: str) -> Iterator[Line]:
    try:
        row = json.loads(raw)
    except ValueError as error:
        raise ManifestError(f"{place} is not JSON ({error}): mend or remove it") from error
    if not isinstance(row, dict):
        raise ManifestError(f'{place} is no object: write {{"text": "...", ...}}')
    name = str(row.get("id") or name)
    known = {key: row[key] for key in ("attribution", "licence") if row.get(key)}
    if all(row.get(code) for code in PAIRED):
        sides = {code: _strings(row[code], place, code) for code in PAIRED}
        for code, other in (PAIRED, PAIRED[::-1]):
            yield Line(f"{name}-{code}", sides[code][0], code, sides[other], other, **known)
        return
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ManifestError(f'{place} has neither "text" nor both "zh" and "en": add it')
    language = str(row.get("language") or language_of(text))
    translation = _strings(row.get("translation") or [], place, "translation")
    into = row.get("translation_language") or {"zh": "en", "en": "zh"}.get(language)
    yield Line(name, text.strip(), language, translation, into if translation else None, **known)


def _strings(value: Any, place: str, key: str) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ManifestError(f'{place}: "{key}" must be a text or a list of texts, got {value!r}')
    return tuple(found)
