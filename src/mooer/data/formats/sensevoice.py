"""SenseVoice's fine-tuning list: key, source, target, lengths, and its four tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mooer.data.formats.base import (
    SENSEVOICE_EMOTIONS,
    Format,
    Notes,
    file_of,
    inverse,
    located_path,
    needed,
    number,
    string,
)
from mooer.data.jsonl import read_rows, write_rows
from mooer.data.supervision import Utterance

_LANGUAGES = frozenset({"zh", "en", "yue", "ja", "ko", "nospeech"})
_EVENTS = {
    "music": "BGM",
    "applause": "Applause",
    "laughter": "Laughter",
    "crying": "Cry",
    "sneezing": "Sneeze",
    "breath": "Breath",
    "cough": "Cough",
    "singing": "Sing",
}
_SPEECH, _UNKNOWN = "Speech", ("EMO_UNKNOWN", "Event_UNK")
_HOLDS = frozenset({"duration_s", "text", "language", "emotion", "event"})
_ITN = "with_itn"  # our key for whether the text has punctuation and figures


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    for place, row in read_rows(path):
        key, source = needed(row, "key", place), needed(row, "source", place)
        frames = number(row, "source_len", place)
        text, language = string(row, "target", place), _token(row, "text_language", place)
        emotion = _token(row, "emo_target", place)
        event = _token(row, "event_target", place)
        itn = _token(row, "with_or_wo_itn", place)
        row.pop("target_len", None)
        if itn is not None:
            row[_ITN] = itn == "withitn"
        yield Utterance(
            key,
            located_path(path.parent, source),
            duration_s=None if frames is None else frames / 100,
            text=text,
            language=language,
            emotion=_word(emotion, inverse(SENSEVOICE_EMOTIONS)),
            event=None if event == _SPEECH else _word(event, inverse(_EVENTS)),
            extra=row,
        )


def _word(token: str | None, words: dict[str, str]) -> str | None:
    return None if token is None or token in _UNKNOWN else words.get(token, token.lower())


def _token(row: dict[str, Any], key: str, place: str) -> str | None:
    value = string(row, key, place)
    return value.removeprefix("<|").removesuffix("|>") if value else None


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    return write_rows(path, (_row(utterance, notes) for utterance in utterances))


def _row(utterance: Utterance, notes: Notes) -> dict[str, Any]:
    extra = {k: v for k, v in utterance.extra.items() if k != _ITN}
    notes.add_lost(utterance, {*_HOLDS, *(("extra",) if not extra else ())})
    text = utterance.text or ""
    row: dict[str, Any] = {
        "key": utterance.id,
        "source": file_of(utterance, "sensevoice"),
        "target": text,
        "target_len": len(text.split()) if " " in text else len(text),
    }
    if utterance.duration_s is None:
        notes.add("source_len: left out, since there is no duration (add --durations)")
    else:
        row["source_len"] = round(utterance.duration_s * 100)
    if utterance.language is not None:
        if utterance.language not in _LANGUAGES:
            notes.add(f"language {utterance.language}: SenseVoice has no token for it")
        row["text_language"] = f"<|{utterance.language}|>"
    emotion = SENSEVOICE_EMOTIONS.get(utterance.emotion or "")
    if utterance.emotion is not None and emotion is None:
        notes.add(f"emotion {utterance.emotion}: written as EMO_UNKNOWN")
    event = _EVENTS.get(utterance.event or "")
    if utterance.event is not None and event is None:
        notes.add(f"event {utterance.event}: written as Event_UNK")
        event = _UNKNOWN[1]
    itn = utterance.extra.get(_ITN)
    if not isinstance(itn, bool):
        itn = any(not (c.isalpha() or c.isspace() or c == "'") for c in text)
    row["emo_target"] = f"<|{emotion or _UNKNOWN[0]}|>"
    row["event_target"] = f"<|{event or _SPEECH}|>"
    row["with_or_wo_itn"] = "<|withitn|>" if itn else "<|woitn|>"
    return row


FORMAT = Format(_read, _write, _HOLDS)
