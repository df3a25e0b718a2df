"""Turns onto segments: who says each, divided at the words where the speaker changes."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mooer.subtitles.rttm import Turn
from mooer.text import join_text
from mooer.transcript import Segment, Word

_NEAR_S = 1.0  # a word or segment in silence belongs to a turn that is so near
_MIN_ISLAND_S = 0.25  # a shorter interjection is of those who speak around it
_MIN_OVERLAP_S = 0.25  # shorter overlaps of two turns are how people take turns


def label_segments(segments: Iterable[Segment], turns: Sequence[Turn]) -> tuple[Segment, ...]:
    """Segments with `speaker` and `overlap`, in the same order.

    One whose words have times, and no translation, is divided where its words pass to another
    speaker; any other is of whoever speaks most of it. One that lies more than a second from every
    turn has nobody (None).
    """
    finder = _Finder(turns)
    found: list[Segment] = []
    for segment in segments:
        if not segment.text.strip():  # sounds, of which nobody is the speaker
            found.append(segment)
        elif segment.words and segment.translation is None:
            found += _divided(segment, finder)
        else:
            speaker = finder.speaker(segment.start_s, segment.end_s, None)
            found.append(_told(segment, speaker, finder))
    return tuple(found)


class _Finder:
    """Turns by time: asked for stretches in order of time, it looks at few of them."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = sorted(turns, key=lambda turn: turn.start_s)
        longest = max((turn.end_s - turn.start_s for turn in turns), default=0.0)
        self._reach_s = longest + _NEAR_S
        self._starts = [turn.start_s for turn in self._turns]

    def near(self, start_s: float, end_s: float) -> list[Turn]:
        """Turns within a second of a stretch."""
        low = bisect_left(self._starts, start_s - self._reach_s)
        high = bisect_left(self._starts, end_s + _NEAR_S)
        return [turn for turn in self._turns[low:high] if turn.end_s > start_s - _NEAR_S]

    def speaker(self, start_s: float, end_s: float, last: str | None) -> str | None:
        """Who speaks most of a stretch; of two who do, `last`; else who speaks nearest to it."""
        spoken: dict[str, float] = {}
        nearest: tuple[float, str] | None = None
        for turn in self.near(start_s, end_s):
            shared_s = min(end_s, turn.end_s) - max(start_s, turn.start_s)
            if shared_s > 0:
                spoken[turn.speaker] = spoken.get(turn.speaker, 0.0) + shared_s
            elif nearest is None or -shared_s < nearest[0]:
                nearest = (-shared_s, turn.speaker)
        if not spoken:
            return nearest[1] if nearest else None
        most_s = max(spoken.values())
        if last is not None and spoken.get(last, 0.0) >= most_s - 1e-3:
            return last
        return max(spoken, key=lambda speaker: spoken[speaker])

    def overlap_s(self, start_s: float, end_s: float) -> float:
        """Seconds of a stretch in which more than one speaks."""
        steps: list[tuple[float, int]] = []
        for speaker, turns in itertools.groupby(
            sorted(self.near(start_s, end_s), key=lambda turn: (turn.speaker, turn.start_s)),
            key=lambda turn: turn.speaker,
        ):
            assert speaker
            reached = start_s
            for turn in turns:  # those of one speaker are counted once
                begin, end = max(turn.start_s, reached), min(turn.end_s, end_s)
                if begin < end:
                    steps += [(begin, 1), (end, -1)]
                    reached = end
        total, num, last = 0.0, 0, start_s
        for time_s, step in sorted(steps):
            total += (time_s - last) * (num > 1)
            num, last = num + step, time_s
        return total


def _told(segment: Segment, speaker: str | None, finder: _Finder) -> Segment:
    overlap_s = finder.overlap_s(segment.start_s, segment.end_s)
    return replace(segment, speaker=speaker, overlap=overlap_s >= _MIN_OVERLAP_S)


def _divided(segment: Segment, finder: _Finder) -> list[Segment]:
    """A segment as one for each stretch of words by one speaker."""
    words = segment.words or ()
    speakers: list[str | None] = []
    last: str | None = None
    for word in words:
        last = finder.speaker(word.start_s, word.end_s, last) or last
        speakers.append(last)
    runs = _without_islands(words, _back_filled(speakers))
    if len(runs) == 1:
        return [_told(segment, runs[0][1], finder)]
    texts = _texts(segment, [words[0] for words, _ in runs])
    parts: list[Segment] = []
    for i, (said, speaker) in enumerate(runs):
        start_s = segment.start_s if i == 0 else said[0].start_s
        end_s = segment.end_s if i == len(runs) - 1 else said[-1].end_s
        text = texts[i] if texts else join_text(word.text for word in said)
        events = segment.events
        if events is not None:
            events = tuple(e for e in events if e.start_s < end_s and e.end_s > start_s)
        part = replace(
            segment, start_s=start_s, end_s=end_s, text=text, words=tuple(said), events=events
        )
        parts.append(_told(part, speaker, finder))
    return parts


def _back_filled(speakers: Sequence[str | None]) -> list[str | None]:
    """Words before the first known speaker are his."""
    first = next((speaker for speaker in speakers if speaker), None)
    return [speaker or first for speaker in speakers]


def _without_islands(
    words: Sequence[Word], speakers: Sequence[str | None]
) -> list[tuple[list[Word], str | None]]:
    """Runs of words by one speaker; a very short run between two of another is his too."""
    runs: list[tuple[list[Word], str | None]] = []
    for speaker, pairs in itertools.groupby(
        zip(words, speakers, strict=True), key=lambda pair: pair[1]
    ):
        runs.append(([word for word, _ in pairs], speaker))
    joined: list[tuple[list[Word], str | None]] = []
    for i, (said, speaker) in enumerate(runs):
        if 0 < i < len(runs) - 1 and runs[i - 1][1] == runs[i + 1][1]:
            short = said[-1].end_s - said[0].start_s < _MIN_ISLAND_S
            speaker = runs[i - 1][1] if short else speaker  # noqa: PLW2901
        if joined and joined[-1][1] == speaker:
            joined[-1][0].extend(said)
        else:
            joined.append((list(said), speaker))
    return joined


def _texts(segment: Segment, firsts: Sequence[Word]) -> list[str]:
    """The segment's text cut where each of `firsts` begins; none if its words are not its text."""
    text, cuts, place = segment.text, [0], 0
    wanted = iter(firsts[1:])
    first = next(wanted, None)
    for word in segment.words or ():
        begin = text.find(word.text, place) if word.text else place
        if begin < 0:
            return []
        if word is first:
            cuts.append(begin)
            first = next(wanted, None)
        place = begin + len(word.text)
    return [text[a:b].strip() for a, b in itertools.pairwise([*cuts, len(text)])]
