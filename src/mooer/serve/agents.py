"""Agents that many converse with, each in a session of its own, over the same models.

An agent hears by the server's recogniser and speaks by its speaker. Its mind, what finds the end of
a turn, and what it looks things up in are loaded here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mooer.agent.hearing import WhisperHear
from mooer.agent.jobs import ThreadJobs
from mooer.agent.mind import Knowledge, Mind
from mooer.agent.minds import MINDS
from mooer.agent.options import AgentOptions
from mooer.agent.own_tools import own_tools
from mooer.agent.parts import Heard, Parts, TurnModel
from mooer.agent.persona import Persona, read_persona
from mooer.agent.session import Session
from mooer.agent.tools import Toolbox
from mooer.agent.warming import warming
from mooer.audio.pcm import Floats
from mooer.audio.vad import SpeechModel, SpeechProbability
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.engines.llm import usable_cores
from mooer.engines.smart_turn import SmartTurn
from mooer.errors import ConfigError
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.recognizer import Recognizer
from mooer.infer.run import Listener
from mooer.serve.conversation_session import ConversationSession
from mooer.serve.engines import Recogniser
from mooer.serve.jobs import Job
from mooer.serve.settings import Settings
from mooer.serve.shared_agent import SharedHear, SharedMind, Thinking, hearing_thread
from mooer.serve.speakers import SpeakerEngine
from mooer.speak.clauses import SOON
from mooer.store import fetch

_LANGUAGES = ("zh", "en")  # that people are taken to speak, where a persona does not say
_USUAL = Persona("You are a friendly and dependable voice assistant.", name="mooer")


class Ears:
    """The server's recogniser for one conversation (a `Hear`); Whisper in its quick way."""

    def __init__(self, listener: Listener, languages: Sequence[str]) -> None:
        self._listener = listener
        self._languages = languages

    def hear(self, samples: Floats, *, language: str | None = None, is_final: bool = True) -> Heard:
        """What is said in samples [T] at 16 kHz."""
        if isinstance(self._listener, Recognizer):
            engine = self._listener.engine  # of one thread
            if not engine.is_small:
                engine = self._listener.engine_for(None)  # whichever suits the moment
            hear = WhisperHear(engine, languages=self._languages)
            return hear.hear(samples, language=language, is_final=is_final)
        options = RecognizeOptions(language=language)
        found = self._listener.transcribe(samples, options, rate_hz=SAMPLE_RATE_HZ)
        return Heard(found.text.strip(), found.language if found.segments else "")


@dataclass(frozen=True)
class Senses:
    """What all conversations of an agent share, beside its mind."""

    vad: SpeechProbability
    turn: TurnModel | None = None
    knowledge: Sequence[Knowledge] = ()


VoiceOf = Callable[[str, str | None], Any]  # a name and the language, to a voice


class AgentTalk:
    """One conversation with an agent."""

    def __init__(
        self, session: Session, jobs: ThreadJobs, base: AgentOptions, voice_of: VoiceOf
    ) -> None:
        self.session: Any = session
        self.greeting = ""
        self._jobs = jobs
        self._base = base
        self._voice_of = voice_of

    def options_of(self, wanted: ConversationSession) -> AgentOptions:
        """The agent's own options, with what a caller wants. ConfigError for an unknown voice."""
        base, turns = self._base, wanted.turns
        language = wanted.language or base.language
        voice = str(self._voice_of(wanted.voice, language)) if wanted.voice else base.voice
        options = replace(
            base,
            instructions=wanted.instructions or base.instructions,
            language=language,
            voice=voice,
            speed=wanted.speed if wanted.speed != 1.0 else base.speed,
            speaks=wanted.modality == "audio",
            max_tokens=wanted.max_tokens or base.max_tokens,
            tools=wanted.tools if wanted.tool_choice != "none" else (),
            answers_tools=False,
            manual=turns is None,
            create_response=turns is not None and turns.create_response,
            barge_in="pause" if wanted.extension.pauses else "wait",
        )
        if turns is None:
            return options
        options = replace(
            options,
            interrupt_response=turns.interrupt_response,
            vad_threshold=turns.threshold,
            vad_release=max(0.01, turns.threshold - 0.15),
            lead_s=max(base.lead_s, turns.prefix_padding_ms / 1000),
        )
        if turns.idle_timeout_ms is not None:
            options = replace(options, proactive_s=turns.idle_timeout_ms / 1000)
        return _with_silences(options, turns.type, turns.max_silence_s)

    def close(self) -> None:
        """End its work."""
        self.session.close()
        self._jobs.close()


