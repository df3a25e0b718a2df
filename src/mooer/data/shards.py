"""Shards: tars of recordings, each with a JSONL list beside it, read from front to back.

Read in order, a shard is one long read of one file, which is what network and spinning disks do
best; and by their lists the same recordings can be read one by one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from mooer.data.sound import member_of
from mooer.data.stages import Example, Share, State, check_size, order_of
from mooer.data.supervision import Utterance, iter_manifest
from mooer.data.tar import read_member
from mooer.errors import ManifestError

logger = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]


def find_shards(folder: Path) -> tuple[str, ...]:
    """The lists of a folder's shards, sorted. ManifestError if there are none."""
    found = sorted(
        str(path) for path in folder.glob("*.jsonl") if path.with_suffix(".tar").exists()
    )
    if not found:
        raise ManifestError(
            f"{folder} holds no shards (a.tar beside a.jsonl): make them by `mooer data shard`"
        )
    return tuple(found)


@dataclass(frozen=True)
class Shards:
    """The recordings of shards with their bytes, shard by shard, these in a new order each epoch.

    `Shuffle` after it mixes within a block. On "skip", a shard that cannot be read to its end is
    left there with a warning and counted in `skipped`; on "raise" it is an error.
    """

    lists: tuple[str, ...]  # the .jsonl of each shard
    task: str = "asr"
    seed: int | None = 0  # None: in the order of `lists`
    epochs: int | None = None  # None: without end
    share: Share = Share()  # noqa: RUF009 (frozen)
    on_error: OnError = "raise"
    skipped: Counter[str] = field(default_factory=Counter, compare=False)

    def stream(self, state: State | None = None) -> Iterator[tuple[Example, State]]:
        """Examples with their sound's bytes."""
        size = len(self.lists)
        epoch, position, skip = 0, 0, 0
        if state is not None:
            check_size(state, size, "shards")
            epoch, position, skip = state["epoch"], state["position"], state["member"]
        while self.epochs is None or epoch < self.epochs:
            order = self.share.of(order_of(size, self.seed, epoch), "shards")
            found = position > 0 or skip > 0
            for i in range(position, len(order)):
                for member, example in self._shard(self.lists[order[i]], epoch, skip):
                    found = True
                    after = {"epoch": epoch, "position": i, "member": member, "size": size}
                    yield example, after
                skip = 0
            if not found:
                raise ManifestError(f"none of {len(order)} shards could be read: see the warnings")
            epoch, position = epoch + 1, 0

    def _shard(self, path: str, epoch: int, skip: int) -> Iterator[tuple[int, Example]]:
        """Examples of a shard after the first `skip`, each with its number, from 1."""
        try:
            for number, (utterance, data) in enumerate(read_shard(path, skip), skip + 1):
                yield number, Example(utterance, self.task, epoch, data=data)
        except ManifestError as error:
            if self.on_error == "raise":
                raise
            self.skipped[path] += 1
            logger.warning("skipped the rest of a shard: %s", error)


def read_shard(path: str, skip: int = 0) -> Iterator[tuple[Utterance, bytes]]:
    """Utterances of a shard's list with the bytes of their sounds, after the first `skip`.

    ManifestError if the list is empty, or the tar is missing, cut off or another one.
    """
    file: BinaryIO | None = None
    opened = ""
    number = 0
    try:
        for number, (utterance, place) in enumerate(iter_manifest(path), 1):
            if utterance.shard is None:
                raise ManifestError(f'{place} names no "shard": it is no list of a shard')
            if number <= skip:
                continue
            if file is None or utterance.shard != opened:
                if file is not None:
                    file.close()
                opened = utterance.shard
                file = _open(opened)
            yield utterance, read_member(file, member_of(utterance), opened)
    finally:
        if file is not None:
            file.close()
    if not number:
        raise ManifestError(f"{path} lists nothing: the shard is empty")


def _open(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror or error}") from error
