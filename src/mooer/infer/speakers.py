"""Who speaks when: windows of 5 s, the voices heard in each, and which of them are one person's.

`Diarizer.listen` hears a recording block by block, beside a recogniser or alone, and keeps of each
window a probability every 17 ms for each of its speakers, and their voices: some 6 MB an hour.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.decoding.clustering import Join, centres, cut, linkage, numbered
from mooer.decoding.turns import Window, overlay, stretches
from mooer.engines.segmentation import (
    FIRST_CENTRE_SAMPLES,
    FRAME_SAMPLES,
    MIN_SAMPLES,
    NUM_LOCAL,
    WINDOW_SAMPLES,
    SpeakerSegmenter,
)
from mooer.engines.speaker import PART_FRAMES, SpeakerEncoder
from mooer.errors import ConfigError
from mooer.infer.speaker_labels import label_segments
from mooer.subtitles.rttm import Turn
from mooer.transcript import Segment

Floats = NDArray[np.float32]

_BATCH = 32  # windows
_MAX_COMPARED = 3000  # voices that are compared with each other; more are each compared with those
_FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
_FIRST_FRAME_SAMPLES = FIRST_CENTRE_SAMPLES - FRAME_SAMPLES // 2
_PART_SAMPLES = PART_FRAMES * 160
_MAX_ODD = 12  # groups that may be set apart for an odd sound
_MIN_SOUND_SAMPLES = 800  # 50 ms: less is no voice


@dataclass(frozen=True)
class SpeakerOptions:
    """When two voices are one person's, and what counts as speech."""

    threshold: float = 0.5  # probability from which a speaker is heard
    distance: float = 0.3  # mean cosine distance of the voices of two people, at least
    same_distance: float = 0.24  # nearer groups are one person, however many were asked for
    hop_frames: int = 148  # between windows: 2.5 s
    min_voice_s: float = 0.8  # of one speaker alone, for a voice to be compared with the others
    min_speaker_s: float = 1.0  # of such speech in all, for somebody to be told apart
    min_gap_s: float = 0.3  # shorter silences are part of a turn
    min_turn_s: float = 0.15  # shorter turns are none

    def __post_init__(self) -> None:
        """Refuse what no recording could be heard with."""
        if not 0 < self.threshold < 1:
            raise ConfigError(f"threshold must lie between 0 and 1, got {self.threshold}")
        if not 0 <= self.same_distance <= self.distance <= 2:
            raise ConfigError(
                "same_distance and distance must be cosine distances in this order, got "
                f"{self.same_distance} and {self.distance}"
            )
        if self.hop_frames < 1 or self.hop_frames * FRAME_SAMPLES > WINDOW_SAMPLES:
            raise ConfigError(f"hop_frames must be 1 to 296, got {self.hop_frames}")


@dataclass(frozen=True)
class Diarization:
    """Who speaks when in one recording; speakers are S1, S2 … in the order of their first turns."""

    turns: tuple[Turn, ...]  # in order of time; those of two people may overlap
    duration_s: float
    warnings: tuple[str, ...] = ()

    @property
    def num_speakers(self) -> int:
        """How many were told apart."""
        return len({turn.speaker for turn in self.turns})


@dataclass
class _Voices:
    """The voices of all windows so far: one row for each speaker of each window."""

    vectors: list[Floats] = field(default_factory=list)  # [256]
    seconds: list[float] = field(default_factory=list)  # that this speaker is heard alone
    owners: list[tuple[int, int]] = field(default_factory=list)  # window, and speaker in it


class Diarizer:
    """Tells speakers apart; one may be used for many recordings, one after the other."""

    def __init__(
        self,
        segmenter: SpeakerSegmenter,
        encoder: SpeakerEncoder,
        options: SpeakerOptions | None = None,
    ) -> None:
        self.segmenter = segmenter
        self.encoder = encoder
        self.options = options or SpeakerOptions()

    def listen(self) -> Listening:
        """Begin with a recording."""
        return Listening(self.segmenter, self.encoder, self.options)

    def diarize(self, blocks: Iterable[Floats], num_speakers: int | None = None) -> Diarization:
        """Who speaks when in a recording, given as blocks [T] of 16 kHz.

        `num_speakers` is how many there are, if it is known. Memory does not grow with the length
        but for what is kept of each window.
        """
        listening = self.listen()
        for block in blocks:
            listening.push(block)
        return listening.finish(num_speakers)


