"""espeak-ng itself as a speaker: no weights, any of its languages, and it sounds like a machine."""

from __future__ import annotations

import numpy as np

from mooer.errors import DecodeError
from mooer.speak.base import Samples, Stretch, Voice, check_language, check_speed, only_voice
from mooer.speak.english_reading import read_english
from mooer.speak.espeak_library import library, to_sound
from mooer.speak.mandarin import in_pinyin
from mooer.speak.numerals import read_numerals
from mooer.speak.quiet import trimmed
from mooer.speak.stretches import aligned

MIN_SPEED, MAX_SPEED = 0.5, 2.5
_WORDS_PER_MINUTE = 160
_CODES = {"zh": "cmn", "en": "en-us", "pt": "pt-br", "fr": "fr-fr", "es": "es", "no": "nb"}


class Espeak:
    """Speaks by rules; its voices are variants of one synthesiser."""

    voices = ("f2", "f1", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7")

    def __init__(self, *, num_threads: int = 1) -> None:
        del num_threads  # it has one
        self.rate_hz = library().rate_hz
        known = library().languages()
        self._names = {code.split("-")[0]: known[code] for code in reversed(known)} | {
            ours: known[theirs] for ours, theirs in _CODES.items() if theirs in known
        }
        self.languages = tuple(sorted(self._names))

    def speak(self, text: str, language: str, voice: Voice, *, speed: float = 1.0) -> Samples:
        """Samples [T] at `rate_hz`, quiet cut off at both ends."""
        return self.speak_timed(text, language, voice, speed=speed)[0]

    def speak_timed(
        self, text: str, language: str, voice: Voice, *, speed: float = 1.0
    ) -> tuple[Samples, tuple[Stretch, ...]]:
        """As `speak`, and its words by the times that espeak-ng tells."""
        check_language(language, self.languages, "espeak-ng")
        check_speed(speed, MIN_SPEED, MAX_SPEED)
        name = f"{self._names[language]}+{only_voice(voice, self.voices)}"
        read = _read(text, language)
        if not any(c.isalnum() for c in read):
            raise DecodeError(f"there is nothing to say in {text!r}")
        samples, rate_hz, words = to_sound(read, name, round(_WORDS_PER_MINUTE * speed))
        samples, cut_s = trimmed(samples, rate_hz)
        if not words:
            return samples, ()
        # Of a word the letters share the time until the next begins.
        places = [word.start for word in words] + [len(read)]
        edges_s = [word.time_s - cut_s for word in words] + [len(samples) / rate_hz]
        points_s = np.clip(np.interp(np.arange(len(read) + 1), places, edges_s), 0.0, edges_s[-1])
        times_s = np.stack([points_s[:-1], points_s[1:]], axis=1)
        return samples, aligned(text, read, times_s, lambda word: _read(word, language), language)


def _read(text: str, language: str) -> str:
    """Numbers as words, where that is better known here."""
    if language == "zh":
        return read_numerals(text)
    return read_english(in_pinyin(text)) if language == "en" else text
