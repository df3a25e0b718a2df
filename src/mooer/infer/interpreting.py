"""A stream interpreted while it is spoken: samples are pushed, and translations come as sound.

    with interpret_live(mooer.load("mini"), voicing, RecognizeOptions(to="en")) as stream:
        for block in microphone:                   # float32 [T] at 16 kHz
            for event in stream.push(block):
                ...                                # Partial, Final, Said, Translated, Voiced, …

A sentence is translated and spoken by a thread of its own, one after the other, so that the words
of the next are heard meanwhile. What falls too far behind is spoken faster, and at last left out:
neither sentences nor sounds pile up.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from threading import Event, Lock
from typing import TYPE_CHECKING

import numpy as np

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import ConfigError, DecodeError
from mooer.infer.ear import Samples
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.interpret import (
    MAX_SPEED,
    TOO_LATE,
    UNSPOKEN,
    UNTRANSLATED,
    InterpretOptions,
)
from mooer.infer.listening import listen_by
from mooer.infer.longform import Chunk
from mooer.infer.model import Model
from mooer.infer.placing import Placer
from mooer.infer.stream import Session, StreamEvent, Translate
from mooer.infer.translator import Translator
from mooer.infer.utterance import LiveOptions
from mooer.speak.spoken import Spoken, Voicing
from mooer.transcript import Segment

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Translated:
    """A sentence with its translation, which is about to be spoken."""

    segment: Segment


@dataclass(frozen=True, slots=True, eq=False)
class Voiced:
    """A clause of a translation as sound, to be heard from `start_s` of the stream on.

    It begins where the one before it ends, or when it is told, if that is later.
    """

    segment: Segment  # with its translation
    spoken: Spoken
    start_s: float
    speed: float
    is_first: bool  # of its sentence

    @property
    def end_s(self) -> float:
        """Where its sound ends."""
        return self.start_s + len(self.spoken.samples) / self.spoken.rate_hz

    @property
    def lag_s(self) -> float:
        """From the end of the sentence to this sound."""
        return self.start_s - self.segment.end_s


@dataclass(frozen=True, slots=True)
class Unsaid:
    """A sentence of which no translation is heard."""

    segment: Segment
    reason: str


InterpretEvent = StreamEvent | Translated | Voiced | Unsaid


class LiveInterpreter:
    """One stream; use it from one thread. A context manager, which lets go of its own thread.

    `translate` may take its time, and so may `voicing`: both are called in the other thread alone.
    With an executor of the caller's own, sentences are done wherever that does them.
    """

    def __init__(
        self,
        make_session: Callable[[Callable[[Translate | None], Translate]], Session],
        voicing: Voicing,
        to: str,
        options: InterpretOptions | None = None,
        *,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate_hz = voicing.rate_hz
        self._voicing = voicing
        self._to = to
        self._options = options or InterpretOptions()
        self._placer = Placer(self._options.place)
        self._own = None if executor else ThreadPoolExecutor(1, "interpret")
        self._executor: Executor | None = executor or self._own
        self._clock = clock
        self._began_at: float | None = None
        self._jobs: deque[Future[None]] = deque()
        self._news: deque[Translated | Unsaid | tuple[Segment, Spoken, float, bool]] = deque()
        self._lock = Lock()
        self._is_left = Event()
        self._free_s = 0.0  # where the last sound ends that was told
        self._untold_s = 0.0  # of sound that was spoken since
        self._num_waiting = 0  # sentences that are not begun
        self._translate: Translate | None = None
        self.session = make_session(self._instead)

    def warm(self) -> None:
        """Translate and speak a word, so that the first sentence finds all that is loaded late.

        To be called before the first samples come.
        """
        assert self._executor is not None
        self._executor.submit(self._warm).result()

    def run_by(self, clock: Callable[[], float]) -> None:
        """Measure time by another clock, in the session too."""
        self._clock, self._began_at = clock, None
        self.session.run_by(clock)

    @property
    def now_s(self) -> float:
        """The time of the stream: what was pushed, or what the clock says, if that is more."""
        pushed_s = self.session.time_s
        if self._began_at is None:
            return pushed_s
        return max(pushed_s, self._clock() - self._began_at)

    def push(self, samples: Samples) -> list[InterpretEvent]:
        """Take float32 [T] at 16 kHz; what came of it, and of all before.

        AudioError as a session has it, DecodeError and others from the thread that speaks.
        """
        if self._began_at is None:
            self._began_at = self._clock()
        return [*self.session.push(samples), *self._told()]

    def poll(self) -> list[InterpretEvent]:
        """To be called now and then while no samples come."""
        return [*self.session.poll(), *self._told()]

    def flush(self) -> list[InterpretEvent]:
        """The stream ends here: its last sentence is waited for."""
        return [*self.session.flush(), *self._told(wait=True)]

    def follow(self, blocks: Iterable[Samples]) -> Iterator[InterpretEvent]:
        """Push all blocks, and flush."""
        for block in blocks:
            yield from self.push(block)
        yield from self.flush()

    def close(self) -> None:
        """Give up what is not spoken yet."""
        self._is_left.set()
        for job in self._jobs:
            job.cancel()
        if self._own is not None:
            self._own.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_reason: object) -> None:
        self.close()

    # --- in the caller's thread -------------------------------------------------------------------

    def _instead(self, translate: Translate | None) -> Translate:
        """What the session calls with each sentence: it is only put behind the others."""
        if translate is None:
            raise ConfigError("this session does not translate: ask for the task ast")
        self._translate = translate

        def put_behind(chunk: Chunk, segment: Segment) -> Segment:
            assert self._executor is not None
            with self._lock:
                self._num_waiting += 1
            self._jobs.append(self._executor.submit(self._interpret, chunk, segment))
            return segment

        return put_behind

    def _told(self, *, wait: bool = False) -> list[InterpretEvent]:
        """What the other thread has done; its errors are raised."""
        while self._jobs and (wait or self._jobs[0].done()):
            self._jobs.popleft().result()
        found: list[InterpretEvent] = []
        while self._news:
            news = self._news.popleft()
            found.append(self._voiced(*news) if isinstance(news, tuple) else news)
        return found

    def _voiced(self, segment: Segment, spoken: Spoken, speed: float, is_first: bool) -> Voiced:
        seconds = len(spoken.samples) / spoken.rate_hz
        with self._lock:
            gap_s = self._placer.options.gap_s if is_first and self._free_s else 0.0
            start_s = max(self.now_s, self._free_s + gap_s)
            self._free_s = start_s + seconds
            self._untold_s = max(0.0, self._untold_s - seconds)
        return Voiced(segment, spoken, round(start_s, 3), speed, is_first)

    # --- in the other -----------------------------------------------------------------------------

    def _warm(self) -> None:
        text, language = ("Hello.", "en") if self._to == "zh" else ("你好。", "zh")
        silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
        chunk = Chunk(silence, ((0, SAMPLE_RATE_HZ),), 1.0)
        found = self._translated(chunk, Segment(0.0, 1.0, text, language))
        try:
            with closing(self._voicing.voice([found.translation or "OK."])) as clauses:
                next(clauses, None)
        except DecodeError as error:
            logger.warning("%s", error)

    def _interpret(self, chunk: Chunk, segment: Segment) -> None:
        """Translate a sentence and speak it, unless it is too late for that."""
        with self._lock:
            self._num_waiting -= 1
        if self._is_left.is_set():
            return
        if segment.language == self._to:
            self._news.append(Unsaid(segment, "it was said in that language"))
        elif self._lag_s(segment) > self._placer.options.max_lag_s:
            self._leave_out(segment, TOO_LATE)
        else:
            self._speak(self._translated(chunk, segment))

    def _translated(self, chunk: Chunk, segment: Segment) -> Segment:
        assert self._translate is not None
        try:
            return self._translate(chunk, segment)
        except DecodeError as error:
            logger.warning("%s", error)
            return segment

    def _speak(self, segment: Segment) -> None:
        translation = (segment.translation or "").strip()
        if not translation:
            self._leave_out(segment, UNTRANSLATED)
            return
        self._news.append(Translated(segment))
        if self._lag_s(segment) > self._placer.options.max_lag_s:  # translating took its time
            self._leave_out(segment, TOO_LATE)
            return
        speed = round(self._options.speed * self._placer.catching_up(self._hurry_s()), 3)
        is_first = True
        try:
            with closing(
                self._voicing.voice([translation], speed=min(speed, MAX_SPEED))
            ) as clauses:
                for spoken in clauses:
                    if self._is_left.is_set():
                        return
                    with self._lock:
                        self._untold_s += len(spoken.samples) / spoken.rate_hz
                    self._news.append((segment, spoken, speed, is_first))
                    is_first = False
        except DecodeError as error:
            logger.warning("%s", error)
        if is_first:
            self._leave_out(segment, UNSPOKEN)

    def _lag_s(self, segment: Segment) -> float:
        """How late a sentence would be heard that is translated now."""
        with self._lock:
            return max(self.now_s, self._free_s + self._untold_s) - segment.end_s

    def _hurry_s(self) -> float:
        """How much sound is still to be heard, a second or more for each sentence that waits."""
        with self._lock:
            playing_s = max(0.0, self._free_s + self._untold_s - self.now_s)
            return playing_s + self._num_waiting

    def _leave_out(self, segment: Segment, reason: str) -> None:
        self._news.append(Unsaid(segment, reason))


def interpret_live(
    model: Model,
    voicing: Voicing,
    recognize: RecognizeOptions | None = None,
    live: LiveOptions | None = None,
    options: InterpretOptions | None = None,
) -> LiveInterpreter:
    """A stream that the model hears and translates; where it does not, its LLM does.

    ConfigError if it cannot hear a stream, or the languages cannot be had.
    """
    recognize = recognize or RecognizeOptions()
    listener = model.recognizer
    if model.translates:
        wanted = replace(recognize, task="asr_ast")
        return LiveInterpreter(
            lambda instead: listen_by(listener, wanted, live, instead=instead),
            voicing,
            recognize.to,
            options,
        )
    translate = LlmTranslation(model.translator, recognize.to)
    wanted = replace(recognize, task="asr")
    return LiveInterpreter(
        lambda instead: listen_by(
            listener, wanted, live, instead=lambda own: instead(own or translate)
        ),
        voicing,
        recognize.to,
        options,
    )


class LlmTranslation:
    """What a language model makes of a sentence, without its sound."""

    def __init__(self, translator: Translator, to: str) -> None:
        self._translator = translator
        self._to = to

    def __call__(self, chunk: Chunk, segment: Segment) -> Segment:
        """The segment with its translation; without, where the pair of languages has none."""
        try:
            return next(iter(self._translator.stream([segment], to=self._to)))
        except ConfigError as error:
            logger.warning("%s", error)
            return segment