class Listening:
    """One recording on its way: `push` its samples, then `finish`, again for another count."""

    def __init__(
        self, segmenter: SpeakerSegmenter, encoder: SpeakerEncoder, options: SpeakerOptions
    ) -> None:
        self._segmenter = segmenter
        self._encoder = encoder
        self.options = options
        self._hop = options.hop_frames * FRAME_SAMPLES
        self._held = np.zeros(0, np.float32)
        self._held_from = 0  # sample of the recording that `_held` begins with
        self._next = 0  # sample at which the next window begins
        self._ready: list[tuple[int, Floats]] = []
        self._windows: list[Window] = []
        self._voices = _Voices()
        self._is_finished = False

    def push(self, samples: Floats) -> None:
        """Hear samples [T] at 16 kHz that follow those before."""
        self._held = np.concatenate([self._held, samples])
        while self._next + WINDOW_SAMPLES <= self._held_from + len(self._held):
            self._take(self._next)
            self._next += self._hop
            # A last window may begin up to a hop before the next.
            kept_from = max(self._held_from, self._next - self._hop)
            self._held = self._held[kept_from - self._held_from :]
            self._held_from = kept_from

    def overhear(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        """The blocks [T] of a recording on their way to a recogniser, heard as they pass."""
        for block in blocks:
            self.push(block)
            yield block

    def finish(self, num_speakers: int | None = None) -> Diarization:
        """Who spoke when. ConfigError for a number of speakers that nobody can have."""
        if num_speakers is not None and num_speakers < 1:
            raise ConfigError(f"the number of speakers must be at least 1, got {num_speakers}")
        self._end()
        owners, warnings = self._owners(num_speakers)
        num_found = max(itertools.chain.from_iterable(owners), default=-1) + 1
        options = self.options
        heard = overlay(self._windows, owners, num_found, options.threshold)
        found = stretches(
            heard, round(options.min_gap_s / _FRAME_S), round(options.min_turn_s / _FRAME_S)
        )
        labels: dict[int, str] = {}
        for one in found:
            labels.setdefault(one.speaker, f"S{len(labels) + 1}")
        duration_s = self._num_samples / SAMPLE_RATE_HZ
        turns = tuple(
            Turn(
                round(_time_s(one.first_frame), 3),
                round(min(_time_s(one.end_frame), duration_s), 3),
                labels[one.speaker],
            )
            for one in found
        )
        if num_speakers is not None and len(labels) < num_speakers and not warnings:
            warnings = (_too_many(num_speakers, len(labels)),)
        return Diarization(turns, round(duration_s, 3), warnings)

    # --- hearing ------------------------------------------------------------------------------

    @property
    def _num_samples(self) -> int:
        return self._held_from + len(self._held)

    def _end(self) -> None:
        """Hear what is left: a last window that ends with the recording, or one shorter."""
        if self._is_finished:
            return
        self._is_finished = True
        end = self._num_samples
        heard_to = self._next - self._hop + WINDOW_SAMPLES if self._next else 0
        if end - heard_to >= FRAME_SAMPLES:
            last = max(0, end - WINDOW_SAMPLES) // FRAME_SAMPLES * FRAME_SAMPLES
            self._hear()
            self._take(last, min_samples=MIN_SAMPLES)
        self._hear()

    def _take(self, start: int, min_samples: int = 0) -> None:
        begin = start - self._held_from
        window = self._held[begin : begin + WINDOW_SAMPLES]
        if len(window) < min_samples:
            window = np.pad(window, (0, min_samples - len(window)))
        self._ready.append((start, window.copy()))
        if len(self._ready) == _BATCH:
            self._hear()

    def _hear(self) -> None:
        """The speakers of the windows that wait, and their voices."""
        if not self._ready:
            return
        starts, windows = zip(*self._ready, strict=True)
        self._ready = []
        probs = self._segmenter(np.stack(windows))
        sounds: list[Floats] = []
        for start, window, activity in zip(starts, windows, probs, strict=True):
            place = len(self._windows)
            heard = activity >= self.options.threshold
            for speaker in range(NUM_LOCAL):
                sound, alone_s = _sound_of(window, heard, speaker)
                if len(sound) >= _MIN_SOUND_SAMPLES:
                    sounds.append(_filled(sound))
                    self._voices.seconds.append(alone_s)
                    self._voices.owners.append((place, speaker))
            levels = np.rint(activity * 255).astype(np.uint8)
            self._windows.append(Window(start // FRAME_SAMPLES, levels))
        if sounds:
            self._voices.vectors += list(self._encoder(sounds))

    # --- whose voices -------------------------------------------------------------------------

    def _owners(self, num_speakers: int | None) -> tuple[list[list[int]], tuple[str, ...]]:
        """For each window, which speaker of the recording each of its speakers is; -1: none."""
        owners = [[-1] * NUM_LOCAL for _ in self._windows]
        if not self._voices.vectors:
            return owners, ()
        vectors = np.stack(self._voices.vectors)
        people, warnings = self._people(vectors, num_speakers)
        near = vectors @ people.T
        by_window: dict[int, list[int]] = {}
        for row, (window, _) in enumerate(self._voices.owners):
            by_window.setdefault(window, []).append(row)
        for window, rows in by_window.items():
            for row, person in zip(rows, _assigned(near[rows]), strict=True):
                owners[window][self._voices.owners[row][1]] = person
        return owners, warnings

    def _people(self, vectors: Floats, num_speakers: int | None) -> tuple[Floats, tuple[str, ...]]:
        """The voices [C, 256] of the people of a recording, from those of its windows [N, 256]."""
        options = self.options
        seconds = np.array(self._voices.seconds, np.float32)
        order = np.argsort(-seconds, kind="stable")
        chosen = order[: max(1, min(_MAX_COMPARED, int((seconds >= options.min_voice_s).sum())))]
        chosen = np.sort(chosen)
        joins = linkage(vectors[chosen])
        # Windows overlap: what is said is heard in more than one of them.
        times_heard = WINDOW_SAMPLES / (options.hop_frames * FRAME_SAMPLES)
        said_s = seconds[chosen] / times_heard
        if num_speakers is None:
            labels = cut(joins, distance=options.distance)
            labels = _without_small(labels, said_s, options.min_speaker_s)
        else:
            labels = _so_many(joins, said_s, num_speakers, options)
        kept = labels >= 0
        people = centres(vectors[chosen][kept], labels[kept], seconds[chosen][kept])
        if num_speakers is not None and len(people) < num_speakers:
            return people, (_too_many(num_speakers, len(people)),)
        return people, ()


def _too_many(asked: int, found: int) -> str:
    noun = "voice" if found == 1 else "voices"
    return f"{asked} speakers were asked for, but only {found} {noun} could be told apart"


def _time_s(frame: int) -> float:
    """Where a frame of the recording begins."""
    return (_FIRST_FRAME_SAMPLES + frame * FRAME_SAMPLES) / SAMPLE_RATE_HZ if frame else 0.0


def _sound_of(window: Floats, heard: NDArray[np.bool_], speaker: int) -> tuple[Floats, float]:
    """What one speaker says in a window, and for how many seconds alone.

    Where he is heard alone for less than half a second, it is all that he says. Nothing, if he is
    not heard at all.
    """
    said = heard[:, speaker]
    alone = said & (heard.sum(axis=1) == 1)
    alone_s = float(alone.sum()) * _FRAME_S
    frames = alone if alone_s >= 0.5 else said
    samples = np.repeat(frames, FRAME_SAMPLES)
    place = window[_FIRST_FRAME_SAMPLES:][: len(samples)]
    return place[samples[: len(place)]], alone_s


def _filled(sound: Floats) -> Floats:
    """A sound that is too short for the network, said over and over."""
    return sound if len(sound) >= _PART_SAMPLES else np.resize(sound, _PART_SAMPLES)


def _without_small(labels: NDArray[np.int64], seconds: Floats, min_s: float) -> NDArray[np.int64]:
    """Groups 0, 1 … that speak for `min_s` in all, or the largest; members of others are -1."""
    totals = np.bincount(labels, weights=seconds)
    large = totals >= min(min_s, float(totals.max()))
    kept = large[labels]
    found = np.full_like(labels, -1)
    found[kept] = numbered(labels[kept])
    return found


def _so_many(
    joins: Sequence[Join], seconds: Floats, num: int, options: SpeakerOptions
) -> NDArray[np.int64]:
    """Groups as `_without_small` gives them, `num` of them if so many voices differ.

    A cut into `num` groups often sets one odd sound apart: then there is a finer cut with as many
    groups that speak enough. Where none has, who speaks least is told apart too.
    """
    for size in range(num, num + _MAX_ODD + 1):
        labels = cut(joins, num=size, distance=options.same_distance)
        found = _without_small(labels, seconds, options.min_speaker_s)
        if found.max() + 1 >= num:
            return found
    return cut(joins, num=num, distance=options.same_distance)


def _assigned(near: Floats) -> tuple[int, ...]:
    """For speakers of one window, compared with all people [K, C]: who each is, all different.

    Where there are fewer people than speakers, the worst match is nobody.
    """
    num, num_people = near.shape
    if num > num_people:
        near = np.pad(near, ((0, 0), (0, num - num_people)), constant_values=-1.0)
    best: tuple[int, ...] = ()
    most = -np.inf
    candidates = sorted({int(i) for row in near for i in np.argsort(-row)[:num]})
    for people in itertools.permutations(candidates, num):
        total = float(sum(near[row, person] for row, person in enumerate(people)))
        if total > most:
            best, most = people, total
    return tuple(person if person < num_people else -1 for person in best)


def assign_speakers(
    samples: Floats,
    segments: Sequence[Segment],
    num_speakers: int | None = None,
    *,
    diarizer: Diarizer | None = None,
) -> tuple[Segment, ...]:
    """Segments of a recording [T] at 16 kHz with their speakers, divided where these change.

    StoreError if no diarizer is given and the weights cannot be fetched.
    """
    size = 10 * SAMPLE_RATE_HZ
    blocks = (samples[start : start + size] for start in range(0, len(samples), size))
    found = (diarizer or load_diarizer()).diarize(blocks, num_speakers)
    return label_segments(segments, found.turns)


def load_diarizer(options: SpeakerOptions | None = None) -> Diarizer:
    """The diarizer with the weights of the catalog, fetched if need be."""
    from mooer.store import fetch

    return Diarizer(
        SpeakerSegmenter(fetch("speaker-segmentation")),
        SpeakerEncoder(fetch("speaker-encoder")),
        options,
    )


__all__ = [
    "Diarization",
    "Diarizer",
    "Listening",
    "SpeakerOptions",
    "assign_speakers",
    "load_diarizer",
]
