"""A speaker that many use: one clause after the other, in a fair order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mooer.engines.llm import usable_cores
from mooer.errors import ConfigError, DecodeError, did_you_mean
from mooer.serve.batcher import Batcher
from mooer.serve.jobs import Job
from mooer.serve.settings import Settings
from mooer.speak import Speaker, SpeakerVoicing, Voice, voicing_of
from mooer.speak import load_speaker as load_by_name
from mooer.speak.base import Samples, Stretch, TimedSpeaker, voices_for
from mooer.speak.clauses import ClauseOptions

# That OpenAI's clients have built in; `SpeakerEngine.voice` says which of the speaker's each is.
OPENAI_VOICES: tuple[str, ...] = (
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "fable",
    "nova",
    "onyx",
    "sage",
)
OPENAI_VOICES += ("shimmer", "verse", "marin", "cedar")

Wanted = tuple[str, str, Voice, float]  # text, language, voice, speed
Timed = tuple[Samples, tuple[Stretch, ...]]


class SpeakerEngine:
    """A `Speaker` behind a queue."""

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker
        self.rate_hz = speaker.rate_hz
        self.voices = speaker.voices
        self._batcher = Batcher[Wanted, Timed](self._say, max_batch=1, name="speaker")

    def voice(self, name: str, language: str | None) -> Voice:
        """A voice by its name, by OpenAI's, or blended. ConfigError for another.

        One of OpenAI's is a native of the language: of the same name, or by its place. Where the
        language is not known, of the speaker's first.
        """
        if name in OPENAI_VOICES and name not in self.voices:
            own = voices_for(self.speaker, language or self.speaker.languages[0])
            namesake = (one for one in own if one.endswith(f"_{name}"))
            return Voice.parse(next(namesake, own[OPENAI_VOICES.index(name) % len(own)]))
        voice = Voice.parse(name)
        for part, _ in voice.parts:
            if part not in self.voices:
                known = [*self.voices, *OPENAI_VOICES]
                raise ConfigError(f"unknown voice {part[:64]!r}: {did_you_mean(part[:64], known)}")
        return voice

    def voicing(self, job: Job, clauses: ClauseOptions | None = None) -> SpeakerVoicing:
        """What speaks for one job, each clause in that caller's turn."""
        return voicing_of(_InTurn(self, job), clauses=clauses)

    def speak(self, job: Job, text: str, voice: Voice, speed: float) -> Iterator[Samples]:
        """Samples [T] at `rate_hz` by clauses. DecodeError if there is nothing to say."""
        has_spoken = False
        for spoken in self.voicing(job).voice([text], voice=voice, speed=speed):
            yield spoken.samples
            has_spoken = True
        if not has_spoken:
            raise DecodeError("there is nothing to say in the text: give it words")

    def close(self) -> None:
        """End its thread."""
        self._batcher.close()

    def say(self, job: Job, wanted: Wanted) -> Timed:
        """One clause, when it is this job's turn."""
        [found] = self._batcher.map(job, None, [wanted], [float(len(wanted[0]))])
        return found

    def _say(self, _: object, wanted: Sequence[Wanted]) -> list[Timed]:
        found = []
        for text, language, voice, speed in wanted:
            if isinstance(self.speaker, TimedSpeaker):
                found.append(self.speaker.speak_timed(text, language, voice, speed=speed))
            else:
                found.append((self.speaker.speak(text, language, voice, speed=speed), ()))
        return found


class _InTurn:
    """The engine's speaker as one job has it."""

    def __init__(self, engine: SpeakerEngine, job: Job) -> None:
        self._engine, self._job = engine, job
        speaker = engine.speaker
        self.rate_hz, self.voices = speaker.rate_hz, speaker.voices
        self.languages = speaker.languages

    def speak(self, text: str, language: str, voice: Voice, *, speed: float = 1.0) -> Samples:
        return self.speak_timed(text, language, voice, speed=speed)[0]

    def native_voices(self, language: str) -> tuple[str, ...]:
        return voices_for(self._engine.speaker, language)

    def speak_timed(self, text: str, language: str, voice: Voice, *, speed: float = 1.0) -> Timed:
        return self._engine.say(self._job, (text, language, voice, speed))


def load_speaker(name: str, settings: Settings) -> SpeakerEngine:
    """A speaker of the catalog. StoreError or ModelError if it cannot be had."""
    return SpeakerEngine(load_by_name(name, num_threads=settings.threads or usable_cores()))
