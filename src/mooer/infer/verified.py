"""Speech that is heard before it is given: what a recogniser does not understand is said again.

A clause whose hearing differs too much is said slower, then by a blend of voices, and the take that
was understood best is kept. Takes are compared by sound: Chinese by syllables with their tones, so
that 他 and 她 are one; English by words as Whisper's normaliser writes them.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mooer.errors import ConfigError, DecodeError
from mooer.speak import Speaker, SpeakerVoicing, Spoken, Voice
from mooer.speak.base import Samples, voices_for
from mooer.speak.mandarin import syllables_of_han
from mooer.speak.numerals import read_numerals
from mooer.speak.speakable import speakable
from mooer.speak.voicing import VoicingOptions
from mooer.text import (
    CHARACTER_LANGUAGES,
    character_tokens,
    is_cjk,
    mixed_tokens,
    to_simplified,
    word_tokens,
)
from mooer.text.edit import distance

logger = logging.getLogger(__name__)

Hear = Callable[[Samples, int, str], str]  # samples [T], their rate, the language -> text

_SPEEDS = (1.0, 0.9, 0.95, 0.85, 1.05)  # of the takes, beside the speed that was asked for
_OWN_SHARE = 0.65  # of the voice that was asked for, in a blend


@dataclass(frozen=True)
class VerifyOptions:
    """When a take is good enough, and how many there are at most."""

    max_error: float = 0.1
    max_takes: int = 3

    def __post_init__(self) -> None:
        if not (0 <= self.max_error <= 1 and 1 <= self.max_takes <= 20):
            raise ConfigError(
                f"verifying needs max_error of 0 to 1 and 1 to 20 takes, not {self.max_error} and "
                f"{self.max_takes}"
            )


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the take that was kept was understood."""

    text: str
    heard: str
    error_rate: float
    voice: str
    speed: float
    num_takes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "heard": self.heard,
            "error_rate": round(self.error_rate, 4),
            "voice": self.voice,
            "speed": self.speed,
            "num_takes": self.num_takes,
        }


class VerifiedVoicing(SpeakerVoicing):
    """A voicing whose every clause `hear` has heard; `last` is the verdict on the latest."""

    def __init__(
        self,
        speaker: Speaker,
        hear: Hear,
        options: VoicingOptions | None = None,
        verify: VerifyOptions | None = None,
    ) -> None:
        super().__init__(speaker, options)
        self._hear = hear
        self._verify = verify or VerifyOptions()
        self.last: Verdict | None = None

    def say(self, clause: str, language: str, voice: Voice, *, speed: float = 1.0) -> Spoken | None:
        """The best take of a clause. DecodeError if none could be said."""
        best: tuple[float, Spoken, str, Voice, float] | None = None
        failed: DecodeError | ConfigError | None = None
        num_takes = 0
        for take_voice, take_speed in self._takes(language, voice, speed):
            try:
                spoken = super().say(clause, language, take_voice, speed=take_speed)
            except (DecodeError, ConfigError) as error:
                if isinstance(error, ConfigError) and not num_takes:
                    raise  # as it was asked for; a later one may be a blend, which some cannot do
                failed = error
                continue
            finally:
                num_takes += 1
            if spoken is None:
                return None
            heard = self._hear(spoken.samples, spoken.rate_hz, language)
            error_rate = misheard(speakable(clause).text, heard, language)
            if best is None or error_rate < best[0]:
                best = (error_rate, spoken, heard, take_voice, take_speed)
            if error_rate <= self._verify.max_error:
                break
        if best is None:
            assert failed is not None
            raise failed
        error_rate, spoken, heard, voice, speed = best
        if error_rate > self._verify.max_error:
            logger.warning("%r was heard as %r in the best of %d takes", clause, heard, num_takes)
        self.last = Verdict(clause, heard, error_rate, str(voice), speed, num_takes)
        return spoken

    def _takes(self, language: str, voice: Voice, speed: float) -> Iterator[tuple[Voice, float]]:
        """What is tried: as it was asked for, slower, then blends with the language's others."""
        own = {name for name, _ in voice.parts}
        others = [name for name in voices_for(self.speaker, language) if name not in own]
        for number in range(self._verify.max_takes):
            take_speed = round(speed * _SPEEDS[number % len(_SPEEDS)], 3)
            if number < 2 or not others:
                yield voice, take_speed
                continue
            other = others[(number - 2) % len(others)]
            parts = [(name, weight * _OWN_SHARE) for name, weight in voice.parts]
            yield Voice((*parts, (other, 1 - _OWN_SHARE))), take_speed


def misheard(text: str, heard: str, language: str) -> float:
    """The share of what was said that was heard otherwise: edits over the length of `text`.

    >>> misheard("她有3个苹果。", "他有三个苹果", "zh"), misheard("It is ten.", "It's 10", "en")
    (0.0, 0.0)
    """
    said = sounds_of(text, language)
    return distance(said, sounds_of(heard, language)) / max(1, len(said))


def sounds_of(text: str, language: str) -> list[str]:
    """What is compared: syllables of Chinese, words of English, characters or words of others."""
    if language == "zh":
        read = read_numerals(to_simplified(unicodedata.normalize("NFKC", text)))
        tokens = mixed_tokens(read, "zh")
        syllables = iter(syllables_of_han("".join(token for token in tokens if is_cjk(token[0]))))
        return [next(syllables, "") if is_cjk(token[0]) else token for token in tokens]
    tokens_of = character_tokens if language in CHARACTER_LANGUAGES else word_tokens
    # Whisper's normaliser takes the middle one of three dots for a word; 8:05 it may hear as 805.
    plain = re.sub(r"(?<=\d):(?=\d\d)", "", re.sub(r"\.{2,}|…", " ", text))
    return tokens_of(plain, language)
