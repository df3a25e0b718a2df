"""What a stream asks of a recogniser: an ear, which hears a window again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.commit import bare
from mooer.engines.whisper import TimedWord
from mooer.text import is_cjk, split_words

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Guess:
    """What an ear makes of a window: what follows the words that are final already."""

    words: tuple[TimedWord, ...]  # in seconds from the beginning of the window
    language: str
    warnings: tuple[str, ...] = ()  # names of guards that fired


class Ear(Protocol):
    """Hears windows of one stream; used from one thread."""

    @property
    def language_probability(self) -> float | None:
        """How sure it is of the language; None if it was told, or cannot say."""
        ...

    def hear(
        self, samples: Samples, said: Sequence[TimedWord], *, speech_prob: float, last: bool
    ) -> Guess | None:
        """What is said in a window [T] at 16 kHz after the words `said`, which are final.

        `speech_prob` is the mean of the VAD. `last` says that no more may come: care is worth its
        time. None where nothing that is heard can be trusted.
        """
        ...


class OnePassEar:
    """A network that says all of a window at once, with times that stay where they are.

    `listen` gives the words of samples [T] and their language. What lies before the end of the
    last final word is left out.
    """

    def __init__(self, listen: Callable[[Samples], tuple[list[TimedWord], str]]) -> None:
        self._listen = listen
        self.language_probability: float | None = None

    def hear(
        self, samples: Samples, said: Sequence[TimedWord], *, speech_prob: float, last: bool
    ) -> Guess | None:
        """What is said in a window after the words that are final."""
        words, language = self._listen(samples)
        until_s = said[-1].end_s if said else 0.0
        rest = [w for w in in_characters(words) if (w.start_s + w.end_s) / 2 > until_s]
        return Guess(tuple(rest), language)


def in_characters(words: Sequence[TimedWord]) -> list[TimedWord]:
    """Words of which each Chinese or Japanese character is one, with the marks after it.

    >>> [(w.text, w.end_s) for w in in_characters([TimedWord(" 你好。", 0.0, 1.0, 0.9)])]
    [(' 你', 0.5), ('好。', 1.0)]
    """
    found: list[TimedWord] = []
    for word in words:
        parts = split_words(word.text) if any(map(is_cjk, word.text)) else []
        if len(parts) < 2:
            found.append(word)
            continue
        parts[0] = word.text[: len(word.text) - len(word.text.lstrip())] + parts[0]
        step_s = (word.end_s - word.start_s) / len(parts)
        for i, part in enumerate(parts):
            start_s = word.start_s + i * step_s
            found.append(replace(word, text=part, start_s=start_s, end_s=start_s + step_s))
    return found


def after(words: Sequence[TimedWord], num_characters: int) -> list[TimedWord]:
    """Words without the first so many characters; of a word that is cut, what is left.

    >>> [w.text for w in after([TimedWord(" so", 0, 1, 0.9), TimedWord(" going", 1, 2, 0.9)], 6)]
    ['ing']
    """
    found: list[TimedWord] = []
    passed = 0
    for word in words:
        text = word.text[max(0, num_characters - passed) :]
        passed += len(word.text)
        if text == word.text:
            found.append(word)
        elif bare(text):
            share = len(text) / len(word.text)
            start_s = word.end_s - share * (word.end_s - word.start_s)
            found.append(replace(word, text=text, start_s=start_s))
    return found
