"""When each word of synthetic speech is said, by the durations that Kokoro gave its phonemes.

    python recipes/rich/times.py ../shared/synth/train.jsonl --out runs/rich/times.jsonl

Kokoro decides how long each phoneme lasts before it makes any sound; its network is run up to
there alone, with the text, the voice and the speed of the manifest. What is heard comes two frames
earlier, and a word before a pause ends where it grows quiet. An utterance whose length does not
come out (it was spoken by other phonemes, or cut), or whose words cannot be told in its phonemes,
is left out. The output has an id and `words` a line: [[word or character, start, end], …] in
seconds.
"""

from __future__ import annotations

import argparse
import difflib
import itertools
import json
import math
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pypinyin import Style, lazy_pinyin
from pypinyin.seg import mmseg
from subgraph import cut_out

from mooer.audio.wave import SAMPLE_RATE_HZ, read_wave
from mooer.data.supervision import Utterance, read_manifest
from mooer.files import write_whole
from mooer.speak.base import Voice
from mooer.speak.kokoro import MAX_PHONEMES, Kokoro
from mooer.speak.mandarin import _LONE, phonemes_of_syllable
from mooer.speak.numerals import read_numerals
from mooer.speak.phonemes import phonemes
from mooer.store import located
from mooer.text import is_cjk, to_simplified
from mooer.text.units import words_of

DURATIONS = "/encoder/Clip_output_0"  # frames of 25 ms, one number a phoneme
FRAME_S = 600 / 24_000
EARLY_S = 2 * FRAME_S
MAX_OFF_S = 0.05  # of the whole length
QUIET = 0.05  # of the level of what is loud
MIN_S = 0.06  # of a word
MAX_JOINED = 3  # words that espeak says as one
MAX_UNLIKE = 0.35  # mean over the groups of phonemes of a text
MAX_GAP_S = 0.12  # between words that are said without a pause


def main() -> None:
    """Write the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    speaker = Durations(located("store:kokoro-82m"))
    counts: Counter[str] = Counter()
    lines = []
    for path in args.manifests:
        for utterance in read_manifest(path)[: args.limit]:
            words, why = times(utterance, speaker)
            counts[f"{utterance.language} {why}"] += 1
            if words:
                row = {"id": utterance.id, "words": words}
                lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_whole(args.out, "".join(lines))
    print(json.dumps(counts, indent=1, sort_keys=True))


class Durations(Kokoro):
    """Kokoro up to its durations."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        super().__init__(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            cut_out((folder / "model.onnx").read_bytes(), DURATIONS),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._inputs = {value.name for value in self._session.get_inputs()}

    def of(self, spoken: str, voice: Voice, speed: float) -> Any:
        """Frames of the pad, each phoneme, and the pad."""
        tokens = [self._vocabulary[c] for c in spoken]
        feed = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": self._style(voice, len(tokens)),
            "speed": np.array([speed], np.float32),
        }
        feed = {name: value for name, value in feed.items() if name in self._inputs}
        return np.asarray(self._session.run([DURATIONS], feed)[0], np.float64).ravel()

    def known(self, spoken: str) -> str:
        """Phonemes that it has."""
        return "".join(c for c in spoken if c in self._vocabulary)


def times(utterance: Utterance, speaker: Durations) -> tuple[list[Any], str]:
    """Words with their times, and how it went."""
    text, language = utterance.text or "", utterance.language or "en"
    spoken = speaker.known(phonemes(text, language))
    if len(spoken) > MAX_PHONEMES:
        return [], "too long"
    places = mandarin(text, spoken, speaker) if language == "zh" else english(text, spoken)
    if not places:
        return [], "words are not told apart"
    frames = speaker.of(
        spoken, Voice.parse(utterance.speaker or ""), float(utterance.extra["speed"])
    )
    edges = np.concatenate([[0], np.cumsum(frames)]) * FRAME_S
    whole_s = utterance.duration_s or 0.0
    if abs(edges[-1] - whole_s) > MAX_OFF_S:
        return [], "lengths differ"
    edges = np.maximum(0.0, edges * whole_s / edges[-1] - EARLY_S)
    found = [[word, edges[begin + 1], edges[end + 1]] for word, begin, end in places]
    for one, other in itertools.pairwise(found):
        if other[1] - one[2] < MAX_GAP_S:  # a space that nobody hears
            one[2] = other[1] = (one[2] + other[1]) / 2
    until_quiet(found, read_wave(utterance.audio))
    return [[word, round(float(a), 3), round(float(b), 3)] for word, a, b in found], "told"


