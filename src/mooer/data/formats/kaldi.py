"""Kaldi's data folder: wav.scp, text, segments, utt2spk, utt2dur, utt2lang, spk2gender.

Lines are sorted by id, as Kaldi asks. A recording whose segment has its own id and begins at 0 is
read as a whole recording.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from mooer.data.formats.base import Format, Notes, file_of
from mooer.data.jsonl import write_lines
from mooer.data.manifest import read_scp
from mooer.data.supervision import Utterance
from mooer.errors import ManifestError

_GENDERS = {"f": "female", "m": "male"}
_HOLDS = frozenset({"start_s", "duration_s", "text", "language", "speaker", "gender"})


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    folder = path if path.is_dir() else path.parent
    recordings = {item.id: item.path for item in read_scp(folder / "wav.scp")}
    texts, speakers, languages = (_table(folder / n) for n in ("text", "utt2spk", "utt2lang"))
    durations = {
        id: _seconds(value, folder / "utt2dur") for id, value in _table(folder / "utt2dur").items()
    }
    genders = _table(folder / "spk2gender")
    known = set()
    for id, recording, start_s, duration_s in _spans(folder, recordings):
        known.add(id)
        if recording not in recordings:
            raise ManifestError(
                f"{folder}/segments: wav.scp has no {recording!r}, which {id} is of"
            )
        if texts and id not in texts:
            notes.add("recordings without a line in text")
        speaker = speakers.get(id)
        gender = genders.get(speaker) if speaker else None
        yield Utterance(
            id,
            recordings[recording],
            start_s=start_s,
            duration_s=durations.get(id, duration_s),
            text=texts.get(id),
            language=languages.get(id),
            speaker=speaker,
            gender=_GENDERS.get(gender, gender) if gender else None,
        )
    for id in texts:
        if id not in known:
            notes.add("lines of text without a recording")


def _spans(
    folder: Path, recordings: dict[str, str]
) -> Iterator[tuple[str, str, float | None, float | None]]:
    """Id, recording, start and duration of each utterance."""
    if not (folder / "segments").exists():
        yield from ((id, id, None, None) for id in recordings)
        return
    for id, value in _table(folder / "segments").items():
        recording, *times = value.split()
        if len(times) != 2:
            raise ManifestError(f"{folder}/segments: write 'id recording start end', got {value!r}")
        start_s, end_s = (_seconds(time, folder / "segments") for time in times)
        if end_s <= start_s:
            raise ManifestError(f"{folder}/segments: {id} ends at {end_s} s, before its start")
        whole = recording == id and start_s == 0
        yield id, recording, None if whole else start_s, round(end_s - start_s, 6)


def _seconds(text: str, path: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ManifestError(f"{path} must give seconds, got {text!r}")
    return value


def _table(path: Path) -> dict[str, str]:
    """Id -> the rest of its line; empty if there is no such file."""
    if not path.exists():
        return {}
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read {path}: {error}") from error
    rows: dict[str, str] = {}
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        id, *rest = line.split(maxsplit=1)
        if id in rows:
            raise ManifestError(f"{path} line {number} has {id!r} again: give each id one line")
        rows[id] = rest[0].strip() if rest else ""
    return rows


_FILES = ("wav.scp", "text", "segments", "utt2spk", "utt2dur", "utt2lang", "spk2gender")


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    files: dict[str, dict[str, str]] = {name: {} for name in _FILES}
    spans: list[tuple[Utterance, str]] = []
    for utterance in utterances:
        notes.add_lost(utterance, _HOLDS)
        audio = file_of(utterance, "kaldi", parts=True)
        recording = _word(utterance.id)
        if utterance.start_s is not None:
            recording = hashlib.sha256(audio.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        files["wav.scp"][recording] = audio
        spans.append((utterance, recording))
        _describe(utterance, files, notes)
    if any(utterance.start_s is not None for utterance, _ in spans):
        for utterance, recording in spans:
            if utterance.end_s is None:
                raise ManifestError(f"{utterance.id} has no duration, which segments need")
            times = f"{utterance.start_s or 0.0!r} {round(utterance.end_s, 6)!r}"
            files["segments"][utterance.id] = f"{recording} {times}"
    for name, rows in files.items():
        (path / name).unlink(missing_ok=True)  # of an earlier conversion
        if rows:
            write_lines(path / name, (f"{id} {value}" for id, value in _sorted(rows)))
    return len(spans)


def _describe(utterance: Utterance, files: dict[str, dict[str, str]], notes: Notes) -> None:
    id = utterance.id
    if utterance.text is not None:
        files["text"][id] = " ".join(utterance.text.split("\n"))
    if utterance.speaker is not None:
        files["utt2spk"][id] = _word(utterance.speaker)
    if utterance.duration_s is not None:
        files["utt2dur"][id] = f"{utterance.duration_s!r}"
    if utterance.language is not None:
        files["utt2lang"][id] = _word(utterance.language)
    if utterance.gender is not None and utterance.speaker is not None:
        files["spk2gender"][utterance.speaker] = utterance.gender[:1]
    elif utterance.gender is not None:
        notes.add("gender: not held without a speaker")


def _sorted(rows: dict[str, str]) -> list[tuple[str, str]]:
    return sorted(rows.items(), key=lambda row: row[0].encode())


def _word(name: str) -> str:
    if len(name.split()) != 1 or name != name.strip():
        raise ManifestError(
            f"{name!r} has spaces or is empty, which ids of kaldi cannot: rename it"
        )
    return name


FORMAT = Format(_read, _write, _HOLDS, writes_folder=True)
