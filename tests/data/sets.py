"""Small sets of recordings made on the spot."""

from pathlib import Path

import numpy as np

from mooer.audio.wave import write_wave
from mooer.data.supervision import Utterance, write_manifest


def utterances(number, *, prefix="u", seed=0):
    """So many without sound, 0.2 to 3 s long."""
    rng = np.random.default_rng(seed)
    return [
        Utterance(f"{prefix}{i}", f"{prefix}{i}.wav", duration_s=round(rng.uniform(0.2, 3), 3))
        for i in range(number)
    ]


def recorded(folder: Path, number, *, prefix="u", suffix=".wav", seed=0):
    """A manifest of so many tones with text, and its utterances."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    made = []
    for i in range(number):
        num_samples = int(rng.integers(3_200, 16_000))
        name = folder / f"{prefix}{i}{suffix}"
        tone = 0.3 * np.sin(2 * np.pi * rng.uniform(200, 900) * np.arange(num_samples) / 16_000)
        write_wave(name, tone.astype(np.float32))
        made.append(
            Utterance(
                f"{prefix}{i}",
                str(name),
                duration_s=num_samples / 16_000,
                text=f"text {i}",
                language="en",
                translation=f"Text {i}",
                speaker=f"s{i % 2}",
            )
        )
    write_manifest(folder / f"{prefix}.jsonl", made)
    return folder / f"{prefix}.jsonl", made
