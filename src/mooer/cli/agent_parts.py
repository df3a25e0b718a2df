"""What the commands that hold conversations share: their options, and the agent these ask for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mooer.agent.jobs import Jobs
    from mooer.agent.mind import Knowledge
    from mooer.agent.options import AgentOptions
    from mooer.agent.persona import Persona
    from mooer.agent.session import Session

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


def open_agent(wanted: Wanted) -> Agent:
    """Load what was asked for, and use it once; what is wrong in it is a MooerError."""
    from mooer.agent.build import PartsOptions, open_parts
    from mooer.agent.options import AgentOptions
    from mooer.agent.own_tools import NAMES, own_tools
    from mooer.agent.session import Session
    from mooer.agent.tools import Toolbox
    from mooer.agent.warming import warm_up
    from mooer.speak import Voice
    from mooer.text import find_language

    persona = _persona(wanted.persona)
    languages = (find_language(wanted.language),) if wanted.language else persona.languages
    voice = wanted.voice or persona.voice
    options = AgentOptions(
        instructions=persona.instructions,
        language=languages[0] if len(languages) == 1 else None,
        voice=str(Voice.parse(voice)) if voice else "",
        speed=persona.speed,
        proactive_s=persona.policy.proactive_s,
        policy=persona.policy,
        **dict(wanted.changes),
    )
    knowledge = _knowledge(wanted.knowledge or persona.knowledge)
    models = PartsOptions(
        mind=wanted.mind,
        key=os.environ.get(KEY, ""),
        speaker=wanted.speaker,
        voice=options.voice,
        num_threads=wanted.threads,
    )
    if languages:
        models = replace(models, languages=languages)
    shared = open_parts(models, knowledge=knowledge)
    warm_up(shared, options, asks="://" not in wanted.mind)
    logger.info("%s and %s are ready", wanted.mind, wanted.speaker)
    names = persona.tools or (NAMES if wanted.tools else ())
    names = tuple(name for name in names if name != "search" or knowledge)

    def open_session(options: AgentOptions, jobs: Jobs | None) -> Session:
        functions = own_tools(names, knowledge=knowledge)  # with notes of its own
        parts = replace(shared, toolbox=Toolbox(functions)) if functions else shared
        return Session(parts, options, jobs=jobs)

    return Agent(f"{wanted.mind}, {wanted.speaker}", options, open_session, persona.greeting)


def agents_by_kind(wanted: Wanted, mind: str | None, kinds: Iterable[str]) -> dict[str, Agent]:
    """Agents for scenarios of each kind, with one mind for all, or with that which suits it."""
    from mooer.agent.benchmark import usual_mind

    minds = {kind: mind or usual_mind(kind) for kind in kinds}
    opened = {one: open_agent(replace(wanted, mind=one)) for one in dict.fromkeys(minds.values())}
    return {kind: opened[one] for kind, one in minds.items()}


def _persona(path: Path | None) -> Persona:
    from mooer.agent.persona import Persona, read_persona

    usual = "You are a friendly and dependable voice assistant."
    return read_persona(path) if path is not None else Persona(usual)


def _knowledge(folder: Path | None) -> tuple[Knowledge, ...]:
    if folder is None:
        return ()
    from mooer.agent.knowledge.folder import open_folder

    return (open_folder(folder),)
