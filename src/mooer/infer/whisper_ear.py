"""Whisper as the ear of a stream: it goes on from the words that are final.

The decoder is given the final words as the beginning of its text, so that it cannot change or
repeat them and writes little more than what is new. The window is as short as it may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.decoding import rules
from mooer.decoding.commit import bare
from mooer.engines.whisper import (
    MAX_WINDOW_S,
    Decoded,
    DecodeOptions,
    Encoded,
    TimedWord,
    Whisper,
    window_for,
)
from mooer.infer.attended import words_heard
from mooer.infer.ear import Guess, Samples, after, in_characters
from mooer.infer.guarded import SHORT_BEAM, TIMED_MAX_S, TIMED_WINDOW_S, RecognizeOptions

STEP_WINDOW_S = 8.0  # the shortest: the final words keep the decoder from saying all again
LAST_WINDOW_S = 12.0
STEP_BEAM = 1
_SURE_OF_LANGUAGE = 0.5
_ENOUGH_FOR_LANGUAGE_S = 2.0  # of sound; with less it is asked again in the next window


class WhisperEar:
    """Hears the windows of one stream; the language is found in the first of them."""

    def __init__(self, engine: Whisper, options: RecognizeOptions) -> None:
        self._engine = engine
        self._options = options
        self._language = engine.check_language(options.language) if options.language else ""
        self._is_sure = bool(self._language)
        self.language_probability: float | None = None

    def hear(
        self, samples: Samples, said: Sequence[TimedWord], *, speech_prob: float, last: bool
    ) -> Guess | None:
        """What is said in a window after the words that are final."""
        duration_s = len(samples) / SAMPLE_RATE_HZ
        timed = last and not said and self._is_timed(duration_s)
        floor_s = TIMED_WINDOW_S if timed else LAST_WINDOW_S if last else STEP_WINDOW_S
        encoded = self._engine.encode(samples, window_for(duration_s, floor_s))
        if not self._is_sure and not (said and self._language):
            self._find_language(encoded)
        prefix = "".join(word.text for word in said)
        decoded, faults = self._decode(encoded, prefix, speech_prob, last=last)
        if faults and last:
            encoded, decoded, faults = self._mended(samples, prefix, speech_prob, decoded, faults)
        elif set(faults) - {"unsure"}:
            return None
        if "over_silence" in faults or not decoded.tokens:
            return Guess((), self._language, faults)
        heard = words_heard(self._engine, encoded, samples, decoded.tokens, self._language)
        words = after(heard, len(prefix))
        if "loops" in faults:
            words = list(_said_once(words, prefix, decoded.text))
        return Guess(tuple(in_characters(words)), self._language, faults)

    def _is_timed(self, duration_s: float) -> bool:
        """Whether to decode with time tokens, in a wide window, as recordings are.

        Behind final words they have the decoder end too soon.
        """
        return duration_s <= TIMED_MAX_S and self._language in ("zh", "yue")

    def _find_language(self, encoded: Encoded) -> None:
        self._language, probability = self._engine.detect_language(encoded)[0]
        self.language_probability = round(probability, 4)
        enough = encoded.duration_s >= _ENOUGH_FOR_LANGUAGE_S
        self._is_sure = enough and probability >= _SURE_OF_LANGUAGE

    def _decode(
        self,
        encoded: Encoded,
        prefix: str,
        speech_prob: float,
        *,
        last: bool,
        temperature: float = 0.0,
        prompted: bool = True,
    ) -> tuple[Decoded, tuple[str, ...]]:
        options = self._options
        prompt, hotwords = (options.prompt, options.told) if prompted else ("", "")
        most_tokens = rules.max_tokens(encoded.duration_s)
        [decoded] = self._engine.decode(
            [encoded],
            self._language,
            DecodeOptions(
                beam_size=options.beam_size or (SHORT_BEAM if last else STEP_BEAM),
                temperature=temperature,
                prompt=prompt,
                hotwords=hotwords,
                prefix=self._engine.tokens(prefix),
                timestamps=last and not prefix and self._is_timed(encoded.duration_s),
            ),
            max_tokens=most_tokens,
        )
        known = rules.Heard(encoded.duration_s, speech_prob, f"{hotwords} {prompt}")
        hypothesis = rules.Hypothesis(
            decoded.text, len(decoded.tokens), decoded.avg_logprob, decoded.no_speech_prob
        )
        return decoded, rules.faults(hypothesis, known)

    def _mended(
        self,
        samples: Samples,
        prefix: str,
        speech_prob: float,
        first: Decoded,
        faults: tuple[str, ...],
    ) -> tuple[Encoded, Decoded, tuple[str, ...]]:
        """The best of further ways to decode it: a full window, then by sampling."""
        full = self._engine.encode(samples, MAX_WINDOW_S)
        prompted = "leaks_prompt" not in faults
        best = (first, faults)
        temperatures = () if "over_silence" in faults else (0.0, *self._options.temperatures)
        for temperature in temperatures:
            again = self._decode(
                full, prefix, speech_prob, last=True, temperature=temperature, prompted=prompted
            )
            best = min(best, again, key=_rank)
            if not best[1]:
                break
        return full, *best


def _rank(heard: tuple[Decoded, tuple[str, ...]]) -> tuple[int, float]:
    return rules.gravity(heard[1]), -heard[0].avg_logprob


def _said_once(words: Sequence[TimedWord], prefix: str, text: str) -> Iterator[TimedWord]:
    """The words before a loop, and of the loop those of its first round."""
    left = len(bare(rules.without_loop(text))) - len(bare(prefix))
    for word in words:
        if left <= 0:
            return
        yield word
        left -= len(bare(word.text))