def until_quiet(words: list[Any], samples: Any) -> None:
    """Let words before a pause, and the last one, end where the sound does."""
    size = round(0.01 * SAMPLE_RATE_HZ)
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    levels = np.sqrt(np.square(blocks).mean(1))
    loud = levels > QUIET * np.quantile(levels, 0.95)
    for place, word in enumerate(words):
        if place + 1 < len(words) and words[place + 1][1] - word[2] < 0.01:
            continue
        begin, end = round(word[1] * 100), round(word[2] * 100)
        heard = np.flatnonzero(loud[begin:end])
        if len(heard):
            word[2] = max(word[1] + MIN_S, (begin + heard[-1] + 1) / 100)


def english(text: str, spoken: str) -> list[tuple[str, int, int]]:
    """Words and where their phonemes begin and end; [] if they cannot be told.

    espeak says some words as one ("in the" as ɪnðə): each group of phonemes is given to one, two
    or three words by how alike they are to the words said alone, and cut by their lengths.
    """
    groups = [m for m in re.finditer(r"\S+", spoken) if any(c.isalpha() for c in m[0])]
    words = words_of(text)
    if not groups or any(not word.replace("'", "").isalpha() for word in words):
        return []
    alone = [said_alone(word) for word in words]
    best: list[list[float]] = [[math.inf] * (len(words) + 1) for _ in range(len(groups) + 1)]
    taken = [[0] * (len(words) + 1) for _ in range(len(groups) + 1)]
    best[0][0] = 0.0
    for i, group in enumerate(groups, 1):
        heard = _sounds(group[0])
        for j in range(1, len(words) + 1):
            for num in range(1, min(MAX_JOINED, j) + 1):
                before = best[i - 1][j - num]
                if before < best[i][j]:
                    cost = before + _unlike(heard, "".join(alone[j - num : j]))
                    if cost < best[i][j]:
                        best[i][j], taken[i][j] = cost, num
    if best[-1][-1] > MAX_UNLIKE * len(groups):
        return []
    found: list[tuple[str, int, int]] = []
    j = len(words)
    for i in range(len(groups), 0, -1):
        num = taken[i][j]
        found = cut(words[j - num : j], alone[j - num : j], groups[i - 1]) + found
        j -= num
    return found


def cut(words: list[str], alone: list[str], group: re.Match[str]) -> list[tuple[str, int, int]]:
    """The words of one group of phonemes, each with its share of them."""
    begin, end = group.start() + _before(group[0]), group.end() - _after(group[0])
    shares = [max(1, len(one)) for one in alone]
    edges = [
        begin + round((end - begin) * sum(shares[:i]) / sum(shares)) for i in range(len(words) + 1)
    ]
    return [(word, edges[i], edges[i + 1]) for i, word in enumerate(words)]


@cache
def said_alone(word: str) -> str:
    """Phonemes of a word by itself, without stress."""
    return _sounds(phonemes(word, "en"))


def _sounds(spoken: str) -> str:
    return "".join(c for c in spoken if c.isalpha())


def _unlike(one: str, other: str) -> float:
    """0 to 1."""
    return 1 - difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def mandarin(text: str, spoken: str, speaker: Durations) -> list[tuple[str, int, int]]:
    """Characters and where their syllables begin and end; [] if the text holds other words."""
    text = read_numerals(to_simplified(text))
    if any(not is_cjk(word) for word in words_of(text)):
        return []
    found, at = [], 0
    for word in mmseg.seg.cut("".join(words_of(text))):
        syllables = (
            [_LONE[word]]
            if word in _LONE
            else lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True, errors="ignore")
        )
        if len(syllables) != len(word):
            return []
        for character, syllable in zip(word, syllables, strict=True):
            sounds = speaker.known(phonemes_of_syllable(syllable))
            begin = spoken.find(sounds, at)
            if not sounds or begin < 0 or any(c.isalpha() for c in spoken[at:begin]):
                return []
            at = begin + len(sounds)
            found.append((character, begin, at))
    return found


def _before(group: str) -> int:
    return next(i for i, c in enumerate(group) if c.isalpha() or c in "ˈˌ")


def _after(group: str) -> int:
    return next(i for i, c in enumerate(reversed(group)) if c.isalpha())


if __name__ == "__main__":
    main()
