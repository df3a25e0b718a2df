"""Speech in, speech in another language out: sentence by sentence, near the times of the original.

interpreter = Interpreter(translations_by(mooer.load("mini")), voicing)
with SoundFile("talk.en.wav", interpreter.rate_hz) as file:
    for sentence in interpreter.run("talk.mp3", file.write):
        print(sentence.segment.translation, sentence.start_s)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np

from mooer.audio.wave import Source
from mooer.errors import ConfigError, DecodeError
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.mixing import Mix, Samples, Spool, UnderOptions
from mooer.infer.model import Model
from mooer.infer.placing import Pace, PlaceOptions, Placer, Slot
from mooer.infer.run import OnProgress, Run
from mooer.infer.verified import VerifiedVoicing
from mooer.speak.spoken import Spoken, Voicing
from mooer.text import join_text, language_name
from mooer.transcript import Segment, Transcript, Word

logger = logging.getLogger(__name__)

MIN_SPEED, MAX_SPEED = 0.5, 2.0  # of a speaker
_MOST_FAILURES = 5  # sentences in a row that cannot be said: then it is not the sentences
_KEPT_MARGIN_S = 0.1  # around a sentence that is heard as it was spoken

# Why a sentence is left unsaid.
TOO_LATE = "it came too late"
UNSPOKEN = "it could not be spoken"
UNTRANSLATED = "it was not translated"

Outcome = Literal["spoken", "kept", "unsaid"]


@dataclass(frozen=True)
class InterpretOptions:
    """How a recording is interpreted."""

    speed: float = 1.0
    place: PlaceOptions = field(default_factory=PlaceOptions)
    under: UnderOptions | None = None  # None: the original is not heard

    def __post_init__(self) -> None:
        if not MIN_SPEED <= self.speed <= MAX_SPEED:
            raise ConfigError(f"speed must be {MIN_SPEED} to {MAX_SPEED}, not {self.speed:g}")


@dataclass(frozen=True, slots=True)
class Interpreted:
    """A sentence and when its translation is heard, in seconds from the start of the input."""

    segment: Segment  # as it was said, with its translation
    start_s: float
    end_s: float  # the same as `start_s` where nothing is heard
    outcome: Outcome = "spoken"
    speed: float = 1.0
    words: tuple[Word, ...] = ()  # of the translation; none where the speaker does not tell
    reason: str = ""  # for which it is unsaid
    heard: str | None = None  # what a recogniser understood of it, if one was asked

    @property
    def lag_s(self) -> float:
        """From the end of what was said to the begin of its translation; below 0 if that is sooner.

        >>> Interpreted(Segment(1.0, 3.0, "你好", "zh"), 3.5, 4.0).lag_s
        0.5
        """
        return self.start_s - self.segment.end_s


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """A sentence as sound."""

    clauses: tuple[Spoken, ...]
    speed: float
    heard: str | None = None

    @property
    def duration_s(self) -> float:
        """Of all its clauses."""
        return sum(len(clause.samples) / clause.rate_hz for clause in self.clauses)


class Translate(Protocol):
    """Opens an input: its run, and its segments with their translations, in order of time."""

    def __call__(
        self, source: Source, options: RecognizeOptions, on_progress: OnProgress | None
    ) -> tuple[Run, Iterable[Segment]]:
        """AudioError if it cannot be read; ConfigError for languages that cannot be had."""
        ...


def translations_by(model: Model, glossary: Mapping[str, str] | None = None) -> Translate:
    """The model's own translations, if it translates what it hears; else those of its LLM."""

    def translate(
        source: Source, options: RecognizeOptions, on_progress: OnProgress | None
    ) -> tuple[Run, Iterable[Segment]]:
        if model.translates and not glossary:
            wanted = replace(options, task="asr_ast")
            run = model.recognizer.run(source, wanted, on_progress=on_progress)
            return run, run
        wanted = replace(options, task="asr")
        run = model.recognizer.run(source, wanted, on_progress=on_progress)
        return run, model.translator.stream(run, to=options.to, glossary=glossary)

    return translate


