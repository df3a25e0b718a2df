"""The one typed result of every recogniser: words in segments in a transcript.

Written as JSON (`mooer.transcript/2`, described in `docs/transcript.md`) and, through
`mooer.subtitles`, as txt, srt, vtt and tsv. Files of version 1, which has fewer fields, are read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import PurePath
from typing import Any

from mooer.errors import ConfigError, ManifestError, OutputError, did_you_mean
from mooer.subtitles import SubtitleOptions, make_cues, to_srt, to_tsv, to_txt, to_vtt
from mooer.subtitles.rttm import to_rttm
from mooer.text import join_text

SCHEMA = "mooer.transcript/2"
_READABLE = ("mooer.transcript/1", SCHEMA)
FORMATS = ("txt", "srt", "vtt", "tsv", "json", "rttm")


@dataclass(frozen=True, slots=True)
class Word:
    """A word (or, in Chinese, a character) with its times in seconds."""

    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Label:
    """What a stretch was taken for, and how surely (0 to 1)."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Event:
    """A sound with its times in seconds from the start of the input: laughter, music, speech."""

    start_s: float
    end_s: float
    name: str  # plain lower case with underscores
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, about a sentence long; times in seconds from the start of the input.

    What is heard where nobody speaks is a segment without text, whose `events` say what it is. A
    segment is of one speaker.
    """

    start_s: float
    end_s: float
    text: str
    language: str
    words: tuple[Word, ...] | None = None  # None: word times were not asked for
    translation: str | None = None
    avg_logprob: float | None = None  # natural log, mean over the tokens of the decoded chunk
    no_speech_prob: float | None = None
    temperature: float | None = None  # of the accepted decoding; 0 is beam search
    warnings: tuple[str, ...] = ()  # names of guards that fired and could not mend the text
    speaker: str | None = None
    overlap: bool = False  # another speaks at the same time
    emotion: Label | None = None  # happy sad angry neutral fearful disgusted surprised unknown
    events: tuple[Event, ...] | None = None  # in order of time; None: not asked for
    gender: Label | None = None  # female male
    age: Label | None = None
    language_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in one input."""

    segments: tuple[Segment, ...]
    language: str  # of most of the speech; "und" where there is none
    duration_s: float
    task: str = "asr"  # asr | ast
    model: str = ""
    source: str = ""  # id or path of the input
    language_probability: float | None = None
    translation_language: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All segments joined: a space where the script wants one."""
        return join_text(segment.text for segment in self.segments)

    @property
    def translation(self) -> str | None:
        """All translations joined; None where no segment has one."""
        found = [s.translation for s in self.segments if s.translation is not None]
        return join_text(found) if found else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: `schema` and the joined `text` first, then every field."""
        return {"schema": SCHEMA, "text": self.text, **_plain(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Transcript:
        """Read what `to_dict` wrote; ManifestError for another schema, key or type."""
        if not isinstance(data, Mapping):
            raise ManifestError(f"a transcript must be a JSON object, got {_kind(data)}")
        if data.get("schema") not in _READABLE:
            raise ManifestError(
                f"transcript has schema {data.get('schema')!r}, but this version reads "
                f"{' and '.join(_READABLE)}: write it again, or use the version of mooer that "
                "wrote it"
            )
        rest = {key: value for key, value in data.items() if key not in ("schema", "text")}
        transcript: Transcript = _read(cls, rest, "transcript")
        return transcript

    def to_json(self, *, indent: int | None = 2) -> str:
        """JSON text with readable letters, ended by a newline."""
        try:
            return (
                json.dumps(self.to_dict(), ensure_ascii=False, indent=indent, allow_nan=False)
                + "\n"
            )
        except ValueError as error:
            raise OutputError(
                f"transcript of {self.source!r} has a time or probability that is not a finite "
                f"number, which JSON cannot hold ({error}): report this as a bug"
            ) from error

    @classmethod
    def from_json(cls, text: str) -> Transcript:
        """Read what `to_json` wrote; ManifestError with the line for broken JSON."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ManifestError(f"transcript is not JSON ({error})") from error
        return cls.from_dict(data)

    def render(self, format: str, options: SubtitleOptions | None = None) -> str:
        r"""The transcript as the text of a file: txt, srt, vtt, tsv, json or rttm.

        >>> Transcript((Segment(0, 1.5, "Hello.", "en"),), "en", 2.0).render("tsv")
        'start_ms\tend_ms\ttext\n0\t1500\tHello.\n'
        """
        if format == "json":
            return self.to_json()
        if format == "txt":
            return to_txt(self.segments, options)
        if format == "tsv":
            return to_tsv(self.segments, options)
        if format == "rttm":
            return to_rttm(self.segments, PurePath(self.source).stem)
        if format in ("srt", "vtt"):
            cues = make_cues(self.segments, options)
            return to_srt(cues) if format == "srt" else to_vtt(cues)
        raise ConfigError(f"unknown format {format!r}: {did_you_mean(format, FORMATS)}")


# --- JSON -------------------------------------------------------------------------------------

_NUMBER = (int, float)
_ROWS: dict[str, type[Any]] = {
    "segments": Segment,
    "words": Word,
    "events": Event,
    "emotion": Label,
    "gender": Label,
    "age": Label,
}
_LISTS = ("segments", "words", "events", "warnings")
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("start_s", "end_s", "duration_s", "probability"), _NUMBER),
    **dict.fromkeys(("avg_logprob", "no_speech_prob", "temperature"), _NUMBER),
    **dict.fromkeys(("text", "name", "language", "task", "model", "source", "warnings"), str),
    **dict.fromkeys(("speaker", "translation", "translation_language"), str),
    "language_probability": _NUMBER,
    "overlap": bool,
}
_OPTIONAL = frozenset(
    f.name for row in (Segment, Transcript) for f in fields(row) if f.default is None
)


def _plain(value: Any) -> Any:
    """A dataclass as JSON values; an optional number in it that is not finite is null."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not is_dataclass(value):
        return value
    out: dict[str, Any] = {}
    for f in fields(value):
        item = getattr(value, f.name)
        if f.name in _OPTIONAL and isinstance(item, float) and not math.isfinite(item):
            item = None
        out[f.name] = _plain(item)
    return out


def _read(cls: type[Any], data: Any, place: str) -> Any:
    """A dataclass from its JSON object: no key more, no required key less, no other type."""
    if not isinstance(data, Mapping):
        raise ManifestError(f"{place} must be a JSON object, got {_kind(data)}")
    names = [f.name for f in fields(cls)]
    for key in data:
        if key not in names:
            raise ManifestError(f"{place} has an unknown key {key!r}: {did_you_mean(key, names)}")
    values = {name: _value(name, data[name], place) for name in names if name in data}
    try:
        return cls(**values)
    except TypeError as error:
        needed = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]
        missing = [name for name in needed if name not in data]
        raise ManifestError(f"{place} lacks {', '.join(missing)}: add it") from error


def _value(name: str, value: Any, place: str) -> Any:
    here = f"{place}.{name}"
    if value is None and name in _OPTIONAL:
        return None
    if name == "versions":
        pairs = _typed(value, dict, here).items()
        return {key: _typed(v, str, f"{here}.{key}") for key, v in pairs}
    if name in _LISTS:
        items = enumerate(_typed(value, list, here))
        return tuple(_item(name, item, f"{here}[{i}]") for i, item in items)
    return _item(name, value, here)


def _item(name: str, value: Any, here: str) -> Any:
    return _read(_ROWS[name], value, here) if name in _ROWS else _typed(value, _TYPES[name], here)


def _typed(value: Any, kind: Any, here: str) -> Any:
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
        names = {str: "a string", dict: "an object", list: "a list", bool: "a boolean"}
        wanted = names.get(kind, "a number")
        raise ManifestError(f"{here} must be {wanted}, got {_kind(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ManifestError(f"{here} must be a finite number, got {value}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
