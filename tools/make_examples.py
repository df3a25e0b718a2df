"""Synthesise the clips of `examples/` with Kokoro-82M; rarely needed, the clips are committed.

Needs `mooer[speak]`:

    python tools/make_examples.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mooer.audio.resample import Resampler
from mooer.audio.wave import SAMPLE_RATE_HZ, write_wave
from mooer.speak import SPEAKERS, Speaker, Voice
from mooer.store import fetch

PAUSE_S = 0.35  # between sentences, and a little of it at both ends
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

# Language: voice, and sentences one by one, for Kokoro sounds best a sentence at a time. The
# voices are Japanese ones, and these two are the clearest of them in the language.
CLIPS = {
    "zh": ("jf_nezumi", ["大家好，欢迎使用语音识别。", "今天天气很好，我们一起去公园散步吧。"]),
    "en": (
        "jm_kumo",
        [
            "Good morning, everyone. Thank you for coming.",
            "Today we will talk about how machines learn to understand human speech.",
        ],
    ),
}


def make_clip(speaker: Speaker, language: str) -> np.ndarray:
    """All sentences of one clip, with pauses, at 16 kHz and -3 dB of full scale."""
    voice, sentences = CLIPS[language]
    pause = np.zeros(int(PAUSE_S * speaker.rate_hz), dtype=np.float32)
    parts = [pause[: len(pause) // 2]]
    for sentence in sentences:
        print(f"{language}: {sentence}")
        parts += [speaker.speak(sentence, language, Voice.parse(voice)), pause]
    resampler = Resampler(speaker.rate_hz, SAMPLE_RATE_HZ)
    samples = np.concatenate([resampler.push(np.concatenate(parts)), resampler.flush()])
    return np.asarray(samples * (0.707 / np.abs(samples).max()), dtype=np.float32)


def main() -> None:
    """Write examples/zh.flac and examples/en.flac."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kokoro", type=Path, help="folder with the model (default: the store's)")
    parser.add_argument("--out", type=Path, default=EXAMPLES)
    options = parser.parse_args()
    speaker: Speaker = SPEAKERS.load("kokoro-82m")(options.kokoro or fetch("kokoro-82m"))
    for language in CLIPS:
        path = options.out / f"{language}.flac"
        samples = make_clip(speaker, language)
        write_wave(path, samples)
        print(f"{path}: {len(samples) / SAMPLE_RATE_HZ:.1f} s, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
