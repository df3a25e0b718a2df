"""Kokoro-82M v1.0 as int8 ONNX: phonemes, a style vector and a speed in; 24 kHz samples out.

Weights: hexgrad/Kokoro-82M (Apache-2.0), after StyleTTS 2 (Li et al. 2023). A voice is a table of
style vectors, one a number of phonemes; a blend is their weighted mean. Any voice speaks any
language, with the accent of its own, which the first letter of its name tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ConfigError, DecodeError, ModelError, did_you_mean
from mooer.speak.base import Samples, Stretch, Voice, check_language, check_speed
from mooer.speak.onnx import SpeakingNetwork
from mooer.speak.phonemes import LANGUAGES, phonemes, pieces
from mooer.speak.quiet import loud_part, trimmed
from mooer.speak.stretches import aligned

RATE_HZ = 24_000
MAX_PHONEMES = 250  # it knows 510, but hurries and drops words in long pieces
MIN_SPEED, MAX_SPEED = 0.5, 2.0
_PAUSE_S = 0.25  # between pieces of one text
_PAD = 0
_DURATIONS = "/encoder/Gather_output_0"  # frames of each token, pads among them
_FRAME_S = 600 / RATE_HZ
_STYLE_SIZE = 256
_NATIVE = {"zh": re.compile("z[fm]_"), "en": re.compile("[ab][fm]_")}  # a American, b British
_FIRST = ("zf_xiaoxiao", "af_heart")
_UNCLEAR = ("zf_xiaoni",)  # whisper-base mishears nearly half of what it says (docs/speak.md)

Times = NDArray[np.float64]


class Kokoro:
    """Speaks Mandarin, English and both mixed; one thread by default, for one process a core.

    folder: model.onnx, vocab.json and voices in *.npz; voices: folders of more, one a *.bin.
    """

    rate_hz = RATE_HZ
    languages = LANGUAGES

    def __init__(
        self,
        folder: str | Path,
        *,
        voices: Sequence[Path] = (),
        num_threads: int = 1,
        as_released: bool = False,
    ) -> None:
        folder = Path(folder)
        try:
            self._network = SpeakingNetwork(
                folder / "model.onnx",
                num_threads=num_threads,
                durations=_DURATIONS,
                as_released=as_released,
            )
            self._vocabulary = _vocabulary(folder / "vocab.json")
            self._styles = _styles(folder, voices)
        except (OSError, ValueError, KeyError, AttributeError, ModelError) as error:
            raise ModelError(
                f"{folder} is not a usable Kokoro (model.onnx, vocab.json, *.npz): {error}"
            ) from error
        self.voices = tuple(self._styles)

    def native_voices(self, language: str) -> tuple[str, ...]:
        """The voices whose own language that is, but for unclear ones."""
        own = _NATIVE.get(language)
        found = [name for name in self.voices if own and own.match(name) and name not in _UNCLEAR]
        return tuple(sorted(found, key=lambda name: name not in _FIRST))

    def speak(self, text: str, language: str, voice: Voice, *, speed: float = 1.0) -> Samples:
        """Samples [T] at 24 kHz, quiet cut off at both ends; long texts in pieces."""
        return self._said(text, language, voice, speed)[0]

    def speak_timed(
        self, text: str, language: str, voice: Voice, *, speed: float = 1.0
    ) -> tuple[Samples, tuple[Stretch, ...]]:
        """As `speak`, and its words by the lengths that the network gives to phonemes."""
        samples, spoken, times_s = self._said(text, language, voice, speed)
        if times_s is None:
            return samples, ()
        read = partial(self._phonemes, language=language)
        return samples, aligned(text, spoken, times_s, read, language)

    def _phonemes(self, text: str, language: str) -> str:
        return "".join(c for c in phonemes(text, language) if c in self._vocabulary)

    def _said(
        self, text: str, language: str, voice: Voice, speed: float
    ) -> tuple[Samples, str, Times | None]:
        """Samples, phonemes, and when each of these is heard [N, 2]."""
        check_language(language, LANGUAGES, "Kokoro")
        check_speed(speed, MIN_SPEED, MAX_SPEED)
        spoken = self._phonemes(text, language)
        if not any(c.isalpha() for c in spoken):
            raise DecodeError(f"there is nothing to say in {text!r}")
        pause = np.zeros(int(_PAUSE_S * RATE_HZ), np.float32)
        parts = pieces(spoken, MAX_PHONEMES)
        said: list[Samples] = []
        times: list[Times] = []
        num_samples, is_timed = 0, True
        for part in parts:
            samples, times_s = self._say(part, voice, speed)
            if times_s is None:
                is_timed = False
            else:
                times.append(times_s + num_samples / RATE_HZ)
            said += [samples, pause]
            num_samples += len(samples) + len(pause)
        return (
            np.concatenate(said[:-1]),
            "".join(parts),
            np.concatenate(times) if is_timed else None,
        )

    def _say(self, spoken: str, voice: Voice, speed: float) -> tuple[Samples, Times | None]:
        tokens = [self._vocabulary[c] for c in spoken]
        samples, frames = self._network.run(
            {
                "tokens": np.array([[_PAD, *tokens, _PAD]], np.int64),
                "style": self._style(voice, len(tokens)),
                "speed": np.array([speed], np.float32),
            }
        )
        if not loud_part(samples)[1]:
            raise DecodeError(f"Kokoro said nothing usable for the phonemes {spoken!r}")
        samples, cut_s = trimmed(samples, RATE_HZ)
        if frames is None or len(frames) != len(tokens) + 2:
            return samples, None
        edges_s = np.cumsum(frames)[: len(tokens) + 1] * _FRAME_S - cut_s
        edges_s = np.clip(edges_s, 0.0, len(samples) / RATE_HZ)
        return samples, np.stack([edges_s[:-1], edges_s[1:]], axis=1)

    def _style(self, voice: Voice, num_phonemes: int) -> Samples:
        style = np.zeros((1, _STYLE_SIZE), np.float32)
        for name, weight in voice.parts:
            if name not in self._styles:
                raise ConfigError(f"unknown voice {name!r}: {did_you_mean(name, self._styles)}")
            table = self._styles[name]
            style += weight * table[min(num_phonemes, len(table)) - 1].reshape(1, _STYLE_SIZE)
        return style


def _vocabulary(path: Path) -> dict[str, int]:
    raw: Any = json.loads(path.read_text("utf-8"))
    return {str(phoneme): int(token) for phoneme, token in raw.get("vocab", raw).items()}


def _styles(folder: Path, more: Sequence[Path]) -> dict[str, Samples]:
    """Voices of the folder, in order of their names, and more: [N, 1, 256], by phonemes."""
    styles: dict[str, Samples] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as archive:
            styles |= {name: np.asarray(archive[name], np.float32) for name in sorted(archive)}
    for path in sorted(path for one in more for path in one.glob("*.bin")):
        styles[path.stem] = np.fromfile(path, "<f4").reshape(-1, 1, _STYLE_SIZE)
    if not styles or any(table[0].size != _STYLE_SIZE for table in styles.values()):
        raise ValueError(f"no voices with styles of {_STYLE_SIZE} numbers")
    return styles
