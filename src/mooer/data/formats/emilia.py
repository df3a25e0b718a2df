"""Emilia: a JSONL with text, speaker and dnsmos for each batch, and its sounds in a tar or folder.

Also the later layout, tars with NAME.json beside NAME.mp3. A compressed tar must be unpacked to
.tar first, since nothing in it can be read in place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from mooer.data.formats.base import Format, Notes, needed, number, string
from mooer.data.formats.groups import groups
from mooer.data.jsonl import read_rows, write_rows
from mooer.data.manifest import safe_stem
from mooer.data.sound import file_bytes
from mooer.data.supervision import Utterance
from mooer.data.tar import Member, TarWriter, members
from mooer.errors import ManifestError, OutputError

_HOLDS = frozenset({"text", "duration_s", "speaker", "language", "dnsmos"})


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    if path.is_dir():
        lists = sorted(path.rglob("*.jsonl")) or sorted(path.rglob("*.tar"))
        if not lists:
            raise ManifestError(f"{path} holds neither .jsonl nor .tar: it is no set of Emilia")
        for one in lists:
            yield from _read(one, notes)
    elif path.suffix == ".tar":
        yield from _read_pairs(path, notes)
    else:
        yield from _read_list(path, notes)


def _read_pairs(path: Path, notes: Notes) -> Iterator[Utterance]:
    for group in groups(str(path), notes):
        place = f"{path}: {group.key}.json"
        try:
            row = json.loads(group.texts.get("json", "null"))
        except ValueError as error:
            raise ManifestError(f"{place} is not JSON ({error})") from error
        if not isinstance(row, dict):
            notes.add("sounds without a .json, passed over")
            continue
        row.pop("wav", None)
        assert group.sound is not None
        yield _in_tar(_utterance(row, group.sound.name, place), group.tar, group.sound)


def _read_list(path: Path, notes: Notes) -> Iterator[Utterance]:
    tars: dict[str, dict[str, Member]] = {}
    for place, row in read_rows(path):
        wav = needed(row, "wav", place)
        beside = path.parent / wav
        if beside.exists():
            yield _utterance(row, str(beside), place)
            continue
        tar = path.parent / f"{PurePosixPath(wav).parts[0]}.tar"
        if str(tar) not in tars:
            _must_exist(tar, beside, place)
            tars[str(tar)] = {member.name.removeprefix("./"): member for member in members(tar)}
        found = tars[str(tar)]
        member = found.get(wav) or found.get(wav.partition("/")[2])
        if member is None:
            notes.add("lines whose sound is in no tar, passed over")
            continue
        where = os.path.abspath(tar)  # noqa: PTH100
        yield _in_tar(_utterance(row, member.name, place), where, member)


def _must_exist(tar: Path, beside: Path, place: str) -> None:
    if tar.exists():
        return
    packed = [p for p in (tar.with_suffix(".tar.gz"), tar.with_suffix(".tgz")) if p.exists()]
    if packed:
        raise ManifestError(f"{packed[0]} is compressed, and cannot be read in place: gunzip it")
    raise ManifestError(f"{place}: there is neither {beside} nor {tar}")


def _utterance(row: dict[str, Any], audio: str, place: str) -> Utterance:
    language = string(row, "language", place)
    return Utterance(
        needed(row, "id", place),
        audio,
        duration_s=number(row, "duration", place),
        text=(string(row, "text", place) or "").strip() or None,
        language=language.lower() if language else None,
        speaker=string(row, "speaker", place),
        dnsmos=number(row, "dnsmos", place),
        extra=row,
    )


def _in_tar(utterance: Utterance, tar: str, member: Member) -> Utterance:
    return replace(
        utterance, shard=tar, offset_bytes=member.offset_bytes, num_bytes=member.num_bytes
    )


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    """One batch a language: ZH_B00000.jsonl and ZH_B00000.tar, with the sounds' own bytes."""
    rows: dict[str, list[dict[str, Any]]] = {}
    number = 0
    try:
        path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            writers: dict[str, TarWriter] = {}
            for number, utterance in enumerate(utterances, 1):  # noqa: B007 (it is returned)
                batch = f"{safe_stem(utterance.language or 'und').upper()}_B00000"
                if batch not in writers:
                    file = stack.enter_context((path / f".{batch}.tar.part").open("wb"))
                    writers[batch] = TarWriter(file)
                row, name, data = _row(utterance, batch, notes)
                writers[batch].add(name, data)
                rows.setdefault(batch, []).append(row)
            for writer in writers.values():
                writer.close()
        for batch, some in rows.items():
            (path / f".{batch}.tar.part").replace(path / f"{batch}.tar")
            write_rows(path / f"{batch}.jsonl", some)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for part in path.glob(".*.tar.part"):
            part.unlink(missing_ok=True)
    return number


def _row(utterance: Utterance, batch: str, notes: Notes) -> tuple[dict[str, Any], str, bytes]:
    if utterance.start_s is not None:
        raise ManifestError(
            f"{utterance.id} is a part of a recording, which emilia cannot name: "
            "add --extract DIR to write its sound there"
        )
    notes.add_lost(utterance, {*_HOLDS, "extra"})
    suffix = Path(utterance.audio).suffix.lower()
    folder = safe_stem(utterance.speaker or "unknown")
    name = f"{batch}/{folder}/{suffix[1:] or 'bin'}/{safe_stem(utterance.id)}{suffix}"
    source = file_bytes(utterance)
    known = {
        "id": utterance.id,
        "wav": name,
        "text": utterance.text,
        "duration": utterance.duration_s,
        "speaker": utterance.speaker,
        "language": utterance.language,
        "dnsmos": utterance.dnsmos,
    }
    row = {**utterance.extra, **{k: v for k, v in known.items() if v is not None}}
    return row, name, source if isinstance(source, bytes) else Path(source).read_bytes()


FORMAT = Format(_read, _write, _HOLDS | {"extra"}, writes_folder=True)
