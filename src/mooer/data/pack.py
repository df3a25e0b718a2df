"""Pack a manifest into shards with several processes; what is finished stays after a stop."""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mooer.audio.opus import write_opus
from mooer.audio.wave import SAMPLE_RATE_HZ, write_wave
from mooer.data.journal import agree_on_settings
from mooer.data.jsonl import write_rows
from mooer.data.lines import Lines
from mooer.data.manifest import safe_stem
from mooer.data.processes import process_pool
from mooer.data.sound import PartReader, file_bytes
from mooer.data.supervision import Utterance, iter_manifest, to_row, write_manifest
from mooer.data.tar import TarWriter
from mooer.errors import AudioError, ManifestError, MooerError, OutputError

logger = logging.getLogger(__name__)

Codec = Literal["original", "flac", "opus"]
CODECS: dict[str, Codec] = {"flac": "flac", "opus": "opus", "original": "original"}


@dataclass(frozen=True)
class PackOptions:
    """How shards are written."""

    per_shard: int = 1000
    codec: Codec = "flac"  # 16 kHz mono; "original": the file's own bytes, whatever they are
    on_error: Literal["raise", "skip"] = "raise"
    num_workers: int = 1


@dataclass
class Packed:
    """What was written."""

    num_shards: int = 0
    num_utterances: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # by reason


def pack(
    manifest: Path,
    out: Path,
    options: PackOptions = PackOptions(),
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Packed:
    """Write OUT/shard-00000.tar with its .jsonl, and so on, and OUT/manifest.jsonl over all.

    A shard's list is written last: what has one is finished, and is not made again. Utterances
    that are a part of a recording are cut out of it. ManifestError or AudioError for what cannot
    be read, unless it is skipped; ConfigError if OUT was begun from another manifest or otherwise.
    """
    lines = Lines(manifest)
    settings = {
        "manifest": str(manifest.absolute()),
        "num_utterances": len(lines),
        "per_shard": options.per_shard,
        "codec": options.codec,
    }
    agree_on_settings(out / "shards.json", settings)
    num_shards = -(-len(lines) // options.per_shard)
    tars = [out / f"shard-{number:05d}.tar" for number in range(num_shards)]
    jobs = (
        _Job(_slice(lines, number * options.per_shard, options.per_shard), tar, options)
        for number, tar in enumerate(tars)
    )
    packed = Packed(num_shards=num_shards)
    done = 0
    for num_in, skipped in _run(jobs, options.num_workers):
        done += num_in
        packed.skipped.update(skipped)
        on_progress(done, len(lines))
    packed.num_utterances = write_manifest(out / "manifest.jsonl", _all(map(_list_of, tars)))
    return packed


def _all(lists: Iterable[Path]) -> Iterator[Utterance]:
    for path in lists:
        for utterance, _ in iter_manifest(path):
            yield utterance


def _slice(lines: Lines, start: int, number: int) -> tuple[Utterance, ...]:
    return tuple(lines[i] for i in range(start, min(len(lines), start + number)))


def _list_of(tar: Path) -> Path:
    return tar.with_suffix(".jsonl")


@dataclass(frozen=True)
class _Job:
    utterances: tuple[Utterance, ...]
    tar: Path
    options: PackOptions


_Done = tuple[int, Counter[str]]  # utterances looked at, and what was skipped


def _run(jobs: Iterator[_Job], num_workers: int) -> Iterator[_Done]:
    """What each job did, when it is done; few are read ahead."""
    if num_workers <= 1:
        yield from map(_write, jobs)
        return
    with process_pool(num_workers) as pool:
        waiting = {pool.submit(_write, job) for job in itertools.islice(jobs, 2 * num_workers)}
        try:
            while waiting:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                waiting |= {pool.submit(_write, job) for job in itertools.islice(jobs, len(ended))}
                for future in ended:
                    yield future.result()
        except BrokenExecutor as error:
            raise AudioError("a process that packs has died: memory may be short") from error
        finally:
            for future in waiting:
                future.cancel()


def _write(job: _Job) -> _Done:
    skipped: Counter[str] = Counter()
    if _list_of(job.tar).exists():
        return len(job.utterances), skipped
    rows: list[Utterance] = []
    names: set[str] = set()
    temporary = job.tar.with_name(f".{job.tar.name}.part")
    try:
        with temporary.open("wb") as file, closing(PartReader()) as read:
            writer = TarWriter(file)
            for utterance in job.utterances:
                try:
                    suffix, data, duration_s = _encode(utterance, job.options.codec, read)
                except (AudioError, ManifestError) as error:
                    if job.options.on_error == "raise":
                        raise type(error)(f"{utterance.id}: {error}") from error
                    skipped[type(error).__name__] += 1
                    logger.warning("skipped %s: %s", utterance.id, error)
                    continue
                member = writer.add(_unique(utterance.id, suffix, names), data)
                rows.append(
                    replace(
                        utterance,
                        audio=member.name,
                        shard=job.tar.name,
                        offset_bytes=member.offset_bytes,
                        num_bytes=member.num_bytes,
                        start_s=None,
                        duration_s=duration_s,
                    )
                )
            writer.close()
        if not rows:
            raise ManifestError(f"{job.tar} would be empty: none of its recordings could be read")
        temporary.replace(job.tar)
        write_rows(_list_of(job.tar), map(to_row, rows))
    except OSError as error:
        if isinstance(error, MooerError):
            raise
        raise OutputError(f"cannot write {job.tar}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return len(job.utterances), skipped


def _unique(id: str, suffix: str, taken: set[str]) -> str:
    stem = name = safe_stem(id)
    number = 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name + suffix


def _encode(
    utterance: Utterance, codec: Codec, read: PartReader
) -> tuple[str, bytes, float | None]:
    """Suffix, bytes and duration of what goes into the tar."""
    if utterance.more_audio:
        raise ManifestError("it has several recordings, and a shard holds one: leave it out")
    if codec == "original" and utterance.start_s is None:
        source = file_bytes(utterance)
        data = source if isinstance(source, bytes) else _file(source)
        return Path(utterance.audio).suffix.lower(), data, utterance.duration_s
    samples = read(utterance)
    suffix = ".opus" if codec == "opus" else ".flac"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"sound{suffix}")
        (write_opus if codec == "opus" else write_wave)(path, samples)
        return suffix, path.read_bytes(), round(len(samples) / SAMPLE_RATE_HZ, 4)


def _file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise AudioError(f"cannot read {path}: {error.strerror or error}") from error
