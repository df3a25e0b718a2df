"""What every format has: a reader, a writer, and an account of what it could not hold."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooer.data.supervision import FIELDS, KEYS, Utterance
from mooer.errors import ManifestError
from mooer.registry import Table

FORMATS = Table(
    "data_format",
    {
        "manifest": "mooer.data.formats.manifest:FORMAT",
        "kaldi": "mooer.data.formats.kaldi:FORMAT",
        "mooer-shards": "mooer.data.formats.mooer_shards:FORMAT",
        "mooer-jsonl": "mooer.data.formats.mooer_jsonl:FORMAT",
        "sensevoice": "mooer.data.formats.sensevoice:FORMAT",
        "osum": "mooer.data.formats.osum:FORMAT",
        "chatml": "mooer.data.formats.chatml:FORMAT",
        "salmonn": "mooer.data.formats.salmonn:FORMAT",
        "emilia": "mooer.data.formats.emilia:FORMAT",
        "lhotse": "mooer.data.formats.lhotse:FORMAT",
    },
)

_ALWAYS = frozenset({"id", "audio", "shard", "offset_bytes", "num_bytes"})  # where it is


class Notes:
    """Counts of what a conversion left out or changed, for one line each at its end."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, what: str) -> None:
        """Count one more of this."""
        self._counts[what] += 1

    def add_lost(self, utterance: Utterance, holds: Iterable[str]) -> None:
        """Count what is known of an utterance and the format does not hold.

        `holds` are fields of `Utterance`; "extra" among them means all other keys.
        """
        held = _ALWAYS.union(holds)
        for name in FIELDS:
            if name not in held and getattr(utterance, name) is not None:
                self.add(f"{KEYS[name]}: not held by the format")
        if "extra" not in held:
            for key, value in utterance.extra.items():
                if value is not None:
                    self.add(f"{key}: not held by the format")

    def lines(self) -> list[str]:
        """Each with its count, the most frequent first."""
        return [f"{number} x {what}" for what, number in self._counts.most_common()]


@dataclass(frozen=True)
class Format:
    """A reader and a writer. What `write` takes is a file, or a folder where it says so."""

    read: Callable[[Path, Notes], Iterator[Utterance]]
    write: Callable[[Path, Iterable[Utterance], Notes], int]
    holds: frozenset[str]  # fields that come back; "extra" for all other keys
    writes_folder: bool = False


# --- what several formats share -----------------------------------------------------------------

_EMOTIONS = {  # word of ours -> of OSUM, of SenseVoice
    "angry": ("anger", "ANGRY"),
    "disgust": ("disgust", "DISGUSTED"),
    "fearful": ("fear", "FEARFUL"),
    "happy": ("happy", "HAPPY"),
    "neutral": ("neutral", "NEUTRAL"),
    "sad": ("sad", "SAD"),
    "surprised": ("surprise", "SURPRISED"),
}
OSUM_EMOTIONS = {ours: theirs for ours, (theirs, _) in _EMOTIONS.items()}
SENSEVOICE_EMOTIONS = {ours: theirs for ours, (_, theirs) in _EMOTIONS.items()}


def inverse(table: dict[str, str]) -> dict[str, str]:
    """Values to keys."""
    return {value: key for key, value in table.items()}


def located_path(folder: Path, path: str) -> str:
    """A path of a list: from the list's folder, or from the working folder if it is only there."""
    beside = folder / path
    return str(Path(path)) if not beside.exists() and Path(path).exists() else str(beside)


def file_of(utterance: Utterance, name: str, *, parts: bool = False) -> str:
    """Absolute path of a recording, for a format that can name nothing but files.

    ManifestError for a member of a shard, and unless `parts` for a part of a recording.
    """
    if utterance.shard is not None:
        raise ManifestError(
            f"{utterance.id} stands in a shard, which {name} cannot name: "
            "add --extract DIR to write its sound there"
        )
    if utterance.more_audio:
        raise ManifestError(
            f"{utterance.id} has several recordings, which {name} cannot name: "
            "write a manifest or chatml, or leave it out"
        )
    if utterance.start_s is not None and not parts:
        raise ManifestError(
            f"{utterance.id} is a part of a recording, which {name} cannot name: "
            "add --extract DIR to write its sound there"
        )
    return os.path.abspath(utterance.audio)  # noqa: PTH100 (resolve would follow links)


def string(row: dict[str, Any], key: str, place: str) -> str | None:
    """A value that must be a string, or null; it is taken out of the row."""
    value = row.pop(key, None)
    if value is None or isinstance(value, str):
        return value
    raise ManifestError(f'{place}: "{key}" must be a string, got {value!r}')


def needed(row: dict[str, Any], key: str, place: str) -> str:
    """A string that must be there, and not empty."""
    value = string(row, key, place)
    if not value:
        raise ManifestError(f'{place} has no "{key}": add it')
    return value


def number(row: dict[str, Any], key: str, place: str) -> float | None:
    """A number of 0 or more, or null."""
    value = row.pop(key, None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ManifestError(f'{place}: "{key}" must be a number of 0 or more, got {value!r}')
    return value


def find_format(path: Path) -> str:
    """The format of a file or folder, by what stands in it. ManifestError if nothing fits."""
    if path.name == "wav.scp" or (path / "wav.scp").exists():
        return "kaldi"
    if path.suffix in (".tar", ".list") or (path.is_dir() and any(path.glob("*.tar"))):
        return "emilia" if path.is_dir() and any(path.glob("*.jsonl")) else "mooer-shards"
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16)
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror or error}") from error
    if path.name.endswith(".jsonl.gz"):
        return "lhotse"
    if b'"annotation"' in start and path.suffix == ".json":
        return "salmonn"
    try:
        row = json.loads(start.split(b"\n", 1)[0])
    except ValueError:
        row = None
    for name, keys in _MARKS.items():
        if isinstance(row, dict) and keys <= row.keys():
            return name
    raise ManifestError(f"{path} looks like no known list: name its format by --from")


_MARKS = {
    "lhotse": {"recording", "start"},
    "chatml": {"messages"},
    "sensevoice": {"source", "target"},
    "osum": {"wav", "txt", "task"},
    "mooer-jsonl": {"wav", "txt"},
    "emilia": {"wav", "text"},
    "manifest": {"audio"},
}