class Interpreter:
    """Speaks translations of recordings, one at a time."""

    def __init__(
        self, translate: Translate, voicing: Voicing, options: InterpretOptions | None = None
    ) -> None:
        self.options = options or InterpretOptions()
        self.rate_hz = voicing.rate_hz
        self._translate = translate
        self._voicing = voicing
        self._pace = Pace()

    def run(
        self,
        source: Source,
        write: Callable[[Samples], None],
        recognize: RecognizeOptions | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> Interpretation:
        """Open an input; iterate the result for sentences. Its sound is given to `write`.

        That is mono [T] at `rate_hz`, in order, from the start of the input to its end or a little
        longer. `recognize.to` is the language. AudioError if the input cannot be read.
        """
        recognize = recognize or RecognizeOptions()
        run, segments = self._translate(source, recognize, on_progress)
        return Interpretation(self, run, segments, write, recognize)

    def speak(self, text: str, slot: Slot) -> Said:
        """A text as clauses, at a speed by which it fits its slot; none if it cannot be said."""
        base, placer = self.options.speed, Placer(self.options.place)
        natural_s = self._pace.natural_s(text) / base
        speed = self._within(base * placer.speed(slot, natural_s))
        said = self._say(text, speed)
        self._pace.learn(text, said.duration_s, speed)
        if placer.is_too_long(slot, said.duration_s, speed / base):
            again = self._say(
                text, self._within(base * placer.speed(slot, said.duration_s * speed / base))
            )
            if again.clauses and again.duration_s < said.duration_s:
                return again
        return said

    def _say(self, text: str, speed: float) -> Said:
        found: list[Spoken] = []
        heard: list[str] = []
        try:
            with closing(self._voicing.voice([text], speed=speed)) as clauses:
                for spoken in clauses:
                    found.append(spoken)
                    if isinstance(self._voicing, VerifiedVoicing) and self._voicing.last:
                        heard.append(self._voicing.last.heard)
        except DecodeError as error:
            logger.warning("%s", error)
            return Said((), speed)
        return Said(tuple(found), speed, join_text(heard) if heard else None)

    @staticmethod
    def _within(speed: float) -> float:
        return round(min(max(speed, MIN_SPEED), MAX_SPEED), 3)


class Interpretation:
    """One recording on its way through an interpreter: an iterator of sentences."""

    def __init__(
        self,
        interpreter: Interpreter,
        run: Run,
        segments: Iterable[Segment],
        write: Callable[[Samples], None],
        recognize: RecognizeOptions,
    ) -> None:
        self.run = run
        self.to = recognize.to
        self.duration_s = 0.0  # of the sound that was written
        self._interpreter = interpreter
        self._segments = segments
        self._write = write
        self._placer = Placer(interpreter.options.place)
        self._num_failed = 0  # in a row
        self._counts: dict[str, int] = {}
        self._sentences = self._interpret()

    def __iter__(self) -> Iterator[Interpreted]:
        return self._sentences

    @property
    def warnings(self) -> list[str]:
        """What was amiss, in sentences; complete at the end."""
        found = list(self.run.wave.warnings)
        found += [
            f"{num} sentence{'s were' if num > 1 else ' was'} left unsaid: {reason}"
            for reason, num in self._counts.items()
            if reason not in ("spoken", "kept")
        ]
        if self._counts.get("kept") and not self._counts.get("spoken"):
            name = language_name(self.to)
            found.append(f"all that was said is {name} already: it is heard as it was spoken")
        return found

    def transcript(self, sentences: Iterable[Interpreted]) -> Transcript:
        """The segments as they were said, with their translations; asked for at the end."""
        transcript = self.run.transcript(one.segment for one in sentences)
        return replace(
            transcript, task="ast", translation_language=self.to, warnings=tuple(self.warnings)
        )

    def _interpret(self) -> Iterator[Interpreted]:
        with Spool() as original, closing(self.run):
            self.run.overhear(original.push)
            interpreter = self._interpreter
            under = interpreter.options.under
            mix = Mix(self._write, interpreter.rate_hz, original, under)
            try:
                held: Segment | None = None
                for segment in self._segments:
                    if not segment.text.strip():
                        continue
                    if held is not None:
                        yield self._placed(held, segment, mix, original)
                    held = segment
                if held is not None:
                    yield self._placed(held, None, mix, original)
                mix.finish()
            finally:
                self.duration_s = mix.written_s

    def _placed(
        self, segment: Segment, following: Segment | None, mix: Mix, original: Spool
    ) -> Interpreted:
        place_s = self._placer.place_s(segment.start_s, segment.end_s)
        next_s: float | None = None
        if following is not None:
            next_s = self._placer.place_s(following.start_s, following.end_s)
        slot = self._placer.slot(place_s, next_s)
        found, samples = self._spoken(segment, slot, original)
        if len(samples):
            mix.say(slot.start_s, samples)
            self._placer.put(slot, len(samples) / mix.rate_hz)
        self._count(found)
        mix.settle(max(self._placer.free_s, next_s or 0.0))
        return found

    def _spoken(self, segment: Segment, slot: Slot, original: Spool) -> tuple[Interpreted, Samples]:
        silent = Interpreted(segment, slot.start_s, slot.start_s, "unsaid")
        nothing = np.zeros(0, np.float32)
        translation = (segment.translation or "").strip()
        if not translation:
            return replace(silent, reason=UNTRANSLATED), nothing
        if slot.is_late:
            return replace(silent, reason=TOO_LATE), nothing
        rate_hz = self._interpreter.rate_hz
        if segment.language == self.to:
            start_s = max(0.0, segment.start_s - _KEPT_MARGIN_S)
            samples = original.cut(start_s, segment.end_s + _KEPT_MARGIN_S, rate_hz)
            end_s = slot.start_s + len(samples) / rate_hz
            return replace(silent, outcome="kept", end_s=_round(end_s)), samples
        said = self._interpreter.speak(translation, slot)
        if not said.clauses:
            return replace(silent, reason=UNSPOKEN), nothing
        samples = np.concatenate([clause.samples for clause in said.clauses])
        return Interpreted(
            segment,
            _round(slot.start_s),
            _round(slot.start_s + len(samples) / rate_hz),
            speed=said.speed,
            words=tuple(_words(said.clauses, slot.start_s)),
            heard=said.heard,
        ), samples

    def _count(self, found: Interpreted) -> None:
        key = found.reason or found.outcome
        self._counts[key] = self._counts.get(key, 0) + 1
        is_failed = found.reason == UNSPOKEN
        self._num_failed = self._num_failed + 1 if is_failed else 0
        if self._num_failed >= _MOST_FAILURES:
            raise DecodeError(
                f"the speaker could not say {self._num_failed} sentences one after the other, the "
                f"last {found.segment.translation!r}: take another by --speaker"
            )


def subtitles(sentences: Iterable[Interpreted], to: str, *, bilingual: bool) -> tuple[Segment, ...]:
    """Segments at the times when the translation is heard; what is unsaid stands there too.

    `bilingual`: the original is their text; else the translation is, with the times of its words.
    """
    found: list[Segment] = []
    for one in sentences:
        segment = replace(one.segment, start_s=one.start_s, end_s=one.end_s, words=None)
        if not bilingual:
            segment = replace(
                segment,
                text=segment.translation or "",
                translation=None,
                language=to,
                words=one.words or None,
            )
        found.append(segment)
    return tuple(segment for segment in found if segment.text)


def _words(clauses: Iterable[Spoken], start_s: float) -> Iterator[Word]:
    for clause in clauses:
        for word in clause.words:
            yield Word(_round(start_s + word.start_s), _round(start_s + word.end_s), word.text, 1.0)
        start_s += len(clause.samples) / clause.rate_hz


def _round(time_s: float) -> float:
    return round(time_s, 3)
