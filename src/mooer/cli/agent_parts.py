"""What the commands that hold conversations share: their options, and the agent these ask for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mooer.agent.jobs import Jobs
    from mooer.agent.options import AgentOptions
    from mooer.agent.session import Session

logger = logging.getLogger(__name__)

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
    """Load what was asked for: errors name the option that is wrong."""
    raise NotImplementedError
