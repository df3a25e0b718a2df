"""From one format of lists to another."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from mooer.audio.wave import SAMPLE_RATE_HZ, open_wave, write_wave
from mooer.data.formats import FORMATS, Format, Notes, find_format
from mooer.data.manifest import safe_stem
from mooer.data.sound import file_bytes, read_sound, recordings
from mooer.data.supervision import Utterance
from mooer.errors import AudioError, ManifestError
from mooer.files import write_whole

logger = logging.getLogger(__name__)

_EXACT = ("wav", "flac", "ogg")  # containers whose header tells the duration, and does not guess


def convert(
    source: Path,
    target: Path,
    *,
    source_format: str | None = None,
    target_format: str = "manifest",
    durations: bool = False,
    extract: Path | None = None,
) -> tuple[int, Notes]:
    """Write `source` as `target`; the number of utterances, and what could not be held.

    Without `source_format` it is found by what stands in `source`. `durations` measures those
    that are not known; `extract` is a folder into which members of shards and parts of recordings
    are written as files, for formats that can name nothing else.
    """
    name = source_format or find_format(source)
    reader: Format = FORMATS.load(name)
    writer: Format = FORMATS.load(target_format)
    logger.info("reading %s as %s", source, name)
    notes = Notes()
    utterances = _once(reader.read(source, notes))
    if durations:
        utterances = (measured(utterance) for utterance in utterances)
    if extract is not None:
        utterances = (extracted(utterance, extract) for utterance in utterances)
    if writer.writes_folder and target.is_file():
        raise ManifestError(f"{target} is a file, but {target_format} is a folder: name another")
    number = writer.write(target, utterances, notes)
    return number, notes


def _once(utterances: Iterable[Utterance]) -> Iterator[Utterance]:
    """The same, with an error for an id that comes twice, and for none at all."""
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.id in seen:
            raise ManifestError(f"the id {utterance.id!r} comes twice: give each utterance its own")
        seen.add(utterance.id)
        yield utterance
    if not seen:
        raise ManifestError("nothing was read: the list is empty, or all of it was passed over")


def measured(utterance: Utterance) -> Utterance:
    """With its duration: as the header says, or counted where it does not. AudioError if broken."""
    if utterance.duration_s is not None:
        return utterance
    if utterance.more_audio:
        all_s = [measured(one).duration_s or 0.0 for one in recordings(utterance)]
        return replace(utterance, duration_s=round(sum(all_s), 4))
    try:
        with open_wave(file_bytes(utterance)) as wave:
            duration_s = wave.duration_s if wave.format in _EXACT else None
    except AudioError as error:
        raise AudioError(f"{utterance.id}: {error}") from error
    if duration_s is None:
        duration_s = len(read_sound(replace(utterance, start_s=None))) / SAMPLE_RATE_HZ
    return replace(utterance, duration_s=round(duration_s - (utterance.start_s or 0.0), 4))


def extracted(utterance: Utterance, folder: Path) -> Utterance:
    """Its sound as a file of its own in `folder`, unless it is one already."""
    if utterance.shard is None and utterance.start_s is None:
        return utterance
    name = safe_stem(utterance.id)
    if utterance.start_s is None:
        data = file_bytes(utterance)
        assert isinstance(data, bytes)
        path = folder / f"{name}{Path(utterance.audio).suffix.lower()}"
        write_whole(path, data)
    else:
        path = folder / f"{name}.flac"
        samples = read_sound(utterance)
        folder.mkdir(parents=True, exist_ok=True)
        write_wave(path, samples)
        utterance = replace(utterance, duration_s=round(len(samples) / SAMPLE_RATE_HZ, 4))
    return replace(
        utterance,
        audio=os.path.abspath(path),  # noqa: PTH100
        shard=None,
        offset_bytes=None,
        num_bytes=None,
        start_s=None,
    )
