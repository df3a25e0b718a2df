"""Synthesise the clips of `examples/` with Kokoro-82M; rarely needed, the clips are committed.

The phonemes come from packages that mooer itself does not want, so use a separate environment:

    python3 -m venv .venv-tts
    .venv-tts/bin/pip install -e . 'misaki[zh]' phonemizer-fork espeakng-loader
    .venv-tts/bin/python tools/make_examples.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soxr

from mooer.audio.wave import SAMPLE_RATE_HZ, write_wave
from mooer.store import fetch

KOKORO_RATE_HZ = 24_000
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


class Kokoro:
    """Kokoro-82M, int8 ONNX: phonemes and a voice in, 24 kHz samples out."""

    def __init__(self, folder: Path) -> None:
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
        )
        self._voices = np.load(folder / "voices_ja.npz")
        self._vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))["vocab"]

    def speak(self, phonemes: str, voice: str) -> np.ndarray:
        """Say one sentence; silence at both ends is cut off."""
        unknown = sorted({c for c in phonemes if c not in self._vocabulary})
        if unknown:
            raise SystemExit(f"phonemes Kokoro does not know: {unknown} in {phonemes}")
        tokens = [self._vocabulary[c] for c in phonemes]
        style = self._voices[voice][len(tokens) - 1].reshape(1, 256)
        feed = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": style.astype(np.float32),
            "speed": np.array([1.0], dtype=np.float32),
        }
        samples = np.asarray(self._session.run(None, feed)[0], dtype=np.float32).ravel()
        loud = np.flatnonzero(np.abs(samples) > 0.01)
        margin = int(0.03 * KOKORO_RATE_HZ)
        return samples[max(0, loud[0] - margin) : loud[-1] + margin]


def phonemizer(language: str) -> Any:
    """Sentence -> phonemes in Kokoro's alphabet; the imports are slow and rarely installed."""
    if language == "zh":
        from misaki.zh import ZHG2P

        return lambda sentence: ZHG2P()(sentence)[0].strip()
    from misaki.espeak import EspeakG2P

    return lambda sentence: EspeakG2P(language="en-us")(sentence)[0].strip()


def make_clip(kokoro: Kokoro, language: str) -> np.ndarray:
    """All sentences of one clip, with pauses, at 16 kHz and -3 dB of full scale."""
    voice, sentences = CLIPS[language]
    to_phonemes = phonemizer(language)
    pause = np.zeros(int(PAUSE_S * KOKORO_RATE_HZ), dtype=np.float32)
    parts = [pause[: len(pause) // 2]]
    for sentence in sentences:
        phonemes = to_phonemes(sentence)
        print(f"{language}: {sentence} [{phonemes}]")
        parts += [kokoro.speak(phonemes, voice), pause]
    samples = soxr.resample(np.concatenate(parts), KOKORO_RATE_HZ, SAMPLE_RATE_HZ)
    return np.asarray(samples * (0.707 / np.abs(samples).max()), dtype=np.float32)


def main() -> None:
    """Write examples/zh.flac and examples/en.flac."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kokoro", type=Path, help="folder with the model (default: the store's)")
    parser.add_argument("--out", type=Path, default=EXAMPLES)
    options = parser.parse_args()
    kokoro = Kokoro(options.kokoro or fetch("kokoro-82m"))
    for language in CLIPS:
        path = options.out / f"{language}.flac"
        samples = make_clip(kokoro, language)
        write_wave(path, samples)
        print(f"{path}: {len(samples) / SAMPLE_RATE_HZ:.1f} s, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
