"""The labeller of rich-mini: regressions on means of Whisper-base's layers, one fold after another.

    python recipes/rich/labels.py --clips runs/rich/clips/clips.jsonl --out runs/rich/labels

Writes a folder for each fold, fitted on all clips but its own, `all`, which ships, and splits.json:
the speakers and sources of each fold. The means are kept in means.npz.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from mooer.audio.wave import read_wave
from mooer.data.supervision import Utterance, read_manifest
from mooer.engines.whisper_encoder import WhisperEncoder
from mooer.store import located
from mooer.tasks.rich import EMOTIONS, RegressionConfig
from mooer.train.rich.regression import fit, save

CONFIG = RegressionConfig(
    classes={
        "language": ("zh", "en", "ja", "other"),
        "emotion": EMOTIONS,
        "gender": ("female", "male"),
        "age": ("child", "adult"),
    },
    events=(
        *("music", "speech", "applause", "laughter", "cry", "sneeze", "cough", "alarm", "birds"),
        *("car_horn", "chainsaw", "clock_tick", "crackling_fire", "dog_bark", "gunshot"),
        *("helicopter", "keyboard_typing", "knocking", "rain", "rooster", "sea_waves", "train"),
    ),
)
MAX_S = 20.0


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--encoder", default="store:whisper-base")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    clips = read_manifest(args.clips)
    means = heard(clips, args.encoder, args.out / "means.npz")
    folds = np.array([clip.extra["fold"] for clip in clips])
    for fold in (*sorted({fold for fold in folds.tolist() if fold >= 0}), "all"):
        seen = [i for i in range(len(clips)) if folds[i] != fold]
        classes = {name: [getattr(clips[i], name) for i in seen] for name in CONFIG.classes}
        events = [told(clips[i]) for i in seen]
        save(fit(means[seen], classes, events, CONFIG), CONFIG, args.out / str(fold))
        print(f"fold {fold}: {len(seen)} clips", file=sys.stderr, flush=True)
    splits: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        who = splits[clip.extra["fold"]][clip.source or ""]
        if (clip.speaker or clip.id) not in who:
            who.append(clip.speaker or clip.id)
    (args.out / "splits.json").write_text(json.dumps(splits, indent=1, ensure_ascii=False) + "\n")


def told(clip: Utterance) -> tuple[str, ...] | None:
    """Events of a clip: (), it is known that there are none; None, nothing is known."""
    if clip.event is None:
        return None
    return tuple(name.strip() for name in clip.event.split(",") if name != "none")


def heard(clips: list[Utterance], encoder: str, kept: Path) -> np.ndarray:
    """Means [N, D] of the clips."""
    if kept.exists():
        with np.load(kept) as file:
            if file["ids"].tolist() == [clip.id for clip in clips]:
                return file["means"]
    engines = [WhisperEncoder(located(encoder), num_layers=layer) for layer in CONFIG.layers]
    rows = []
    for number, clip in enumerate(clips, 1):
        features = engines[0].frontend(read_wave(clip.audio, max_s=MAX_S))
        rows.append(np.concatenate([one.encode([features])[0].mean(0) for one in engines]))
        if number % 200 == 0:
            print(f"{number} of {len(clips)}", file=sys.stderr, flush=True)
    means = np.stack(rows)
    np.savez(kept, ids=[clip.id for clip in clips], means=means)
    return means


if __name__ == "__main__":
    main()
