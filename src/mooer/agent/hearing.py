"""Whisper as the ear of a conversation: short windows, few languages, haste before beauty."""

from __future__ import annotations

from collections.abc import Sequence

from mooer.agent.parts import Heard, Samples
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.decoding import rules
from mooer.engines.whisper import MAX_WINDOW_S, Decoded, DecodeOptions, Encoded, Whisper, window_for
from mooer.text import to_simplified

_WINDOW_S = 8.0  # the shortest; in a shorter one Whisper says things twice
_MIN_S = 0.1
_BEAM, _PARTIAL_BEAM = 3, 1
_GRAVE = ("over_silence", "loops", "echoes", "too_long")  # faults for which it is heard again


class WhisperHear:
    """A Whisper model; `languages` are those that may be spoken, () is any it knows.

    With few languages a short "okay" is not taken for Welsh.
    """

    def __init__(self, engine: Whisper, *, languages: Sequence[str] = ("zh", "en")) -> None:
        self._engine = engine
        self._languages = [engine.check_language(language) for language in languages]

    def hear(
        self, samples: Samples, *, language: str | None = None, is_final: bool = True
    ) -> Heard:
        """As `agent.parts.Hear` has it: samples [T] at 16 kHz, of up to 30 s."""
        duration_s = len(samples) / SAMPLE_RATE_HZ
        if duration_s < _MIN_S:
            return Heard("")
        encoded = self._engine.encode(samples, window_for(duration_s, _WINDOW_S))
        spoken = self._engine.check_language(language) if language else self._spoken(encoded)
        decoded, faults = self._decode(encoded, spoken, _BEAM if is_final else _PARTIAL_BEAM)
        if is_final and set(faults) & set(_GRAVE) and "over_silence" not in faults:
            encoded = self._engine.encode(samples, MAX_WINDOW_S)
            decoded, faults = self._decode(encoded, spoken, _BEAM)
        if "over_silence" in faults:
            return Heard("", spoken)
        text = rules.without_loop(decoded.text) if "loops" in faults else decoded.text
        text = to_simplified(text) if spoken == "zh" else text
        return Heard(text.strip(), spoken)

    def _spoken(self, encoded: Encoded) -> str:
        """The most probable language of those that may be spoken."""
        found = self._engine.detect_language(encoded)
        may = [code for code, _ in found if not self._languages or code in self._languages]
        return may[0] if may else found[0][0]

    def _decode(
        self, encoded: Encoded, language: str, beam_size: int
    ) -> tuple[Decoded, tuple[str, ...]]:
        options = DecodeOptions(beam_size=beam_size, temperature=0.0)
        most_tokens = rules.max_tokens(encoded.duration_s)
        [decoded] = self._engine.decode([encoded], language, options, max_tokens=most_tokens)
        said = rules.Hypothesis(
            decoded.text, len(decoded.tokens), decoded.avg_logprob, decoded.no_speech_prob
        )
        return decoded, rules.faults(said, rules.Heard(encoded.duration_s))
