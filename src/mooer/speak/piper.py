"""Piper's voices as ONNX: phonemes in, samples out; a VITS (Kim et al. 2021) of one voice.

    model.onnx         ids of phonemes, their number, and three scales
    model.onnx.json    the id of each letter of IPA, the rate, the scales, the language

The letters are espeak's IPA, which these voices were trained on.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from mooer.errors import DecodeError, ModelError
from mooer.speak.base import Samples, Stretch, Voice, check_language, check_speed, only_voice
from mooer.speak.english_reading import read_english
from mooer.speak.espeak_library import to_ipa
from mooer.speak.mandarin import in_pinyin
from mooer.speak.onnx import SpeakingNetwork
from mooer.speak.phonemes import PAUSE, with_plain_marks
from mooer.speak.quiet import loud_part, trimmed
from mooer.speak.stretches import aligned

MIN_SPEED, MAX_SPEED = 0.5, 2.0
_MAX_IDS = 1200
_DURATIONS = "/Ceil_output_0"  # frames of each id
_FRAME_SAMPLES = 256
_BEGIN, _END, _BETWEEN = "^", "$", "_"
_MARKS = {"…": ".", "—": ",", "“": "", "”": "", '"': "", "(": ",", ")": ","}


class Piper:
    """Speaks the one language of its voice; each time a little differently, as VITS does."""

    def __init__(self, folder: str | Path, *, num_threads: int = 1) -> None:
        folder = Path(folder)
        try:
            [config] = folder.glob("*.onnx.json")
            settings: Any = json.loads(config.read_text("utf-8"))
            self.rate_hz = int(settings["audio"]["sample_rate"])
            self._ids: dict[str, list[int]] = settings["phoneme_id_map"]
            self._espeak_voice = str(settings["espeak"]["voice"])
            self._scales = [
                float(settings["inference"][name])
                for name in ("noise_scale", "length_scale", "noise_w")
            ]
            self.languages = (str(settings["language"]["family"]),)
            self.voices = (str(settings["dataset"]),)
            if settings["num_speakers"] != 1:
                raise ValueError(f"it has {settings['num_speakers']} speakers, and one is known")
            self._network = SpeakingNetwork(
                config.with_suffix(""),
                num_threads=num_threads,
                durations=_DURATIONS,
                as_released=True,  # no whole numbers in it, which are what gains
            )
        except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
            raise ModelError(
                f"{folder} is not a usable Piper voice (*.onnx, *.onnx.json): {error}"
            ) from error

    def speak(self, text: str, language: str, voice: Voice, *, speed: float = 1.0) -> Samples:
        """Samples [T] at `rate_hz`, quiet cut off at both ends."""
        return self.speak_timed(text, language, voice, speed=speed)[0]

    def speak_timed(
        self, text: str, language: str, voice: Voice, *, speed: float = 1.0
    ) -> tuple[Samples, tuple[Stretch, ...]]:
        """As `speak`, and its words by the lengths that the network gives to phonemes."""
        check_language(language, self.languages, "this voice")
        check_speed(speed, MIN_SPEED, MAX_SPEED)
        only_voice(voice, self.voices)
        spoken = self._phonemes(text)
        if not any(c.isalpha() for c in spoken):
            raise DecodeError(f"there is nothing to say in {text!r}")
        ids, letters = self._numbered(spoken)
        if len(ids) > _MAX_IDS:
            raise DecodeError(f"{text[:64]!r}… is too long to be said at once: give it in clauses")
        noise, length, rhythm = self._scales
        samples, frames = self._network.run(
            {
                "input": np.array([ids], np.int64),
                "input_lengths": np.array([len(ids)], np.int64),
                "scales": np.array([noise, length / speed, rhythm], np.float32),
            }
        )
        if not loud_part(samples)[1]:
            raise DecodeError(f"Piper said nothing usable for the phonemes {spoken!r}")
        samples, cut_s = trimmed(samples, self.rate_hz)
        if frames is None or len(frames) != len(ids):
            return samples, ()
        edges_s = np.concatenate([[0.0], np.cumsum(frames)]) * _FRAME_SAMPLES / self.rate_hz
        edges_s = np.clip(edges_s - cut_s, 0.0, len(samples) / self.rate_hz)
        # The filler behind a letter is a part of its sound.
        times_s = np.array([[edges_s[i], edges_s[i + 2]] for i, _ in letters])
        said = "".join(letter for _, letter in letters)
        return samples, aligned(text, said, times_s, self._phonemes, language)

    def _phonemes(self, text: str) -> str:
        """Letters of IPA and marks, of those that the voice knows."""
        plain = in_pinyin(with_plain_marks(text))
        if self.languages == ("en",):
            plain = read_english(plain)
        spoken = ""
        for i, piece in enumerate(PAUSE.split(plain)):
            if i % 2:
                spoken = spoken.rstrip() + "".join(_MARKS.get(c, c) for c in piece[:1])
            elif piece.strip():
                spoken += " " + " ".join(to_ipa(piece, self._espeak_voice))
        spoken = re.sub(r"\([a-z][a-z-]*\)|_:?", "", spoken)  # what espeak says of its languages
        return "".join(c for c in unicodedata.normalize("NFD", spoken).strip() if c in self._ids)

    def _numbered(self, spoken: str) -> tuple[list[int], list[tuple[int, str]]]:
        """Ids with fillers between, and where each letter stands among them."""
        filler = self._ids[_BETWEEN]
        ids = [*self._ids[_BEGIN], *filler]
        letters = []
        for letter in spoken:
            letters.append((len(ids), letter))
            ids += [*self._ids[letter], *filler]
        return [*ids, *self._ids[_END]], letters
