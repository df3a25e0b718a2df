"""Who the agent is: a YAML file of a name, instructions, a voice, tools, knowledge and manners.

    name: 小摩
    languages: [zh, en]
    instructions: 你是小摩，一个热心的助手。
    voice: zf_xiaoxiao
    greeting: 你好，我是小摩。
    tools: [now, calculate]
    knowledge: notes          # a folder, beside this file
    policy: {back_channels: true, proactive_s: 20}

A key that nobody knows is an error, which names the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from mooer.agent.own_tools import NAMES
from mooer.agent.policy import PolicyOptions
from mooer.config import read_yaml
from mooer.errors import ConfigError, did_you_mean
from mooer.text import find_language

_MAX_SPEED = 2.0
_MAX_INSTRUCTIONS = 8000  # characters: more leaves no room for a talk


@dataclass(frozen=True)
class Persona:
    """What a session is told of the agent."""

    instructions: str
    name: str = ""
    languages: tuple[str, ...] = ()  # codes; the first is spoken unasked. None: any
    voice: str = ""  # "": the speaker's own
    speed: float = 1.0
    greeting: str = ""  # said first, without the mind
    tools: tuple[str, ...] = ()  # of those that come with mooer
    knowledge: Path | None = None  # a folder
    policy: PolicyOptions = field(default_factory=PolicyOptions)

    def __post_init__(self) -> None:
        if not self.instructions.strip():
            raise ConfigError("instructions are empty: say who the agent is")
        if len(self.instructions) > _MAX_INSTRUCTIONS:
            raise ConfigError(
                f"instructions have {len(self.instructions)} characters, more than "
                f"{_MAX_INSTRUCTIONS}: put what is known into a knowledge folder"
            )
        if not 1 / _MAX_SPEED <= self.speed <= _MAX_SPEED:
            raise ConfigError(f"speed is {self.speed:g}: give one from 0.5 to 2")
        for name in self.tools:
            if name not in NAMES:
                raise ConfigError(f"tools: unknown tool {name!r}: {did_you_mean(name, NAMES)}")
        codes = tuple(find_language(one) for one in self.languages)
        object.__setattr__(self, "languages", codes)

    @property
    def language(self) -> str | None:
        """The one that is spoken unasked."""
        return self.languages[0] if self.languages else None


def read_persona(path: str | Path) -> Persona:
    """A persona of a file; its knowledge folder is beside it unless its path is absolute.

    ConfigError names the file and the key, also if the folder is not there.
    """
    path = Path(path).expanduser()
    persona = read_yaml(Persona, path)
    if persona.knowledge is None:
        return persona
    folder = path.parent / persona.knowledge.expanduser()
    if not folder.is_dir():
        raise ConfigError(f"{path}: knowledge: {folder} is no folder: make it, or name another")
    return replace(persona, knowledge=folder)
