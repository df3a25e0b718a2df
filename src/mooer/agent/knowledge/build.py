"""Bring the index of a folder up to date: only what changed is read, and what is gone drops out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.agent.knowledge.documents import (
    Found,
    UnreadableError,
    content_of,
    find_documents,
    read_document,
)
from mooer.agent.knowledge.index import Index, Known
from mooer.agent.knowledge.passages import CutOptions, Passage, cut
from mooer.errors import ConfigError

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]
_BATCH = 64  # passages between two reports of progress


class Embeds(Protocol):
    """Turns texts into vectors of unit length; `mooer.engines.embedder.Embedder` does."""

    name: str
    width: int

    def queries(self, texts: Sequence[str]) -> Floats:
        """Vectors [N, W] of questions."""
        ...

    def passages(self, texts: Sequence[str]) -> Floats:
        """Vectors [N, W] of what they are looked for in."""
        ...


@dataclass(frozen=True)
class Built:
    """What a run has done."""

    num_files: int = 0  # that can be searched now
    num_passages: int = 0
    num_read: int = 0  # files, in this run
    num_embedded: int = 0  # passages, in this run
    num_dropped: int = 0  # files that are gone
    left_out: dict[str, str] = field(default_factory=dict)  # names and why


Progress = Callable[[int, int, str], None]


def build(
    folder: Path,
    index: Index,
    embedder: Embeds,
    *,
    options: CutOptions | None = None,
    on_progress: Progress | None = None,
) -> Built:
    """Read what is new or changed below `folder` into the index; `on_progress` is told bytes.

    A file is known by its size and time, and by its sha256 where these differ. ConfigError if the
    folder cannot be listed; StoreError if the index cannot be written. What can not be read of it
    is left out by name.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder: name the one that holds the documents")
    found = list(find_documents(folder))
    before = index.files()
    gone = [name for name in before if name not in {one.name for one in found}]
    index.drop(gone)
    total = sum(one.num_bytes for one in found if not one.error)
    done = 0
    built = Built(num_dropped=len(gone))
    for one in found:
        known = before.get(one.name)
        why = ""
        if one.error or not _is_same(one, known):
            why, num_embedded = _take(one, known, index, embedder, options)
            built = replace(
                built,
                num_read=built.num_read + (not why),
                num_embedded=built.num_embedded + num_embedded,
            )
        if why:
            built.left_out[one.name] = why
        done += 0 if one.error else one.num_bytes
        if on_progress:
            on_progress(done, total, one.name)
    return replace(
        built, num_files=len(found) - len(built.left_out), num_passages=index.num_passages()
    )


def _is_same(found: Found, known: Known | None) -> bool:
    if known is None or known.error:  # what could not be read may be readable now
        return False
    return (known.num_bytes, known.mtime_ns) == (found.num_bytes, found.mtime_ns)


def _take(
    found: Found,
    known: Known | None,
    index: Index,
    embedder: Embeds,
    options: CutOptions | None,
) -> tuple[str, int]:
    """Read one file into the index: why it is left out, and how many passages were embedded."""
    file = Known(found.name, found.num_bytes, found.mtime_ns, "")
    passages: list[Passage] = []
    why = found.error
    if not why:
        try:
            content = content_of(found)
            file = replace(file, sha256=hashlib.sha256(content).hexdigest())
            if known is not None and known.sha256 == file.sha256 and not known.error:
                index.touch(file)
                return "", 0
            passages = list(cut(read_document(found.path, content), options))
            why = "" if passages else "no text in it"
        except UnreadableError as error:
            why = str(error)
    if why:
        logger.warning("%s is left out: %s", found.name, why)
    vectors, num_embedded = _embedded(passages, index.vectors_of(found.name), index, embedder)
    index.put(replace(file, error=why), passages, vectors)
    return why, num_embedded


def _embedded(
    passages: Sequence[Passage],
    before: dict[tuple[str, str], Floats],
    index: Index,
    embedder: Embeds,
) -> tuple[Floats, int]:
    """Vectors [N, W] of passages, of those that stood in the file before from there."""
    vectors = np.zeros((len(passages), index.width), np.float32)
    new: list[int] = []
    for i, passage in enumerate(passages):
        known = before.get((passage.heading, passage.text))
        if known is None:
            new.append(i)
        else:
            vectors[i] = known
    for start in range(0, len(new), _BATCH):
        some = new[start : start + _BATCH]
        texts = [f"{passages[i].heading}\n{passages[i].text}".strip() for i in some]
        vectors[some] = embedder.passages(texts)
    return vectors, len(new)
