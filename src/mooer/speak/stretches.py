"""When each word of a text is heard: from the times of what was said for it, or by estimate.

What is said differs from what is written (3.5% is five syllables), and the sounds of a word differ
a little by its neighbours. So each word is read by itself too, and both readings are aligned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mooer.speak.base import Samples, Stretch
from mooer.speak.quiet import loud_part
from mooer.text import CJK, split_words
from mooer.text.edit import align

# Lengths of what is written, in syllables.
_SYLLABLE = re.compile(rf"[{CJK}]|\d|[aeiouyà-ÿ]+|[^\W\d_{CJK}]+", re.IGNORECASE)
_PAUSE = re.compile(r"[.。!！?？;；:：…,，—](?!\w)")
_PAUSE_SYLLABLES = 1.2


def word_spans(text: str, language: str | None = None) -> list[tuple[int, int]]:
    """Where each word of `text` is, with the marks behind it; a Chinese character is a word.

    >>> word_spans("我用Python。")
    [(0, 1), (1, 2), (2, 9)]
    """
    spans = []
    place = 0
    for word in split_words(text, language):
        start = text.index(word, place)
        place = start + len(word)
        spans.append((start, place))
    return spans


def aligned(
    text: str,
    said: Sequence[str],
    times_s: NDArray[np.float64],
    read: Callable[[str], str],
    language: str | None = None,
) -> tuple[Stretch, ...]:
    """The words of `text`, of which the sounds `said` were heard at `times_s` [N, 2].

    `read` gives the sounds of one word by itself. A word of which nothing was said has no length.
    """
    spans = word_spans(text, language)
    owners: list[int] = []
    sounds: list[str] = []
    for number, (start, end) in enumerate(spans):
        for sound in read(text[start:end]):
            if _is_sound(sound):
                sounds.append(sound)
                owners.append(number)
    heard = [place for place, sound in enumerate(said) if _is_sound(sound)]
    if not owners or not heard:
        return ()
    found: list[list[int]] = [[] for _ in spans]
    one = other = 0
    for op in align(sounds, [said[place] for place in heard]).ops:
        if op != "D":
            found[owners[min(one, len(owners) - 1)]].append(heard[other])
            other += 1
        one += op != "I"
    stretches = []
    last_s = float(times_s[heard[0], 0])
    for (start, end), places in zip(spans, found, strict=True):
        start_s = max(last_s, float(times_s[places[0], 0])) if places else last_s
        last_s = max(start_s, float(times_s[places[-1], 1])) if places else last_s
        stretches.append(Stretch(start, end, start_s, last_s))
    return tuple(stretches)


def _is_sound(sound: str) -> bool:
    return not sound.isspace() and (sound.isalnum() or sound in "→↗↓↘")


def estimated(
    text: str, samples: Samples, rate_hz: int, language: str | None = None
) -> tuple[Stretch, ...]:
    """The words of `text` by their syllables, over what is not silent at both ends of the sound.

    >>> [round(one.end_s, 2) for one in estimated("你好", np.ones(8_000, np.float32), 8_000)]
    [0.5, 1.0]
    """
    first, last = loud_part(samples)
    spans = word_spans(text, language)
    if not last or not spans:
        return ()
    lengths = np.array([_syllables(text[start:end]) for start, end in spans])
    pauses = np.array([len(_PAUSE.findall(text[start:end])) for start, end in spans])
    pauses[-1] = 0  # what follows the last word is silence, and left out
    ends = np.cumsum(lengths + _PAUSE_SYLLABLES * pauses)
    start_s, length_s = first / rate_hz, (last - first) / rate_hz
    scale = length_s / max(float(ends[-1]), 1e-6)
    stops = start_s + scale * (ends - _PAUSE_SYLLABLES * pauses)
    starts = start_s + scale * np.concatenate([[0.0], ends[:-1]])
    return tuple(
        Stretch(start, end, float(begin), float(stop))
        for (start, end), begin, stop in zip(spans, starts, stops, strict=True)
    )


def _syllables(word: str) -> float:
    return sum(
        1.0 if unit[0].isdigit() or not unit.isascii() or unit[0].lower() in "aeiouy" else 0.2
        for unit in _SYLLABLE.findall(word)
    )
