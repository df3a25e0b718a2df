"""Small stand-ins for the heavy parts of the house."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np

from mooer.engines.whisper import Decoded, DecodeOptions, Encoded, TimedWord, window_for
from mooer.tasks import Message


class FakeLLM:
    """Answers from a script, or by a function of the messages, one character a piece.

    `requests` are the conversations it was given, `num_pieces` how much it was made to say.
    """

    def __init__(self, answers: Sequence[str] | Callable[[Sequence[Message]], str]) -> None:
        self._answers = answers
        self.requests: list[list[Message]] = []
        self.num_pieces = 0
        self.num_closed = 0

    def chat(
        self, messages: Sequence[Message], *, max_tokens: int, grammar: str | None = None
    ) -> Generator[str, None, None]:
        self.requests.append(list(messages))
        if callable(self._answers):
            answer = self._answers(messages)
        else:
            answer = self._answers[len(self.requests) - 1]
        try:
            for piece in answer[: 8 * max_tokens]:
                self.num_pieces += 1
                yield piece
        finally:
            self.num_closed += 1

    def complete(
        self,
        prompt: str,
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        grammar: str | None = None,
    ) -> Generator[str, None, None]:
        return self.chat([Message("user", prompt)], max_tokens=max_tokens)


class LoudnessVad:
    """Speech is what is loud: stands in for `audio.vad.SpeechModel`."""

    def start(self) -> None:
        return None

    def step(self, frames, state):
        return (np.abs(frames).mean(axis=1) > 0.01).astype(np.float32), None


class ScriptedWhisper:
    """Says `texts` in turn, one word each half second; stands in for `engines.whisper.Whisper`.

    `decodings` are the (window in seconds, temperature, prompt) of every decoding asked for.
    """

    is_multilingual = True

    def __init__(
        self, texts: Sequence[str], *, no_speech_prob: float = 0.0, workers: int = 1
    ) -> None:
        self.workers = workers
        self.is_loaded = True
        self._texts = iter(texts)
        self._no_speech_prob = no_speech_prob
        self.decodings: list[tuple[float, float, str]] = []
        self.options: list[DecodeOptions] = []  # of every call
        self.batches: list[int] = []
        self._said: dict[tuple[int, ...], str] = {}

    def unload(self) -> None:
        self.is_loaded = False

    def check_language(self, language: str) -> str:
        return language

    def encode(self, samples, window_s=None) -> Encoded:
        duration_s = len(samples) / 16_000
        return Encoded(None, window_s or window_for(duration_s), duration_s)

    def detect_language(self, encoded: Encoded) -> list[tuple[str, float]]:
        return [("en", 0.9), ("zh", 0.1)]

    def decode(self, chunks, language, options, max_tokens) -> list[Decoded]:
        self.is_loaded = True
        self.batches.append(len(chunks))
        self.options.append(options)
        found = []
        for chunk in chunks:
            self.decodings.append((chunk.window_s, options.temperature, options.prompt))
            text = next(self._texts)
            tokens = (len(self.decodings),)
            self._said[tokens] = text
            found.append(Decoded(text, tokens, -0.2, self._no_speech_prob))
        return found

    def align(self, chunk, tokens, language) -> list[TimedWord]:
        words = self._said[tuple(tokens)].split()
        step = chunk.duration_s / max(1, len(words))
        return [TimedWord(" " + w, i * step, (i + 1) * step, 0.9) for i, w in enumerate(words)]


def speech(*pattern: tuple[float, float], rate_hz: int = 16_000):
    """Samples of (seconds, loudness) one after the other: loud noise is speech to LoudnessVad."""
    generator = np.random.default_rng(0)
    return np.concatenate(
        [
            (generator.uniform(-1, 1, round(s * rate_hz)) * loudness).astype(np.float32)
            for s, loudness in pattern
        ]
    )
