"""What is known of a recording: one `Utterance`, one JSONL schema, for all of training.

    {"id": "u1", "audio": "clips/u1.flac", "duration": 3.2, "text": "你好", "language": "zh"}

`audio` is relative to the manifest's folder. With `shard`, it is the name of a member of that tar,
`offset` and `size` say where its bytes stand. docs/data.md lists every key.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mooer.data.jsonl import read_rows, write_rows
from mooer.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation; `<audio>` stands in the text where the recording is heard."""

    role: str  # system, user or assistant
    text: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording, or a part of one, and what is known of it; None: not known."""

    id: str
    audio: str  # path, or the name of a member of `shard`
    start_s: float | None = None  # None: from the beginning
    duration_s: float | None = None  # of all its recordings together
    text: str | None = None
    language: str | None = None
    translation: str | None = None
    emotion: str | None = None
    event: str | None = None
    speaker: str | None = None
    gender: str | None = None
    age: float | str | None = None  # years, or a group
    task: str | None = None
    prompt: str | None = None  # instruction or question
    answer: str | None = None  # reply to it
    conversation: tuple[Turn, ...] | None = None  # what prompt and answer cannot hold
    more_audio: tuple[str, ...] | None = None  # paths of what a conversation hears after `audio`
    dnsmos: float | None = None
    source: str | None = None
    licence: str | None = None
    shard: str | None = None  # path of a tar
    offset_bytes: int | None = None  # of the sound in the tar
    num_bytes: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)  # all other keys, as they were

    @property
    def end_s(self) -> float | None:
        """Where it ends in the recording; None if the duration is not known."""
        return None if self.duration_s is None else (self.start_s or 0.0) + self.duration_s


_KEYS = {
    "duration_s": "duration",
    "start_s": "start",
    "offset_bytes": "offset",
    "num_bytes": "size",
}
_TRANSLATIONS = "translations"  # in `extra`: all references, where there are several
FIELDS = tuple(f.name for f in fields(Utterance) if f.name != "extra")
KEYS = {name: _KEYS.get(name, name) for name in FIELDS}  # field -> key in JSON


def from_row(row: dict[str, Any], place: str) -> Utterance:
    """The utterance of one JSON object; ManifestError names `place` and the key that is wrong.

    >>> from_row({"audio": "a/b.wav", "duration": 2, "mood": 1}, "line 1").extra
    {'mood': 1}
    """
    row = dict(row)
    if "audio" not in row and "audio_filepath" in row:  # the name in NeMo's manifests
        row["audio"] = row.pop("audio_filepath")
    values: dict[str, Any] = {}
    translations = row.get("translation")
    if isinstance(translations, list) and translations:  # the first is learned, all are kept
        row["translation"], row[_TRANSLATIONS] = translations[0], translations
    for name, key in KEYS.items():
        value = row.pop(key, None)
        if value is not None:
            values[name] = _READERS.get(name, _string)(value, f'{place}: "{key}"')
    if not values.get("audio"):
        raise ManifestError(f'{place} has no "audio" with the path of the recording: add it')
    values.setdefault("id", Path(values["audio"]).stem)
    if not values["id"]:
        raise ManifestError(f'{place} has an empty "id": name it, or leave the key out')
    if "shard" in values and not {"offset_bytes", "num_bytes"} <= values.keys():
        raise ManifestError(f'{place} names a "shard" without "offset" and "size": add both')
    if "more_audio" in values and values.keys() & {"shard", "start_s"}:
        raise ManifestError(f'{place} has "more_audio", which are whole files, so "audio" must be')
    return Utterance(**values, extra=row)


def to_row(utterance: Utterance) -> dict[str, Any]:
    """The JSON object of an utterance: what is known, then the unknown keys as they were."""
    row: dict[str, Any] = {}
    for name, key in KEYS.items():
        value = getattr(utterance, name)
        if name == "conversation" and value is not None:
            value = [{"role": turn.role, "content": turn.text} for turn in value]
        if name == "more_audio" and value is not None:
            value = list(value)
        if value is not None:
            row[key] = value
    extra = {k: v for k, v in utterance.extra.items() if k not in row}
    translations = extra.pop(_TRANSLATIONS, None)
    if translations and translations[0] == utterance.translation:
        row["translation"] = translations
    return {**row, **extra}


def read_manifest(path: str | os.PathLike[str]) -> list[Utterance]:
    """All utterances of a manifest, with paths from its folder.

    ManifestError with the line for anything wrong: broken JSON, a value of another type, an id
    that comes twice; and for a manifest without a line.
    """
    places: dict[str, str] = {}
    utterances = []
    for utterance, place in iter_manifest(path):
        if utterance.id in places:
            raise ManifestError(
                f"{place} has the id {utterance.id!r} of {places[utterance.id]}: give each its own"
            )
        places[utterance.id] = place
        utterances.append(utterance)
    if not utterances:
        raise ManifestError(f"{path} lists nothing: write one utterance a line")
    return utterances


def iter_manifest(path: str | os.PathLike[str]) -> Iterator[tuple[Utterance, str]]:
    """Utterances and the places of their lines one by one, in little memory; ids may repeat."""
    folder = Path(path).parent
    for place, row in read_rows(path):
        yield located(from_row(row, place), folder), place


def located(utterance: Utterance, folder: Path) -> Utterance:
    """With paths from `folder`."""
    if utterance.shard is not None:
        return replace(utterance, shard=str(folder / utterance.shard))
    more = utterance.more_audio and tuple(str(folder / path) for path in utterance.more_audio)
    return replace(utterance, audio=str(folder / utterance.audio), more_audio=more)


def write_manifest(path: str | os.PathLike[str], utterances: Iterable[Utterance]) -> int:
    """Write a manifest whole or not at all; returns its number of lines.

    Paths beneath its folder are written relative to it, all others absolute, so that the folder
    can be moved. OutputError if it cannot be written.
    """
    folder = Path(path).parent.absolute()
    return write_rows(path, (to_row(_relative(utterance, folder)) for utterance in utterances))


def _relative(utterance: Utterance, folder: Path) -> Utterance:
    if utterance.shard is not None:
        return replace(utterance, shard=relative_to(folder, utterance.shard))
    more = utterance.more_audio and tuple(relative_to(folder, p) for p in utterance.more_audio)
    return replace(utterance, audio=relative_to(folder, utterance.audio), more_audio=more)


def relative_to(folder: Path, path: str) -> str:
    """`path` as it is written in a list that lies in `folder`.

    >>> relative_to(Path("/data"), "/data/clips/a.wav"), relative_to(Path("/data"), "/b.wav")
    ('clips/a.wav', '/b.wav')
    """
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 (resolve would follow links)
    return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)


# --- the types of the keys --------------------------------------------------------------------


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ManifestError(f"{where} must be a string, got {value!r}")
    return value


def _name(value: object, where: str) -> str:
    return str(value) if type(value) is int else _string(value, where)


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ManifestError(f"{where} must be a number, got {value!r}")
    if not math.isfinite(value) or value < 0:
        raise ManifestError(f"{where} must be 0 or more, got {value!r}")
    return value


def _count(value: object, where: str) -> int:
    if type(value) is not int or value < 0:
        raise ManifestError(f"{where} must be a whole number of bytes, got {value!r}")
    return value


def _number_or_string(value: object, where: str) -> float | str:
    return value if isinstance(value, str) else _number(value, where)


def _paths(value: object, where: str) -> tuple[str, ...]:
    paths = value if isinstance(value, list) else []
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise ManifestError(f"{where} must be a list of paths, got {value!r}")
    return tuple(paths)


def _turns(value: object, where: str) -> tuple[Turn, ...]:
    turns = []
    for turn in value if isinstance(value, list) else [None]:
        role = turn.get("role") if isinstance(turn, dict) else None
        content = turn.get("content") if isinstance(turn, dict) else None
        if not isinstance(role, str) or not isinstance(content, str):
            raise ManifestError(f'{where} must be a list of {{"role": ..., "content": ...}}')
        turns.append(Turn(role, content))
    return tuple(turns)


_READERS: dict[str, Callable[[object, str], Any]] = {
    "id": _name,
    "more_audio": _paths,
    "speaker": _name,
    "start_s": _number,
    "duration_s": _number,
    "age": _number_or_string,
    "dnsmos": _number,
    "conversation": _turns,
    "offset_bytes": _count,
    "num_bytes": _count,
}
