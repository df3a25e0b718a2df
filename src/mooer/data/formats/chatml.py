"""Conversations as Qwen2-Audio and ms-swift take them: messages, and the audios heard in them.

An exchange of one question and one reply becomes `prompt` and `answer`; anything longer is kept
whole as `conversation`, with one recording or several. A transcript without a reply is written as
the answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mooer.data.formats.base import Format, Notes, file_of, located_path, string
from mooer.data.jsonl import read_rows, write_rows
from mooer.data.supervision import Turn, Utterance
from mooer.errors import ManifestError
from mooer.tasks.conversation import MARK

_HOLDS = frozenset({"prompt", "answer", "conversation", "more_audio"})


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    for place, row in read_rows(path):
        messages, audios = row.pop("messages", None), row.pop("audios", [])
        if not isinstance(messages, list) or not messages:
            raise ManifestError(f'{place} has no "messages": add them')
        found: list[str] = []
        turns = tuple(_turn(message, found, place) for message in messages)
        audios = [*([audios] if isinstance(audios, str) else audios), *found]
        if not all(isinstance(audio, str) and audio for audio in audios):
            raise ManifestError(f'{place}: "audios" must be a list of paths, got {audios!r}')
        num_marks = sum(turn.text.count(MARK) for turn in turns)
        if num_marks != len(audios):
            raise ManifestError(f"{place} has {num_marks} {MARK} for {len(audios)} audios")
        if not audios:
            notes.add("conversations without a recording, passed over")
            continue
        yield _utterance(turns, [located_path(path.parent, audio) for audio in audios], row, place)


def _turn(message: Any, found: list[str], place: str) -> Turn:
    """One message; content may be a text, or a list of parts, whose audio goes into `found`."""
    role = message.get("role") if isinstance(message, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(role, str) or not isinstance(content, str | list):
        raise ManifestError(f'{place}: a message must be {{"role": ..., "content": ...}}')
    if isinstance(content, str):
        return Turn(role, content)
    text = ""
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "audio":
            found.append(part.get("audio_url") or part.get("audio"))
            text += MARK
        elif kind == "text" and isinstance(part.get("text"), str):
            text += part["text"]
        else:
            raise ManifestError(f"{place}: a part of a message is neither text nor audio: {part!r}")
    return Turn(role, text)


def _utterance(
    turns: tuple[Turn, ...], audios: list[str], row: dict[str, Any], place: str
) -> Utterance:
    audio, *more = audios
    id = string(row, "id", place) or Path(audio).stem
    if not more and [turn.role for turn in turns] == ["user", "assistant"]:
        question, reply = turns
        if question.text.startswith(MARK) and MARK not in reply.text:
            prompt = question.text.removeprefix(MARK)
            return Utterance(id, audio, prompt=prompt or None, answer=reply.text, extra=row)
    return Utterance(id, audio, conversation=turns, more_audio=tuple(more) or None, extra=row)


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    return write_rows(path, (_row(utterance, notes) for utterance in utterances))


def _row(utterance: Utterance, notes: Notes) -> dict[str, Any]:
    turns, lost = utterance.conversation, _HOLDS
    if turns is None:
        answer = utterance.answer
        if answer is None and utterance.text is not None:
            answer, lost = utterance.text, _HOLDS | {"text"}
            notes.add("text: written as the answer")
        if answer is None:
            raise ManifestError(f"{utterance.id} has neither conversation, answer nor text")
        turns = (Turn("user", MARK + (utterance.prompt or "")), Turn("assistant", answer))
    notes.add_lost(utterance, lost)
    first = replace(utterance, more_audio=None)
    more = [os.path.abspath(path) for path in utterance.more_audio or ()]  # noqa: PTH100
    return {
        "id": utterance.id,
        "messages": [{"role": turn.role, "content": turn.text} for turn in turns],
        "audios": [file_of(first, "chatml"), *more],
    }


FORMAT = Format(_read, _write, _HOLDS)