def _with_silences(options: AgentOptions, kind: str, max_silence_s: float | None) -> AgentOptions:
    """When a turn ends: by silence alone (server_vad), or by what is heard (semantic_vad)."""
    if kind == "server_vad":
        assert max_silence_s is not None
        end_s = min(options.end_s, max_silence_s)
        return replace(
            options,
            turn_model=False,
            hear_s=min(options.hear_s, end_s),
            end_s=end_s,
            silence_s=max_silence_s,
            max_silence_s=max(max_silence_s, end_s),
        )
    return options if max_silence_s is None else replace(options, max_silence_s=max_silence_s)


class AgentEngine:
    """An agent; its mind is shared, or made for each conversation if it thinks elsewhere."""

    def __init__(
        self, persona: Persona, mind: Thinking | Callable[[], Mind], senses: Senses
    ) -> None:
        self.persona = persona
        self._mind = mind
        self._senses = senses
        self._hearing = hearing_thread()
        self._is_warm = False

    def converse(self, job: Job, ears: Recogniser, speaker: SpeakerEngine) -> AgentTalk:
        """A conversation, in the name of a job. ConfigError if the models do not fit."""
        persona, senses = self.persona, self._senses
        mind = self._mind
        hear = Ears(ears.listener(job), persona.languages or _LANGUAGES)
        functions = own_tools(persona.tools, knowledge=senses.knowledge)
        parts = Parts(
            hear=SharedHear(hear, self._hearing, job),
            mind=SharedMind(mind, job) if isinstance(mind, Thinking) else mind(),
            voicing=speaker.voicing(job, SOON),
            vad=senses.vad,
            turn=senses.turn,
            knowledge=senses.knowledge,
            toolbox=Toolbox(functions) if functions else None,
        )
        language = persona.language if len(persona.languages) == 1 else None
        base = AgentOptions(
            instructions=persona.instructions,
            language=language,
            voice=str(speaker.voice(persona.voice, language)) if persona.voice else "",
            speed=persona.speed,
            proactive_s=persona.policy.proactive_s,
            policy=persona.policy,
        )
        jobs = ThreadJobs()
        if not self._is_warm:  # while the first caller greets: in its name, and a lane of its own
            self._is_warm = True
            work = warming(parts, base, asks=isinstance(mind, Thinking))
            jobs.start("warm", work, at_s=0.0, deadline_s=60.0)
        talk = AgentTalk(Session(parts, base, jobs=jobs), jobs, base, speaker.voice)
        talk.greeting = persona.greeting
        return talk

    def close(self) -> None:
        """Give the mind's memory back, after the answer that it is at."""
        self._hearing.close()
        if isinstance(self._mind, Thinking):
            self._mind.close()


def load_agent(name: str, settings: Settings) -> AgentEngine:
    """The usual agent, or that of a persona's file. ConfigError, StoreError or ModelError."""
    persona = _USUAL if name == "default" else read_persona(name)
    threads = settings.threads or usable_cores()
    vad = SpeechModel(next(fetch("silero-vad").glob("*.onnx")))
    turn = SmartTurn(fetch("smart-turn-v3.2"))
    knowledge = _knowledge(persona.knowledge)
    return AgentEngine(persona, _mind(settings, threads), Senses(vad, turn, knowledge))


def _mind(settings: Settings, threads: int) -> Thinking | Callable[[], Mind]:
    name = settings.mind
    if "://" in name:
        url, _, model = name.partition("#")
        model, key = model or settings.mind_model, settings.mind_key
        if not model:
            raise ConfigError(f"which model of {url} is to think: name it in mind_model")
        kind = MINDS.load("openai")
        return lambda: kind.open(model, url=url, key=key)
    kind = MINDS.load(name)
    more = [settings.mind_model] if settings.mind_model else []
    return Thinking(kind.open(*more, num_threads=threads))


def _knowledge(folder: Path | None) -> tuple[Knowledge, ...]:
    if folder is None:
        return ()
    from mooer.agent.knowledge.folder import open_folder

    return (open_folder(folder),)
