"""lhotse's cuts, as .jsonl or .jsonl.gz, without lhotse: one MonoCut a line.

What a supervision has no place for goes into its `custom`, so that everything comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mooer.audio.wave import open_wave, read_wave
from mooer.data.formats.base import Format, Notes, file_of, located_path, needed, number, string
from mooer.data.jsonl import read_rows, write_rows
from mooer.data.supervision import FIELDS, Utterance, from_row, to_row
from mooer.errors import ManifestError

_OWN = ("text", "language", "speaker", "gender")  # fields of a supervision
_WHOLE_S = 0.001  # a cut that is off by less is the whole recording


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    for place, row in read_rows(path):
        kind = row.pop("type", "MonoCut")
        if kind != "MonoCut":
            notes.add(f"cuts of type {kind}, passed over")
            continue
        recording = row.pop("recording", None)
        if not isinstance(recording, dict):
            notes.add("cuts without a recording, passed over")
            continue
        audio = _audio(recording, place)
        if audio is None:
            notes.add("cuts whose recording is no single file, passed over")
            continue
        yield from _utterances(row, recording, located_path(path.parent, audio), place)


def _audio(recording: dict[str, Any], place: str) -> str | None:
    sources = recording.get("sources")
    if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
        return None
    source = dict(sources[0])
    return needed(source, "source", place) if source.get("type") == "file" else None


def _utterances(
    cut: dict[str, Any], recording: dict[str, Any], audio: str, place: str
) -> Iterator[Utterance]:
    id, start_s = needed(cut, "id", place), number(cut, "start", place) or 0.0
    duration_s, whole_s = number(cut, "duration", place), number(dict(recording), "duration", place)
    if duration_s is None:
        raise ManifestError(f'{place} has no "duration": add it')
    supervisions = cut.pop("supervisions", None) or []
    if not isinstance(supervisions, list) or not all(isinstance(s, dict) for s in supervisions):
        raise ManifestError(f'{place}: "supervisions" must be a list of objects')
    whole = start_s == 0 and whole_s is not None and abs(duration_s - whole_s) < _WHOLE_S
    if len(supervisions) <= 1:
        known = _known(dict(supervisions[0]) if supervisions else {}, place)
        yield replace(
            known, id=id, audio=audio, start_s=None if whole else start_s, duration_s=duration_s
        )
        return
    for index, supervision in enumerate(supervisions):
        row = dict(supervision)
        name = string(row, "id", place) or f"{id}-{index}"
        begin_s, length_s = number(row, "start", place), number(row, "duration", place)
        yield replace(
            _known(row, place),
            id=name,
            audio=audio,
            start_s=round(start_s + (begin_s or 0.0), 6),
            duration_s=length_s,
        )


def _known(supervision: dict[str, Any], place: str) -> Utterance:
    """What one supervision says, without its place in time."""
    custom = supervision.get("custom")
    row = dict(custom) if isinstance(custom, dict) else {}
    row.update({key: supervision[key] for key in _OWN if supervision.get(key) is not None})
    return from_row({**row, "id": "-", "audio": "-"}, place)


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    return write_rows(path, (_cut(utterance, notes) for utterance in utterances))


def _cut(utterance: Utterance, notes: Notes) -> dict[str, Any]:
    audio = file_of(utterance, "lhotse", parts=True)
    rate_hz, whole_s = _measure(audio)
    start_s = utterance.start_s or 0.0
    if utterance.start_s is None:
        duration_s = whole_s
        if utterance.duration_s is not None and abs(utterance.duration_s - whole_s) >= _WHOLE_S:
            notes.add("duration: not that of the file, which was taken")
    elif utterance.duration_s is None:
        raise ManifestError(f"{utterance.id} has a start but no duration: add it")
    else:
        duration_s = utterance.duration_s
    row = to_row(utterance)
    place = ("id", "audio", "start", "duration")
    custom = {k: v for k, v in row.items() if k not in (*_OWN, *place)}
    recording_id = utterance.id if utterance.start_s is None else Path(audio).stem
    supervision = {
        "id": utterance.id,
        "recording_id": recording_id,
        "start": 0.0,
        "duration": duration_s,
        "channel": 0,
        **{key: row[key] for key in _OWN if key in row},
        **({"custom": custom} if custom else {}),
    }
    return {
        "id": utterance.id,
        "start": start_s,
        "duration": duration_s,
        "channel": 0,
        "supervisions": [supervision],
        "recording": {
            "id": recording_id,
            "sources": [{"type": "file", "channels": [0], "source": audio}],
            "sampling_rate": rate_hz,
            "num_samples": round(whole_s * rate_hz),
            "duration": whole_s,
            "channel_ids": [0],
        },
        "type": "MonoCut",
    }


def _measure(audio: str) -> tuple[int, float]:
    """Sample rate and duration that the header says; counted where it does not."""
    with open_wave(audio) as wave:
        rate_hz, duration_s = wave.rate_hz, wave.duration_s
    return rate_hz, duration_s if duration_s is not None else len(read_wave(audio)) / 16_000


FORMAT = Format(_read, _write, frozenset({*FIELDS, "extra"} - {"more_audio"}))
