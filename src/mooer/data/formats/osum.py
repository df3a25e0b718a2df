"""OSUM's list and its tars: key, wav, txt, task, lang, speaker, emotion, gender, extra.

For a task with labels they stand in tags at the end of the text: `你好<happy>`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mooer.data.formats.base import (
    OSUM_EMOTIONS,
    Format,
    Notes,
    file_of,
    inverse,
    located_path,
    needed,
    number,
    string,
)
from mooer.data.formats.groups import groups, tars
from mooer.data.jsonl import read_rows, write_rows
from mooer.data.supervision import Utterance
from mooer.errors import ManifestError

_TASKS = {
    "asr": "<TRANSCRIBE>",
    "asr_align": "<TRANSCRIBE> <ALIGN>",
    "asr_chat": "<TRANSCRIBE> <S2TCHAT>",
    "asr_emotion": "<TRANSCRIBE> <EMOTION>",
    "asr_event": "<TRANSCRIBE> <CAPTION>",
    "asr_style": "<TRANSCRIBE> <STYLE>",
    "asr_gender": "<TRANSCRIBE> <GENDER>",
    "asr_age": "<TRANSCRIBE> <AGE>",
    "asr_age_gender": "<TRANSCRIBE> <AGE> <GENDER>",
    "age_gender": "<AGE> <GENDER>",
    "asr_style_age_gender": "<TRANSCRIBE> <STYLE> <AGE> <GENDER>",
    "style_age_gender": "<STYLE> <AGE> <GENDER>",
}
_LABELS = ("emotion", "event", "style", "age", "gender")  # in the order of tags
_TAGS = re.compile(r"(?:\s*<[^<>]+>)+\s*$")
_REPLY = "<开始回答>"
_NONE = frozenset({"", "none", "<none>"})
_HOLDS = frozenset({"duration_s", "text", "language", "emotion", "speaker", "gender", "task"})


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    if path.is_dir() or path.suffix in (".tar", ".txt"):
        for tar in tars(path):
            yield from _read_tar(tar, notes)
        return
    for place, row in read_rows(path):
        audio = located_path(path.parent, needed(row, "wav", place))
        yield _utterance(row, audio, place)


def _read_tar(tar: str, notes: Notes) -> Iterator[Utterance]:
    for group in groups(tar, notes):
        place = f"{tar}: {group.key}"
        row: dict[str, Any] = {**group.texts, "key": group.key}
        for name in ("extra", "duration"):
            try:
                row[name] = json.loads(row.pop(name)) if row.get(name) else None
            except ValueError as error:
                raise ManifestError(f"{place}.{name} is not JSON ({error})") from error
        assert group.sound is not None
        yield replace(
            _utterance(row, group.sound.name, place),
            shard=group.tar,
            offset_bytes=group.sound.offset_bytes,
            num_bytes=group.sound.num_bytes,
        )


def _utterance(row: dict[str, Any], audio: str, place: str) -> Utterance:
    key, text = needed(row, "key", place), string(row, "txt", place)
    nested = row.pop("extra", None)
    extra = dict(nested) if isinstance(nested, dict) else {}
    for name in ("duration", "age", "style"):
        if name in extra and name not in row:
            row[name] = extra.pop(name)
    duration_s = number(row, "duration", place)
    given = string(row, "task", place)
    task = inverse(_TASKS).get(given or "", given)
    values = {name: _clean(string(row, name, place)) for name in (*_LABELS, "lang", "speaker")}
    text, reply = _split_text(text, task, values)
    emotion, style = values["emotion"], values["style"]
    if style is not None:
        extra["style"] = style
    return Utterance(
        key,
        audio,
        duration_s=duration_s or None,
        text=text,
        language="zh" if values["lang"] == "cn" else values["lang"],
        emotion=inverse(OSUM_EMOTIONS).get(emotion, emotion) if emotion else None,
        event=values["event"],
        speaker=values["speaker"],
        gender=values["gender"],
        age=values["age"],
        task=task,
        answer=reply,
        extra={**row, **extra},
    )


def _split_text(
    text: str | None, task: str | None, values: dict[str, str | None]
) -> tuple[str | None, str | None]:
    """Text without its tags, which go into `values`, and the reply of a chat."""
    names = [name for name in _LABELS if name in (task or "").split("_")]
    if text is None or task == "asr_chat":
        said, _, reply = (text or "").partition(_REPLY)
        return said or None, reply or None
    tail = _TAGS.search(text)
    tags = re.findall(r"<([^<>]+)>", tail[0]) if tail else []
    if names and tail and len(tags) == len(names):
        values.update({n: _clean(t) for n, t in zip(names, tags, strict=True)})
        text = text[: tail.start()]
    return text or None, None


def _clean(value: str | None) -> str | None:
    value = value.strip().removeprefix("<").removesuffix(">").lower() if value else None
    return None if value is None or value in _NONE else value


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    return write_rows(path, (_row(utterance, notes) for utterance in utterances))


def _row(utterance: Utterance, notes: Notes) -> dict[str, Any]:
    task = utterance.task or "asr"
    names = [name for name in _LABELS if name in task.split("_")]
    notes.add_lost(utterance, {*_HOLDS, *names, "extra", *(("answer",) if "chat" in task else ())})
    emotion = OSUM_EMOTIONS.get(utterance.emotion or "", utterance.emotion)
    values = {
        "emotion": emotion,
        "event": utterance.event,
        "style": utterance.extra.get("style"),
        "age": utterance.age,
        "gender": utterance.gender,
    }
    text = utterance.text or "" if "asr" in task.split("_") or not names else ""
    for name in names:
        if not isinstance(values[name], str):
            raise ManifestError(f"{utterance.id}: task {task} needs {name} as a word")
        text += f"<{values[name]}>"
    if task == "asr_chat":
        text += _REPLY + (utterance.answer or "")
    extra = {k: v for k, v in utterance.extra.items() if k != "style" or "style" not in names}
    if utterance.duration_s is not None:
        extra["duration"] = utterance.duration_s
    return {
        "task": _TASKS.get(task, task),
        "key": utterance.id,
        "wav": file_of(utterance, "osum"),
        "txt": text,
        "lang": "cn" if utterance.language == "zh" else utterance.language or "none",
        "speaker": utterance.speaker or "none",
        "emotion": emotion or "none",
        "gender": utterance.gender or "none",
        "extra": extra,
    }


FORMAT = Format(_read, _write, _HOLDS)
