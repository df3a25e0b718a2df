"""SALMONN's list: {"annotation": [{"path": ..., "text": ..., "task": ..., "Q": ...}]}.

What `text` says is the task's: a transcript, a translation, an emotion, or an answer to `Q`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mooer.data.formats.base import Format, Notes, file_of, inverse, located_path, needed, string
from mooer.data.supervision import Utterance
from mooer.errors import ManifestError
from mooer.files import write_whole

_TASKS = {
    "asr": "asr",
    "asr_zh": "asr_zh",
    "asr_de": "asr_de",
    "ast_zh": "translation_ec",
    "ast_ja": "translation_en2ja",
    "ast_de": "translation_en2de",
    "emotion": "emotion_recognition",
    "gender": "gender_recognition",
    "caption": "audiocaption",
    "chat": "QA",
}
_HOLDS = frozenset({"prompt", "task"})  # and the field that the task fills


def _field(task: str) -> str:
    """The field of ours that `text` fills."""
    kind = task.partition("_")[0]
    return {"asr": "text", "ast": "translation", "emotion": "emotion", "gender": "gender"}.get(
        kind, "answer"
    )


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot read {path}: {error}") from error
    rows = content.get("annotation") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise ManifestError(f'{path} has no "annotation" with a list: it is no list of SALMONN')
    seen: dict[str, int] = {}
    for index, given in enumerate(rows):
        place = f"{path} annotation {index}"
        if not isinstance(given, dict):
            raise ManifestError(f"{place} is no object")
        row = dict(given)
        audio = needed(row, "path", place)
        theirs, text = string(row, "task", place) or "asr", string(row, "text", place)
        task = inverse(_TASKS).get(theirs, theirs)
        stem = Path(audio).stem
        seen[stem] = seen.get(stem, 0) + 1
        yield Utterance(
            stem if seen[stem] == 1 else f"{stem}-{seen[stem]}",
            located_path(path.parent, audio),
            task=task,
            prompt=string(row, "Q", place),
            **{_field(task): text},  # type: ignore[arg-type]
            extra=row,
        )


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    rows = [_row(utterance, notes) for utterance in utterances]
    write_whole(path, json.dumps({"annotation": rows}, ensure_ascii=False, indent=1) + "\n")
    return len(rows)


def _row(utterance: Utterance, notes: Notes) -> dict[str, Any]:
    task = utterance.task or ("asr" if utterance.answer is None else "chat")
    name = _field(task)
    notes.add_lost(utterance, {*_HOLDS, name})
    text = getattr(utterance, name)
    if text is None:
        raise ManifestError(f"{utterance.id}: task {task} needs its {name}, which is not known")
    audio = file_of(utterance, "salmonn")
    if Path(audio).stem != utterance.id:
        notes.add("id: SALMONN has none, it will be the name of the file")
    row = {"path": audio, "text": text, "task": _TASKS.get(task, task)}
    return row if utterance.prompt is None else {**row, "Q": utterance.prompt}


FORMAT = Format(_read, _write, _HOLDS)
