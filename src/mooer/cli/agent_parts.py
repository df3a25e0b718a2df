"""What the commands that hold conversations share: their options, and the agent these ask for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mooer.agent.events import Samples
    from mooer.agent.jobs import Jobs
    from mooer.agent.mind import Knowledge, Mind, Tool
    from mooer.agent.options import AgentOptions
    from mooer.agent.parts import Heard, Parts
    from mooer.agent.persona import Persona
    from mooer.agent.session import Session
    from mooer.agent.tools import Toolbox
    from mooer.infer import Model

logger = logging.getLogger(__name__)

KEY = "OPENAI_API_KEY"  # of servers that think or speak

PersonaFile = Annotated[
    Path | None,
    typer.Option("--persona", help="Who the agent is: a YAML file (see docs/minds.md)."),
]
MindName = Annotated[
    str,
    typer.Option(
        "--mind", help="embedded, mini, or the address of an OpenAI-compatible server (…/v1#model)."
    ),
]
SpeakerName = Annotated[
    str,
    typer.Option("--speaker", help="kokoro-82m, piper-joe, espeak, or a server's (…/v1#model)."),
]
VoiceName = Annotated[
    str | None, typer.Option("--voice", help="A voice of the speaker, or a blend: a:0.6+b:0.4.")
]
TalkLanguage = Annotated[
    str | None, typer.Option("--language", "-l", help="The user's. [default: heard in each turn]")
]
KnowledgeFolder = Annotated[
    Path | None,
    typer.Option("--knowledge", help="A folder in which answers are looked up (mooer knowledge)."),
]
WithTools = Annotated[
    bool, typer.Option("--tools", help="Let it use its tools: clock, calculator, notes.")
]
AgentThreads = Annotated[
    int | None, typer.Option(min=1, help="Of each model. [default: as the machine has]")
]


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line."""

    persona: Path | None = None
    mind: str = "embedded"
    speaker: str = "kokoro-82m"
    voice: str | None = None
    language: str | None = None
    knowledge: Path | None = None
    tools: bool = False
    threads: int | None = None
    changes: tuple[tuple[str, Any], ...] = ()  # of AgentOptions

    def with_changes(self, changes: Iterable[tuple[str, Any]]) -> Wanted:
        """The same with other options of the session."""
        return replace(self, changes=(*self.changes, *changes))


@dataclass(frozen=True)
class Agent:
    """An agent that is ready to converse."""

    name: str  # mind and speaker, as recordings name them
    options: AgentOptions
    open: Callable[[AgentOptions, Jobs | None], Session]
    greeting: str = ""

    def session(self, jobs: Jobs | None = None) -> Session:
        """A new conversation; without jobs, in threads of its own."""
        return self.open(self.options, jobs)


class Ears:
    """The recogniser that hears turns (a `Hear`)."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def hear(
        self, samples: Samples, *, language: str | None = None, is_final: bool = True
    ) -> Heard:
        """What is said in samples [T] at 16 kHz."""
        from mooer.agent.parts import Heard

        found = self._model.transcribe(samples, rate_hz=16_000, language=language)
        return Heard(found.text.strip(), found.language if found.segments else "")


class OwnTools:
    """The functions of a toolbox, as a session calls them."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self.tools: Sequence[Tool] = toolbox.tools

    def call(self, name: str, arguments: str) -> str:
        """The result of a function, for the mind."""
        return self._toolbox.run(name, arguments)


def open_agent(wanted: Wanted) -> Agent:
    """Load what was asked for: what is not there is told before any weights are read."""
    import mooer
    from mooer.agent.options import AgentOptions
    from mooer.agent.own_tools import NAMES, own_tools
    from mooer.agent.parts import Parts
    from mooer.agent.session import Session
    from mooer.agent.tools import Toolbox
    from mooer.audio.vad import SpeechModel
    from mooer.engines.llm import usable_cores
    from mooer.engines.smart_turn import SmartTurn
    from mooer.speak import Voice, load_speaker, voicing_of
    from mooer.store import fetch
    from mooer.text import find_language

    persona = _persona(wanted.persona)
    threads = wanted.threads or usable_cores()
    language = find_language(wanted.language) if wanted.language else persona.language
    voice = wanted.voice or persona.voice
    options = AgentOptions(
        instructions=persona.instructions,
        language=language if wanted.language or len(persona.languages) == 1 else None,
        voice=str(Voice.parse(voice)) if voice else "",
        speed=persona.speed,
        proactive_s=persona.policy.proactive_s,
        **dict(wanted.changes),
    )
    knowledge = _knowledge(wanted.knowledge or persona.knowledge)
    mind = _mind(wanted.mind, threads)
    ears = Ears(mooer.load("whisper-base", num_threads=threads))
    key = os.environ.get(KEY, "")
    voicing = voicing_of(load_speaker(wanted.speaker, num_threads=threads, key=key))
    vad = SpeechModel(next(fetch("silero-vad").glob("*.onnx")))
    turn = SmartTurn(fetch("smart-turn-v3.2"))
    logging.getLogger("mooer.infer").setLevel(logging.WARNING)  # the language of every turn
    warm_up(Parts(ears, mind, voicing, vad, turn), options, is_far="://" in wanted.mind)
    logger.info("%s and %s are ready", wanted.mind, wanted.speaker)
    names = persona.tools or (NAMES if wanted.tools else ())
    names = tuple(name for name in names if name != "search" or knowledge)

    def open_session(options: AgentOptions, jobs: Jobs | None) -> Session:
        functions = own_tools(names, knowledge=knowledge)
        box = OwnTools(Toolbox(functions)) if functions else None
        parts = Parts(ears, mind, voicing, vad, turn, knowledge, box)
        return Session(parts, options, jobs=jobs)

    return Agent(f"{wanted.mind}, {wanted.speaker}", options, open_session, persona.greeting)


def warm_up(parts: Parts, options: AgentOptions, *, is_far: bool) -> None:
    """Use every model once: weights that are read at the first use would delay the first answer.

    The beginning of all prompts is read with it. A mind that `is_far`, on a server, is not asked.
    """
    import numpy as np

    from mooer.agent.mind import Turn

    noise = np.random.default_rng(0).normal(0, 0.01, 16_000).astype(np.float32)
    parts.hear.hear(noise, language=options.language or "en")
    if parts.turn is not None:
        parts.turn.complete(noise)
    said = Turn("user", "Hello", samples=noise if parts.mind.hears else None)
    if not is_far:
        for _ in parts.mind.answer([said], system=options.instructions, max_tokens=1):
            pass
    if options.speaks:
        for _ in parts.voicing.voice(["Hello."]):
            pass


def _persona(path: Path | None) -> Persona:
    from mooer.agent.persona import Persona, read_persona

    usual = "You are a friendly and dependable voice assistant."
    return read_persona(path) if path is not None else Persona(usual)


def _mind(name: str, threads: int) -> Mind:
    """A mind by its name, or by the address of a server and, behind #, its model."""
    from mooer.agent.minds import MINDS
    from mooer.errors import ConfigError

    if "://" not in name:
        mind: Mind = MINDS.load(name).open(num_threads=threads)
        return mind
    url, _, model = name.partition("#")
    if not model:
        raise ConfigError(f"which model of {url} is to think: write --mind {url}#MODEL")
    found: Mind = MINDS.load("openai").open(model, url=url, key=os.environ.get(KEY, ""))
    return found


def _knowledge(folder: Path | None) -> tuple[Knowledge, ...]:
    if folder is None:
        return ()
    from mooer.agent.knowledge.folder import open_folder

    return (open_folder(folder),)
