"""Hours of recordings made ready for the network in one second, from lists and from shards.

    python bench/data.py aishell.jsonl timit_sample.jsonl

Each way reads sound, makes Paraformer's features and padded batches; "augmented" adds speed,
noise, a room and SpecAugment. Without workers the caller does it all. The best of three windows.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mooer.audio.augment import SpecAugment, WaveAugment
from mooer.audio.features import Cmvn
from mooer.audio.frontend import KaldiLfr
from mooer.audio.opus import write_opus
from mooer.data.batching import Batches, Budget
from mooer.data.collate import Collator, FeatureReader
from mooer.data.lines import Lines
from mooer.data.loading import Loader
from mooer.data.pack import PackOptions, pack
from mooer.data.shards import Shards, find_shards
from mooer.data.sound import read_sound
from mooer.data.stages import Example, Rows, Shuffle, Speeds, Stage
from mooer.data.supervision import read_manifest, write_manifest

WORKERS = ((0, "thread"), (1, "process"), (2, "process"), (2, "thread"))


class Bytes:
    """A tokenizer that costs nothing."""

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Bytes."""
        return list(text.encode())


def collator(*, augmented: bool) -> Collator:
    cmvn = Cmvn(np.zeros(560, np.float32), np.ones(560, np.float32))
    frontend = KaldiLfr(cmvn)
    reader = FeatureReader(
        frontend,
        WaveAugment(noise_prob=0.5, room_prob=0.5, gain_db=(-6, 6)) if augmented else None,
        SpecAugment(2, 10, num_mel_masks=2, max_mel_mask=10, num_mels=80) if augmented else None,
    )
    return Collator(reader, lambda num: num // 1920, Bytes(), "mooer", pad_id=0)


def speed(stage: Stage[Example], num_workers: int, kind: str, seconds: float, **how) -> float:
    """Hours of recordings a second, after the workers have begun."""
    if how["augmented"]:
        stage = Speeds(stage)
    collate = collator(**how)
    batches = Batches(stage, collate.read.frontend.num_features, Budget(500), pool=200)
    with Loader(batches.stream(), collate, num_workers=num_workers, kind=kind) as loader:
        for _ in range(2 + 3 * num_workers):  # what was made ahead is not counted
            next(loader)
        return max(_window(loader, seconds) for _ in range(3))


def _window(loader: Loader, seconds: float) -> float:
    frames, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        batch, _ = next(loader)
        frames += int(batch.feature_lengths.sum())
    return frames * 0.06 / 3600 / passed


def prepare(manifests: list[Path], limit: int, folder: Path) -> dict[str, Stage[Example]]:
    """The same recordings in every way."""
    everything = [
        replace(u, id=f"{path.stem}-{u.id}")
        for path in manifests
        for u in read_manifest(path)[:limit]
    ]
    everything = [u for u in everything if u.text]
    write_manifest(folder / "flac.jsonl", everything)
    as_opus = []
    (folder / "opus").mkdir()
    for i, utterance in enumerate(everything):
        path = folder / "opus" / f"{i}.opus"
        write_opus(path, read_sound(utterance))
        as_opus.append(replace(utterance, audio=str(path)))
    write_manifest(folder / "opus.jsonl", as_opus)
    pack(folder / "flac.jsonl", folder / "shards", PackOptions(50, "original"))
    return {
        "FLAC files": Rows(Lines(folder / "flac.jsonl")),
        "Opus files": Rows(Lines(folder / "opus.jsonl")),
        "shards of FLAC, one by one": Rows(Lines(folder / "shards" / "manifest.jsonl")),
        "shards of FLAC, in order": Shuffle(Shards(find_shards(folder / "shards")), 200),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each window")
    parser.add_argument("--limit", type=int, default=100, help="utterances of each manifest")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors, hours of sound a second\n")
    names = [f"{n} {kind}{'' if n == 1 else 's'}" if n else "none" for n, kind in WORKERS]
    plural = [name.replace("processs", "processes") for name in names]
    print("| source | augmented | " + " | ".join(plural) + " |")
    print("|---|---|" + "---|" * len(WORKERS))
    with tempfile.TemporaryDirectory() as folder:
        for name, stage in prepare(options.manifests, options.limit, Path(folder)).items():
            for augmented in (False, True):
                found = [
                    speed(stage, n, kind, options.seconds, augmented=augmented)
                    for n, kind in WORKERS
                ]
                cells = " | ".join(f"{value:.3f}" for value in found)
                print(f"| {name} | {'yes' if augmented else 'no'} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
