"""One utterance of a stream while it is said: its sound, its final words, and those still open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mooer.audio.endpoint import EndpointOptions
from mooer.audio.vad import FRAME_SAMPLES
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.decoding.commit import LocalAgreement
from mooer.engines.whisper import MAX_WINDOW_S, TimedWord
from mooer.errors import ConfigError
from mooer.infer.ear import Ear, Samples
from mooer.infer.longform import Chunk, sentences

_OPEN_S = 2.0  # at the end of a window: words there are not made final by force


@dataclass(frozen=True)
class LiveOptions:
    """How a stream is heard."""

    step_s: float = 0.6  # of new sound before the window is heard again
    endpoint: EndpointOptions = field(default_factory=EndpointOptions)
    agreeing: int = 2  # hypotheses, one after the other, that make a word final
    settle_s: float = 2.0  # of sound behind a word before it is made final
    settle_zh_s: float = 8.0  # the same in Chinese, of which short windows get more wrong
    window_s: float = 10.0  # a longer window loses its finished sentences
    max_window_s: float = 20.0  # and so long it never gets: words are made final, agreed on or not
    stall_s: float | None = 3.0  # without samples, by the clock, until the utterance is ended
    adaptive: bool = True  # wait longer than a step where hearing takes longer than that

    def __post_init__(self) -> None:
        for name in ("step_s", "window_s", "max_window_s", "stall_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be above 0, not {value}")
        if not min(self.settle_s, self.settle_zh_s) >= 0:
            raise ConfigError(f"settle_s must be at least 0, not {self.settle_s}")
        if not 0 < self.endpoint.pause_s < self.endpoint.end_s:
            raise ConfigError(
                f"a pause of {self.endpoint.pause_s:g} s must be above 0 and shorter than the "
                f"silence that ends an utterance, {self.endpoint.end_s:g} s"
            )
        if not self.window_s <= self.max_window_s - _OPEN_S <= MAX_WINDOW_S - 2 * _OPEN_S:
            raise ConfigError(
                f"max_window_s must be at least {_OPEN_S:g} s above window_s, and at most "
                f"{MAX_WINDOW_S - _OPEN_S:g}, not {self.max_window_s:g} with {self.window_s:g}"
            )


class Utterance:
    """Sound and words from a begin to an end-point; all times are seconds of the stream.

    What is held is bounded: a window of sound, and the words of sentences that are not handed out.
    """

    def __init__(
        self, ear: Ear, options: LiveOptions, *, start_sample: int, since_s: float
    ) -> None:
        self._ear = ear
        self._options = options
        self._start = start_sample  # of the window
        self.begin_s = start_sample / SAMPLE_RATE_HZ
        self._since_s = since_s  # no word begins before it
        self._frames: list[Samples] = []
        self._probs: list[float] = []
        self._said: list[TimedWord] = []  # final, and in the window
        self._unsaid: list[TimedWord] = []  # final, and of no sentence yet
        self._words = LocalAgreement[TimedWord](options.agreeing)
        self.language = "und"
        self.warnings: tuple[str, ...] = ()

    def add(self, frame: Samples, prob: float) -> None:
        """The next 32 ms and how probably they are speech."""
        self._frames.append(frame)
        self._probs.append(prob)

    @property
    def end_s(self) -> float:
        """Where its sound ends so far."""
        return self._start / SAMPLE_RATE_HZ + self._window_s

    @property
    def open(self) -> tuple[TimedWord, ...]:
        """The words that may still change."""
        return self._words.open

    @property
    def last_s(self) -> float:
        """The end of its last final word."""
        return self._since_s

    def hear(self, *, last: bool) -> list[TimedWord]:
        """Hear the window once more; the words that are final now."""
        samples = np.concatenate(self._frames)
        begin_s = self._start / SAMPLE_RATE_HZ
        said = [_moved(word, -begin_s) for word in self._said]
        prob = float(np.mean(self._probs))
        guess = self._ear.hear(samples, said, speech_prob=prob, last=last)
        if guess is None:
            return self._forced()
        self.language, self.warnings = guess.language, guess.warnings
        moved = (_moved(word, begin_s) for word in guess.words)
        words = _in_order(moved, self._since_s, self.end_s)
        options = self._options
        settle_s = options.settle_zh_s if guess.language in ("zh", "yue") else options.settle_s
        finals = self._words.push(words, self.end_s - settle_s)
        return self._finals(finals) + self._forced()

    def finish(self) -> list[TimedWord]:
        """Its open words, which are final now."""
        return self._finals(self._words.finish())

    def sentences(self, *, last: bool) -> list[list[TimedWord]]:
        """Final words as the sentences that are complete; `last`: all of them."""
        found = list(sentences(self._unsaid))
        if not last:
            found = found[:-1]
        self._unsaid = self._unsaid[sum(map(len, found)) :]
        return found

    def sound(self, sentence: Sequence[TimedWord]) -> Chunk:
        """The sound of a sentence, as far as it is still held."""
        window = Chunk(
            np.concatenate(self._frames),
            ((self._start, len(self._frames) * FRAME_SAMPLES),),
            float(np.mean(self._probs)),
        )
        return window.cut(sentence[0].start_s, sentence[-1].end_s)

    def trim(self) -> None:
        """Let go of the sound of sentences that are done, where the window is too long."""
        if self._window_s <= self._options.window_s:
            return
        done = self._said[: max(0, len(self._said) - len(self._unsaid))]
        following = next(iter([*self._unsaid, *self.open]), None)
        if done and following:
            self._cut((done[-1].end_s + following.start_s) / 2)
        elif done:
            self._cut(done[-1].end_s)

    @property
    def _window_s(self) -> float:
        return len(self._frames) * FRAME_SAMPLES / SAMPLE_RATE_HZ

    def _finals(self, words: list[TimedWord]) -> list[TimedWord]:
        self._said += words
        self._unsaid += words
        if words:
            self._since_s = words[-1].end_s
        return words

    def _forced(self) -> list[TimedWord]:
        """Words that are made final so that the window does not grow for ever."""
        if self._window_s < self._options.max_window_s:
            return []
        words = self._finals(self._words.settle(self.end_s - _OPEN_S))
        self._cut(max(self._since_s, self.end_s - self._options.window_s))
        return words

    def _cut(self, at_s: float) -> None:
        """Let go of the sound before a time."""
        num = int((at_s * SAMPLE_RATE_HZ - self._start) // FRAME_SAMPLES)
        num = min(max(0, num), len(self._frames) - 1)
        del self._frames[:num], self._probs[:num]
        self._start += num * FRAME_SAMPLES
        begin_s = self._start / SAMPLE_RATE_HZ
        self._said = [w for w in self._said if (w.start_s + w.end_s) / 2 > begin_s]


def _moved(word: TimedWord, by_s: float) -> TimedWord:
    return replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s)


def _in_order(words: Iterable[TimedWord], since_s: float, until_s: float) -> list[TimedWord]:
    """Words none of which begins before the one ahead of it ends."""
    found: list[TimedWord] = []
    for word in words:
        start_s = min(max(word.start_s, since_s), max(until_s, since_s))
        since_s = max(start_s, min(word.end_s, until_s))
        found.append(replace(word, start_s=start_s, end_s=since_s))
    return found
