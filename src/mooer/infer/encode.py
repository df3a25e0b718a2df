"""Recordings to hidden frames of a frozen encoder, each in several ways, resumable.

What stands below the layers that learn is computed once instead of in every epoch (see
`data.stored` for the files). A recording comes as often as `variants` says: first as it is, then
each time with another speed, noise and room, drawn from the seed and its id alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from mooer.audio.augment import WaveAugment
from mooer.data.batching import SAMPLE_RATE_HZ, Budget, cut
from mooer.data.collate import Failure, FeatureReader, Features
from mooer.data.journal import Journal, agree_on_settings
from mooer.data.stages import Example
from mooer.data.stored import STORED
from mooer.data.supervision import Utterance, to_row
from mooer.errors import ConfigError, MissingExtra
from mooer.files import write_whole

logger = logging.getLogger(__name__)

MANIFEST, SETTINGS = "manifest.jsonl", "encode.json"
_PER_RUN = ("variants", "clean")  # options that may differ between runs into one folder
CHANGED = WaveAugment(noise_prob=0.5, room_prob=0.3, gain_db=(-6.0, 6.0))
_FRAMES = Budget(max_frames=4000)  # features that are encoded at once

OnProgress = Callable[[int, int, float], None]  # recordings done, in all, seconds of sound


@dataclass(frozen=True)
class EncodeOptions:
    """How recordings are encoded."""

    encoder: str = "store:whisper-base"  # weights
    layers: int = 6  # of the encoder that are below what will learn
    variants: int = 1
    clean: bool = True  # the first variant too: recordings as they are
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)  # of all variants but the first
    seed: int = 0
    max_s: float = 20.0  # longer ones are left out
    per_file: int = 400  # recordings

    def __post_init__(self) -> None:
        if min(self.variants, self.per_file, self.layers) < 1:
            raise ConfigError(f"variants, per_file and layers must be at least 1, got {self}")
        if self.variants == 1 and not self.clean:
            raise ConfigError("without the clean variant there is nothing: ask for variants of 2")


@dataclass
class EncodeReport:
    """What a run did."""

    num_rows: int = 0  # in the manifest now
    seconds: float = 0.0  # of sound in it
    wall_s: float = 0.0
    failed: int = 0


def encode(
    utterances: Sequence[Utterance],
    out: Path,
    options: EncodeOptions,
    *,
    on_progress: OnProgress | None = None,
) -> EncodeReport:
    """Write the frames of `utterances` into the folder `out`, going on where an earlier run was.

    ConfigError if the folder was begun with other settings, OutputError if it cannot be written.
    """
    began_s = time.perf_counter()
    encoder = _encoder(options)
    settings = {k: v for k, v in asdict(options).items() if k not in _PER_RUN}
    agree_on_settings(out / SETTINGS, settings)
    wanted = list(examples(utterances, options))
    report = EncodeReport()
    with Journal(out / MANIFEST) as journal:
        left = [e for e in wanted if e.utterance.id not in journal.rows]
        report.num_rows = len(journal.rows)
        report.seconds = sum(float(row["duration"]) for row in journal.rows.values())
        number = len(list(out.glob("[0-9]*.npy")))
        for start in range(0, len(left), options.per_file):
            part = left[start : start + options.per_file]
            frames, rows, failed = _encode(part, encoder, options)
            report.failed += failed
            name = f"{number:05d}.npy"
            number += 1
            if rows:
                data = BytesIO()
                np.save(data, frames)
                write_whole(out / name, data.getvalue())
            for row in rows:
                journal.add({**row, "audio": name})
            report.num_rows += len(rows)
            report.seconds += sum(row["duration"] for row in rows)
            if on_progress:
                on_progress(
                    len(wanted) - len(left) + start + len(part), len(wanted), report.seconds
                )
    report.wall_s = round(time.perf_counter() - began_s, 3)
    return report


def _encoder(options: EncodeOptions) -> Any:
    try:
        from mooer.models.encoders.whisper import WhisperEncoder, whisper_config
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    from mooer.store import located

    path = located(options.encoder)
    config = replace(whisper_config(path), stored_layers=options.layers)
    if options.layers > config.num_layers:
        raise ConfigError(f"the encoder has {config.num_layers} layers, not {options.layers}")
    encoder = WhisperEncoder(config)
    encoder.load_weights(path)
    return encoder.eval()


def examples(utterances: Sequence[Utterance], options: EncodeOptions) -> Iterator[Example]:
    """All recordings as they are, then all in another way, and so on."""
    for variant in range(0 if options.clean else 1, options.variants):
        for utterance in utterances:
            if utterance.duration_s is None or utterance.duration_s > options.max_s:
                continue
            name = utterance.id if variant == 0 else f"{utterance.id}-{variant + 1}"
            example = Example(replace(utterance, id=name), epoch=variant)
            if variant:
                speed = example.rng(options.seed, "speed").choice(options.speeds)
                example = replace(example, speed=float(speed))
            yield example


def _encode(
    examples: Sequence[Example], encoder: Any, options: EncodeOptions
) -> tuple[Any, list[dict[str, Any]], int]:
    """Frames [F, D] of one file, the rows of those that could be read, and how many could not."""
    import torch

    lengths = [
        encoder.frontend.num_features(round(e.duration_s * SAMPLE_RATE_HZ)) for e in examples
    ]
    parts: list[Any] = []
    rows: list[dict[str, Any]] = []
    first = failed = 0
    for group in cut(lengths, _FRAMES):
        chosen = [examples[i] for i in group]
        heard = [_read(example, encoder, options) for example in chosen]
        failed += sum(isinstance(one, Failure) for one in heard)
        pairs = [(e, h) for e, h in zip(chosen, heard, strict=True) if isinstance(h, Features)]
        if not pairs:
            continue
        counts = torch.tensor([len(one.values) for _, one in pairs])
        padded = torch.zeros(len(pairs), int(counts.max()), pairs[0][1].values.shape[1])
        for row, (_, one) in zip(padded, pairs, strict=True):
            row[: len(one.values)] = torch.from_numpy(one.values)
        with torch.inference_mode():
            hidden, num_frames = encoder.below(padded, counts)
        for (example, one), frames, num in zip(pairs, hidden, num_frames.tolist(), strict=True):
            parts.append(frames[:num].half().numpy())
            rows.append(_row(example, one, first, num))
            first += num
    return np.concatenate(parts) if parts else None, rows, failed


def _read(example: Example, encoder: Any, options: EncodeOptions) -> Features | Failure:
    augment = CHANGED if example.epoch else None
    [found] = FeatureReader(encoder.frontend, wave_augment=augment, seed=options.seed)([example])
    if isinstance(found, Failure):
        logger.warning("%s is left out: %s", found.id, found.reason)
        return found
    return found[0]


def _row(example: Example, one: Features, first: int, num_frames: int) -> dict[str, Any]:
    utterance = replace(
        example.utterance,
        start_s=None,
        duration_s=round(one.num_samples / SAMPLE_RATE_HZ, 4),
        shard=None,
        offset_bytes=None,
        num_bytes=None,
    )
    sound = {"sound": example.utterance.audio, STORED: [first, num_frames, one.num_samples]}
    return {**to_row(utterance), **sound}
