"""MooER's tar shards: KEY.txt and KEY.wav side by side; read in place, without unpacking.

Read from a tar, a folder of tars or a list (data.list); written as a folder with its data.list.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from mooer.audio.wave import write_wave
from mooer.data.formats.base import Format, Notes
from mooer.data.formats.groups import SUFFIXES, groups, tars
from mooer.data.jsonl import write_lines
from mooer.data.sound import file_bytes, read_sound
from mooer.data.supervision import Utterance
from mooer.data.tar import TarWriter
from mooer.errors import AudioError, ManifestError, OutputError

_HOLDS = frozenset({"text"})
_PER_SHARD = 1000


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    for tar in tars(path):
        for group in groups(tar, notes):
            assert group.sound is not None
            text = group.texts.pop("txt", None)
            if text is None:
                notes.add("recordings without a .txt")
            yield Utterance(
                group.key,
                group.sound.name,
                text=text,
                shard=group.tar,
                offset_bytes=group.sound.offset_bytes,
                num_bytes=group.sound.num_bytes,
                extra=dict(group.texts),
            )


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    source = iter(utterances)
    names: list[str] = []
    total = 0
    while some := list(islice(source, _PER_SHARD)):
        target = path / f"shards_{len(names):09d}.tar"
        _write_tar(target, some, notes)
        names.append(os.path.abspath(target))  # noqa: PTH100
        total += len(some)
    write_lines(path / "data.list", names)
    return total


def _write_tar(target: Path, utterances: list[Utterance], notes: Notes) -> None:
    temporary = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            writer = TarWriter(file)
            for utterance in utterances:
                notes.add_lost(utterance, {*_HOLDS, "start_s"})
                key = utterance.id
                if key.startswith("/") or ".." in key.split("/") or "\\" in key:
                    raise ManifestError(f"{key!r} cannot be a name in a tar: give it another id")
                suffix, data = _sound(utterance)
                writer.add(f"{key}.txt", (utterance.text or "").encode())
                writer.add(f"{key}{suffix}", data)
            writer.close()
        temporary.replace(target)
    except OSError as error:
        if isinstance(error, AudioError):
            raise
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sound(utterance: Utterance) -> tuple[str, bytes]:
    """Its own bytes where the format knows the suffix; otherwise, and of a part, wav."""
    suffix = Path(utterance.audio).suffix.lower()
    if utterance.start_s is None and suffix[1:] in SUFFIXES:
        source = file_bytes(utterance)
        return suffix, source if isinstance(source, bytes) else Path(source).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sound.wav")
        write_wave(path, read_sound(utterance))
        return ".wav", path.read_bytes()


FORMAT = Format(_read, _write, _HOLDS, writes_folder=True)
