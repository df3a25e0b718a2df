"""Kokoro-82M v1.0 as int8 ONNX: phonemes, a style vector and a speed in; 24 kHz samples out.

Weights: hexgrad/Kokoro-82M (Apache-2.0), after StyleTTS 2 (Li et al. 2023). A voice is a table of
style vectors, one a number of phonemes; a blend is their weighted mean.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mooer.errors import ConfigError, DecodeError, ModelError, did_you_mean
from mooer.speak.base import Samples, Voice
from mooer.speak.phonemes import LANGUAGES, phonemes, pieces

RATE_HZ = 24_000
MAX_PHONEMES = 250  # it knows 510, but hurries and drops words in long pieces
MIN_SPEED, MAX_SPEED = 0.5, 2.0
_PAUSE_S = 0.25  # between pieces of one text
_MARGIN_S = 0.05  # of quiet kept at both ends
_QUIET = 0.01
_PAD = 0


class Kokoro:
    """Speaks Mandarin, English and both mixed; one thread by default, for one process a core."""

    rate_hz = RATE_HZ
    languages = LANGUAGES

    def __init__(self, folder: str | Path, *, num_threads: int = 1) -> None:
        import onnxruntime

        folder = Path(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
            self._vocabulary = _vocabulary(folder / "vocab.json")
            self._styles = _styles(folder)
        except Exception as error:  # onnxruntime has no base class of its own
            raise ModelError(
                f"{folder} is not a usable Kokoro (model.onnx, vocab.json, *.npz): {error}"
            ) from error
        self.voices = tuple(sorted(self._styles))

    def speak(self, text: str, language: str, voice: Voice, *, speed: float = 1.0) -> Samples:
        """Samples [T] at 24 kHz, quiet cut off at both ends; long texts in pieces."""
        if language not in LANGUAGES:
            raise ConfigError(f"Kokoro speaks {', '.join(LANGUAGES)}, not {language!r}")
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise ConfigError(f"speed must be {MIN_SPEED} to {MAX_SPEED}, not {speed}")
        spoken = "".join(c for c in phonemes(text, language) if c in self._vocabulary)
        if not any(c.isalpha() for c in spoken):
            raise DecodeError(f"there is nothing to say in {text!r}")
        pause = np.zeros(int(_PAUSE_S * RATE_HZ), np.float32)
        said: list[Samples] = []
        for piece in pieces(spoken, MAX_PHONEMES):
            said += [self._say(piece, voice, speed), pause]
        return np.concatenate(said[:-1])

    def _say(self, spoken: str, voice: Voice, speed: float) -> Samples:
        tokens = [self._vocabulary[c] for c in spoken]
        feed = {
            "tokens": np.array([[_PAD, *tokens, _PAD]], np.int64),
            "style": self._style(voice, len(tokens)),
            "speed": np.array([speed], np.float32),
        }
        samples = np.asarray(self._session.run(None, feed)[0], np.float32).ravel()
        loud = np.flatnonzero(np.abs(samples) > _QUIET)
        if not len(loud) or not np.isfinite(samples).all():
            raise DecodeError(f"Kokoro said nothing usable for the phonemes {spoken!r}")
        margin = int(_MARGIN_S * RATE_HZ)
        return samples[max(0, loud[0] - margin) : loud[-1] + margin]

    def _style(self, voice: Voice, num_phonemes: int) -> Samples:
        style = np.zeros((1, 256), np.float32)
        for name, weight in voice.parts:
            if name not in self._styles:
                raise ConfigError(f"unknown voice {name!r}: {did_you_mean(name, self._styles)}")
            table = self._styles[name]
            style += weight * table[min(num_phonemes, len(table)) - 1].reshape(1, 256)
        return style


def _vocabulary(path: Path) -> dict[str, int]:
    raw = json.loads(path.read_text("utf-8"))
    return {str(phoneme): int(token) for phoneme, token in raw.get("vocab", raw).items()}


def _styles(folder: Path) -> dict[str, Samples]:
    """Every voice in the folder's .npz files: [N, 1, 256], one style a number of phonemes."""
    styles: dict[str, Samples] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as archive:
            styles |= {name: np.asarray(archive[name], np.float32) for name in archive.files}
    if not styles or any(table[0].size != 256 for table in styles.values()):
        raise ValueError("no voices with styles of 256 numbers")
    return styles
