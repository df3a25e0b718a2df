"""A stream of sound on its way: samples are pushed, and words come while they are said.

    session = mooer.load().listen(language="en")
    for block in microphone:                       # float32 [T] at 16 kHz
        for event in session.push(block):
            ...                                    # Partial, Final, Said, EndPoint
    events = session.flush()

Silero's VAD finds utterances, so that silence costs nothing and nobody is asked what it says. While
one is spoken its sound is heard again each step, and local agreement tells which words are final
(`mooer.decoding.commit`). A final word never changes.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from mooer.audio.endpoint import FRAME_S, Endpointer, Sound
from mooer.audio.vad import FRAME_SAMPLES, SpeechModel, SpeechStream
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.engines.whisper import TimedWord
from mooer.errors import AudioError
from mooer.infer.ear import Ear, Samples
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk
from mooer.infer.run import transcript_of
from mooer.infer.utterance import LiveOptions, Utterance
from mooer.infer.written import Writer, in_script
from mooer.transcript import Segment, Transcript, Word

logger = logging.getLogger(__name__)

_JITTER_S = 0.02  # by which times of pushes may be off
_MAX_WARNINGS = 20
_MOST_BEHIND_S = 3.0  # which keeps the window well below what an ear can hear at once
_LOUD = 1.5  # above it the samples are no sound in [-1, 1]


@dataclass(frozen=True, slots=True)
class Partial:
    """The words after the last final one, as they seem now; they replace those of the one before.

    A word carries the space before it: joined they are the text.
    """

    words: tuple[Word, ...]
    language: str

    @property
    def text(self) -> str:
        """The words joined, the first with its space."""
        return "".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Final(Partial):
    """Further words that will not change; they follow the final words before them."""


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence all of whose words are final, as it is written and, if asked for, translated."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class EndPoint:
    """The utterance is over: what is said next begins a new one."""

    time_s: float  # of the last sound that belongs to it


StreamEvent = Partial | Final | Said | EndPoint
Translate = Callable[[Chunk, Segment], Segment]


class Session:
    """One stream; use it from one thread.

    `push` takes sound and `poll` the news that there is none; each returns what came of it. Nothing
    is kept but the last window of sound.
    """

    def __init__(
        self,
        ear: Ear,
        vad: SpeechModel,
        options: RecognizeOptions | None = None,
        live: LiveOptions | None = None,
        *,
        name: str = "",
        versions: dict[str, str] | None = None,
        translate: Translate | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.versions = versions or {}
        self.warnings: list[str] = []
        self._ear = ear
        self._options = options or RecognizeOptions()
        self._live = live or LiveOptions()
        self._translate = translate
        self._clock = clock
        self._writer = Writer(self._options)
        self._speech = SpeechStream(vad)
        self._ends = Endpointer(self._options.vad, self._live.endpoint)
        self._lead: deque[tuple[Samples, float]] = deque(
            maxlen=max(1, round(self._options.vad.pad_s / FRAME_S))
        )
        self._origin = 0  # sample at which the VAD began
        self._num_frames = 0  # that it was given since
        self._num_samples = 0  # of the stream: where the next push begins
        self._utterance: Utterance | None = None
        self._shown: tuple[Word, ...] = ()  # the words of the last Partial
        self._last_s = 0.0  # end of the last final word
        self._unheard_s = 0.0  # sound since the window was last heard
        self._is_heard_out = False  # whether all speech so far was heard with care
        self._debt_s = 0.0  # by which hearing is behind the stream
        self._behind_s = 0.0  # sound that waits elsewhere
        self._pushed_at: float | None = None

    @property
    def time_s(self) -> float:
        """Where in the stream the next samples belong."""
        return self._num_samples / SAMPLE_RATE_HZ

    @property
    def is_open(self) -> bool:
        """Whether an utterance has begun, be it a burst of noise."""
        return self._utterance is not None

    @property
    def speaking_since_s(self) -> float | None:
        """Where the utterance began that is being said; None in silence, and for a mere burst."""
        if self._utterance is None or not self._ends.is_speech:
            return None
        return self._utterance.begin_s

    def fall_behind(self, seconds: float) -> None:
        """Say how much sound waits to be pushed: steps are so much longer, by 3 s at most."""
        self._behind_s = min(max(0.0, seconds), _MOST_BEHIND_S)

    def run_by(self, clock: Callable[[], float]) -> None:
        """Measure time by another clock: one that runs as fast as a file is played."""
        self._clock = clock

    def push(self, samples: Samples, start_s: float | None = None) -> list[StreamEvent]:
        """Take float32 [T] in [-1, 1] at 16 kHz; what came of it, in order.

        `start_s` says where in the stream they belong: a gap before them is silence, what was there
        already is dropped, and both are warned of. AudioError for anything else, and then nothing
        of it is taken.
        """
        samples = self._checked(samples, start_s)
        events = self._stalled(len(samples) / SAMPLE_RATE_HZ)
        if start_s is not None:
            gap_s = start_s - self.time_s
            if gap_s > _JITTER_S:
                self._warn(f"a gap of {gap_s:.2f} s at {self.time_s:.2f} s is taken for silence")
                events += self._skip(round(start_s * SAMPLE_RATE_HZ))
            elif gap_s < -_JITTER_S:
                self._warn(f"{-gap_s:.2f} s before {self.time_s:.2f} s came again: left out")
                samples = samples[min(len(samples), round(-gap_s * SAMPLE_RATE_HZ)) :]
        events += self._take(samples)
        self._pushed_at = self._clock()
        return events

    def poll(self) -> list[StreamEvent]:
        """To be called now and then while no samples come: a stalled utterance is ended."""
        return self._stalled(0.0)

    def flush(self) -> list[StreamEvent]:
        """The stream ends here, be it within a word. What is pushed after it is a new utterance."""
        events = list(chain.from_iterable(self._frame(*one) for one in self._speech.flush()))
        if self._utterance is not None:
            events += self._end()
        self._begin_at(self._num_samples)
        return events

    def follow(self, blocks: Iterable[Samples]) -> Iterator[StreamEvent]:
        """Push all blocks, and flush: the events of a stream that has an end."""
        for block in blocks:
            yield from self.push(block)
        yield from self.flush()

    def transcript(self, segments: Iterable[Segment], source: str = "") -> Transcript:
        """The transcript of the segments that this session has `Said`."""
        return replace(
            transcript_of(segments, self._options, self.time_s),
            model=self.name,
            source=source,
            language_probability=self._ear.language_probability,
            versions=self.versions,
            warnings=tuple(self.warnings),
        )

    # --- samples ----------------------------------------------------------------------------------

    def _checked(self, samples: Samples, start_s: float | None) -> Samples:
        wanted = "push takes float32 samples [T] in [-1, 1] at 16 kHz"
        mend = "a Converter takes those of other rates, types and channels"
        if not isinstance(samples, np.ndarray):
            raise AudioError(f"{wanted}, got {type(samples).__name__}: {mend}")
        if samples.dtype != np.float32 or samples.ndim != 1:
            got = f"{samples.dtype} of shape {list(samples.shape)}"
            raise AudioError(f"{wanted}, got {got}: {mend}")
        if not len(samples):
            raise AudioError(f"{wanted}, got none: call poll() while there are none")
        if not np.isfinite(samples).all():
            num = int(np.count_nonzero(~np.isfinite(samples)))
            raise AudioError(f"{wanted}, got {num} that are no numbers: set them to 0 first")
        if start_s is not None and not (math.isfinite(start_s) and start_s >= 0):
            raise AudioError(f"samples begin at 0 s or later, not at {start_s} s")
        if max(samples.max(), -samples.min()) > _LOUD:
            self._warn("samples beyond ±1 were cut: scale the sound to [-1, 1] first", once=True)
            return np.clip(samples, -1.0, 1.0)
        return samples

    def _take(self, samples: Samples) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for start in range(0, len(samples), SAMPLE_RATE_HZ):
            piece = samples[start : start + SAMPLE_RATE_HZ]
            self._num_samples += len(piece)
            for frame, prob in self._speech.push(piece):
                events += self._frame(frame, prob)
        return events

    def _skip(self, to_sample: int) -> list[StreamEvent]:
        """Go on at a later sample; an utterance ends if the silence is long enough for that."""
        missing = to_sample - self._num_samples
        enough = round((self._live.endpoint.end_s + self._options.vad.pad_s) * SAMPLE_RATE_HZ)
        events = self._take(np.zeros(min(missing, enough), np.float32))
        if missing > enough:
            events += self.flush()
            self._num_samples = to_sample
            self._begin_at(to_sample)
        return events

    def _stalled(self, expected_s: float) -> list[StreamEvent]:
        """End the utterance if nothing came for too long; a push may take as long as its sound."""
        if self._utterance is None or self._pushed_at is None or self._live.stall_s is None:
            return []
        waited_s = self._clock() - self._pushed_at - expected_s
        if waited_s < self._live.stall_s:
            return []
        self._warn(f"no sound came for {waited_s:.1f} s at {self.time_s:.2f} s: utterance ended")
        return self._end()

    def _begin_at(self, sample: int) -> None:
        self._origin, self._num_frames = sample, 0
        self._lead.clear()

    # --- frames -----------------------------------------------------------------------------------

    def _frame(self, frame: Samples, prob: float) -> list[StreamEvent]:
        self._num_frames += 1
        self._lead.append((frame, prob))
        self._debt_s = max(0.0, self._debt_s - FRAME_S)
        sound = self._ends.push(prob)
        if sound is Sound.SILENCE:
            return []
        if sound is Sound.BEGIN:
            self._begin()
            return []
        assert self._utterance is not None
        self._utterance.add(frame, prob)
        self._unheard_s += FRAME_S
        if prob >= self._options.vad.release:
            self._is_heard_out = False
        if sound is Sound.END:
            return self._end()
        return self._hear(last=sound is Sound.PAUSE) if self._is_due(sound) else []

    def _begin(self) -> None:
        """An utterance, with the sound just before it."""
        frames = list(self._lead)
        end = self._origin + self._num_frames * FRAME_SAMPLES
        self._utterance = Utterance(
            self._ear,
            self._live,
            start_sample=end - len(frames) * FRAME_SAMPLES,
            since_s=self._last_s,
        )
        for frame, prob in frames:
            self._utterance.add(frame, prob)
        self._unheard_s, self._is_heard_out = FRAME_S, False

    def _is_due(self, sound: Sound) -> bool:
        """Whether to hear the window now: each step, and when a pause begins."""
        if not self._ends.is_speech or self._is_heard_out:
            return False
        step_s = self._live.step_s + self._behind_s
        wanted = sound is Sound.PAUSE or self._unheard_s >= step_s
        if not wanted or not self._live.adaptive or self._debt_s <= 0:
            return wanted
        if self._unheard_s >= 2 * self._live.step_s:
            self._warn(
                f"hearing takes longer than a step of {self._live.step_s:g} s: some are left out, "
                "and words come later (a longer step, or a smaller model, mends it)",
                once=True,
            )
        return False

    def _hear(self, *, last: bool) -> list[StreamEvent]:
        utterance = self._utterance
        assert utterance is not None
        began = self._clock()
        words = utterance.hear(last=last)
        self._unheard_s, self._is_heard_out = 0.0, last
        events = self._told(utterance, words)
        for sentence in utterance.sentences(last=False):
            events.append(self._said(utterance, sentence))
        utterance.trim()
        self._debt_s += self._clock() - began
        return events

    def _end(self) -> list[StreamEvent]:
        """End the utterance: all its words are final."""
        utterance = self._utterance
        assert utterance is not None
        events: list[StreamEvent] = []
        if self._ends.is_speech and not self._is_heard_out:
            events += self._hear(last=True)
        self._utterance = None
        self._ends.close()
        if not self._ends.is_speech:  # a burst of noise
            return []
        events += self._told(utterance, utterance.finish())
        for sentence in utterance.sentences(last=True):
            events.append(self._said(utterance, sentence))
        return [*events, EndPoint(round(utterance.end_s, 3))]

    # --- words ------------------------------------------------------------------------------------

    def _told(self, utterance: Utterance, finals: Sequence[TimedWord]) -> list[StreamEvent]:
        """What is new: words that are final, and words that are open and were not so before."""
        events: list[StreamEvent] = []
        if finals:
            self._last_s = utterance.last_s
            events.append(Final(self._written(finals, utterance.language), utterance.language))
            self._shown = self._shown[len(finals) :]
        partial = self._written(utterance.open, utterance.language)
        if partial != self._shown:
            events.append(Partial(partial, utterance.language))
            self._shown = partial
        return events

    def _written(self, words: Sequence[TimedWord], language: str) -> tuple[Word, ...]:
        """Words with rounded times, Chinese in the script that is wanted."""
        script = self._options.script
        return tuple(
            Word(
                round(word.start_s, 3),
                round(word.end_s, 3),
                in_script(word.text, language, script),
                round(word.probability, 4),
            )
            for word in words
        )

    def _said(self, utterance: Utterance, sentence: Sequence[TimedWord]) -> Said:
        """A sentence as a segment."""
        words = self._written(sentence, utterance.language)
        segment = Segment(
            start_s=words[0].start_s,
            end_s=words[-1].end_s,
            text="".join(word.text for word in words).strip(),
            language=utterance.language,
            words=tuple(replace(word, text=word.text.strip()) for word in words),
            warnings=utterance.warnings,
        )
        segment = self._writer.write(segment)
        if self._translate is not None:
            segment = self._translate(utterance.sound(sentence), segment)
        return Said(segment if self._options.words else replace(segment, words=None))

    def _warn(self, sentence: str, *, once: bool = False) -> None:
        if once and sentence in self.warnings:
            return
        logger.warning("%s", sentence)
        if len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append(sentence)
