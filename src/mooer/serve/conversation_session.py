"""The settings of a realtime conversation as OpenAI's clients send them, and what is told of them.

What this server cannot do is refused; what it has no use for (tracing, noise reduction) is taken
and not done. Beside OpenAI's fields a session has `mooer`: which of our own events are wanted, and
whether the caller reports what it has played.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mooer.agent.mind import Tool
from mooer.errors import ConfigError
from mooer.serve.errors import wrong
from mooer.serve.fields import (
    choice,
    list_of,
    number_at,
    number_of,
    object_at,
    refuse_unknown,
    text_of,
)
from mooer.serve.realtime_sound import SoundFormat, read_format
from mooer.text import find_language

EVENTS = ("flush", "resumed", "back_channel", "sources", "waterfall", "partial", "remembered")
INTERRUPTIONS = ("pause", "wait")
_UNUSED = ("id", "object", "expires_at", "tracing", "truncation", "prompt", "include")
_FLAT: tuple[str, ...] = ("modalities", "voice", "turn_detection", "speed", "temperature")
_FLAT += ("input_audio_format", "output_audio_format", "input_audio_transcription")
_FLAT += ("input_audio_noise_reduction", "max_response_output_tokens")
_EAGERNESS = {"low": 8.0, "medium": 4.0, "auto": None, "high": 1.0}  # seconds of silence at most
MAX_TEXT = 32_000  # letters of instructions
MAX_TOOLS = 64
MAX_TOOL_CHARS = 100_000  # of all their schemas
MAX_TOKENS = 4096


@dataclass(frozen=True)
class Turns:
    """How the end of a turn is found."""

    type: str = "semantic_vad"  # or server_vad
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500  # of server_vad
    eagerness: str = "auto"  # of semantic_vad
    create_response: bool = True
    interrupt_response: bool = True
    idle_timeout_ms: int | None = None  # silence after which the agent speaks by itself

    @property
    def max_silence_s(self) -> float | None:
        """Silence that ends a turn, whatever was said; None: as much as the agent thinks fit."""
        if self.type == "server_vad":
            return self.silence_duration_ms / 1000
        return _EAGERNESS[self.eagerness]

    def describe(self) -> dict[str, Any]:
        """The object of OpenAI's events."""
        found: dict[str, Any] = {"type": self.type}
        if self.type == "server_vad":
            for name in ("threshold", "prefix_padding_ms", "silence_duration_ms"):
                found[name] = getattr(self, name)
        else:
            found["eagerness"] = self.eagerness
        for name in ("create_response", "interrupt_response", "idle_timeout_ms"):
            found[name] = getattr(self, name)
        return found


@dataclass(frozen=True)
class Extension:
    """What a caller wants beside OpenAI's events."""

    events: tuple[str, ...] = ()
    plays: bool = False  # whether it sends mooer.played; else it is taken to play as sound comes
    interruption: str | None = None  # None: "pause" for those who are told of resumed sound

    @property
    def pauses(self) -> bool:
        """Whether sound stops at once, and goes on if it was no interruption."""
        return (self.interruption or ("pause" if "resumed" in self.events else "wait")) == "pause"


@dataclass(frozen=True)
class ConversationSession:
    """What a caller wants of a conversation; `changed` makes another of it."""

    model: str = ""
    instructions: str = ""
    modality: str = "audio"  # or text
    input: SoundFormat = field(default_factory=SoundFormat)
    output: SoundFormat = field(default_factory=SoundFormat)
    turns: Turns | None = Turns()  # None: the caller commits
    transcriber: str = ""  # the model that it names; "" if it wants no transcripts
    language: str | None = None
    voice: str = ""
    speed: float = 1.0
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"  # or none
    max_tokens: int | None = None
    extension: Extension = Extension()

    def instructed(self, more: Sequence[str]) -> ConversationSession:
        """With more instructions behind its own."""
        return replace(self, instructions="\n".join([self.instructions, *more]).strip())

    def describe(self, session_id: str, expires_at: int) -> dict[str, Any]:
        """The session object of OpenAI's events."""
        extension = self.extension
        heard = {"model": self.transcriber, "language": self.language} if self.transcriber else None
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "expires_at": expires_at,
            "model": self.model,
            "instructions": self.instructions,
            "output_modalities": [self.modality],
            "audio": {
                "input": {
                    "format": self.input.describe(),
                    "transcription": heard,
                    "noise_reduction": None,
                    "turn_detection": self.turns.describe() if self.turns else None,
                },
                "output": {
                    "format": self.output.describe(),
                    "voice": self.voice,
                    "speed": self.speed,
                },
            },
            "tools": [_described(tool) for tool in self.tools],
            "tool_choice": self.tool_choice,
            "max_output_tokens": self.max_tokens or "inf",
            "mooer": {
                "events": list(extension.events),
                "plays": extension.plays,
                "interruption": "pause" if extension.pauses else "wait",
            },
        }

    def changed(self, session: Any) -> ConversationSession:
        """With what `session` of an update names. ApiError 400 for what cannot be."""
        found = object_at(session, "session")
        known: tuple[str, ...] = ("type", "model", "instructions", "output_modalities", "audio")
        known += ("tools", "tool_choice", "max_output_tokens", "mooer", *_FLAT, *_UNUSED)
        refuse_unknown(found, known, "session")
        new = self._with_words(found)
        audio = object_at(found.get("audio") or {}, "session.audio")
        refuse_unknown(audio, ("input", "output"), "session.audio")
        new = new._with_input(_of_both(found, audio, "input"), "session.audio.input")
        new = new._with_output(_of_both(found, audio, "output"), "session.audio.output")
        if found.get("mooer") is not None:
            extension = _extension(object_at(found["mooer"], "session.mooer"), new.extension)
            new = replace(new, extension=extension)
        return new

    def _with_words(self, found: Mapping[str, Any]) -> ConversationSession:
        """Instructions, tools, modality and length."""
        instructions = text_of(found, "instructions", self.instructions)
        if len(instructions) > MAX_TEXT:
            raise wrong("session.instructions", f"instructions have more than {MAX_TEXT} letters")
        most = found.get("max_output_tokens", found.get("max_response_output_tokens"))
        max_tokens = self.max_tokens
        if most is not None:
            place = "session.max_output_tokens"
            max_tokens = None if most == "inf" else round(number_at(most, place, 1, MAX_TOKENS))
        tools = self.tools
        if found.get("tools") is not None:
            tools = read_tools(list_of(found, "tools", MAX_TOOLS))
        modality = self.modality
        wanted = found.get("output_modalities", found.get("modalities"))
        if wanted is not None:
            modality = read_modality(wanted, "session.output_modalities")
        return replace(
            self,
            instructions=instructions,
            max_tokens=max_tokens,
            tools=tools,
            tool_choice=choice(found, "tool_choice", self.tool_choice, ("auto", "none")),
            modality=modality,
        )

    def _with_input(self, given: Mapping[str, Any], place: str) -> ConversationSession:
        known = ("format", "transcription", "turn_detection", "noise_reduction")
        refuse_unknown(given, known, place)
        new = self
        if given.get("format") is not None:
            new = replace(new, input=read_format(given["format"], f"{place}.format", self.input))
        if "transcription" in given:
            new = new._with_transcription(given["transcription"], f"{place}.transcription")
        if "turn_detection" in given:
            new = replace(new, turns=_turns(given["turn_detection"], f"{place}.turn_detection"))
        return new

    def _with_transcription(self, given: Any, place: str) -> ConversationSession:
        if given is None:
            return replace(self, transcriber="")
        found = object_at(given, place)
        refuse_unknown(found, ("model", "language", "prompt", "delay"), place)
        model, language = text_of(found, "model"), text_of(found, "language")
        try:
            code = find_language(language) if language else None
        except ConfigError as error:
            raise wrong(f"{place}.language", str(error)) from None
        return replace(self, transcriber=model or self.transcriber or "default", language=code)

    def _with_output(self, given: Mapping[str, Any], place: str) -> ConversationSession:
        refuse_unknown(given, ("format", "voice", "speed"), place)
        new = self
        if given.get("format") is not None:
            new = replace(new, output=read_format(given["format"], f"{place}.format", self.output))
        voice = given.get("voice")
        if isinstance(voice, dict):
            voice = voice.get("id")
        if voice is not None:
            if not isinstance(voice, str) or not 0 < len(voice) <= 256:
                raise wrong(f"{place}.voice", "voice is a name: GET /v1/audio/voices lists them")
            new = replace(new, voice=voice)
        return replace(new, speed=number_of(given, "speed", new.speed, 0.5, 2.0))


def read_modality(value: Any, place: str) -> str:
    """audio, if it is among what is wanted; else text. ApiError 400 for what is neither."""
    words = value if isinstance(value, list) else None
    if not words or any(word not in ("audio", "text") for word in words):
        raise wrong(place, f'{place} must be ["audio"] or ["text"]')
    return "audio" if "audio" in words else "text"


def read_tools(given: Sequence[Any]) -> tuple[Tool, ...]:
    """Functions with their schemas. ApiError 400 for other tools."""
    place, found = "session.tools", []
    for one in given:
        tool = object_at(one, place)
        refuse_unknown(tool, ("type", "name", "description", "parameters", "strict"), place)
        if tool.get("type", "function") != "function":
            raise wrong(place, "tools are functions here: type must be 'function'")
        name = text_of(tool, "name")
        if not name or len(name) > 64 or not name.replace("-", "_").isidentifier():
            raise wrong(place, "a tool's name is up to 64 letters, digits, _ and -")
        parameters = object_at(tool.get("parameters") or {}, f"{place}.parameters")
        found.append(Tool(name, text_of(tool, "description"), parameters))
    if len({tool.name for tool in found}) < len(found):
        raise wrong(place, "two tools have one name: call them differently")
    if sum(len(json.dumps(_described(tool))) for tool in found) > MAX_TOOL_CHARS:
        raise wrong(place, f"the tools take more than {MAX_TOOL_CHARS} letters: describe less")
    return tuple(found)


def _described(tool: Tool) -> dict[str, Any]:
    found = {"type": "function", "name": tool.name, "description": tool.description}
    return found | {"parameters": dict(tool.parameters)}


def _of_both(found: Mapping[str, Any], audio: Mapping[str, Any], side: str) -> dict[str, Any]:
    """What concerns one side, of the shape as it was before (flat) and as it is now."""
    names = {"format": f"{side}_audio_format"}
    if side == "input":
        names["transcription"] = "input_audio_transcription"
        names["turn_detection"] = "turn_detection"
    else:
        names |= {"voice": "voice", "speed": "speed"}
    flat = {name: found[old] for name, old in names.items() if old in found}
    return flat | object_at(audio.get(side) or {}, f"session.audio.{side}")


def _turns(given: Any, place: str) -> Turns | None:
    if given is None:
        return None
    found = object_at(given, place)
    kind = choice(found, "type", "server_vad", ("server_vad", "semantic_vad"))
    common = ("type", "create_response", "interrupt_response", "idle_timeout_ms")
    own = ("threshold", "prefix_padding_ms", "silence_duration_ms")
    refuse_unknown(found, common + (own if kind == "server_vad" else ("eagerness",)), place)
    usual = Turns()
    answers = {"create_response": True, "interrupt_response": True}
    for name in answers:
        value = found.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(f"{place}.{name}", f"{name} must be true or false")
        answers[name] = value is not False
    idle = found.get("idle_timeout_ms")
    if idle is not None:
        idle = round(number_at(idle, f"{place}.idle_timeout_ms", 1_000, 600_000))
    return Turns(
        type=kind,
        threshold=number_of(found, "threshold", usual.threshold, 0.05, 0.95),
        prefix_padding_ms=round(number_of(found, "prefix_padding_ms", 300, 0, 2_000)),
        silence_duration_ms=round(number_of(found, "silence_duration_ms", 500, 100, 10_000)),
        eagerness=choice(found, "eagerness", usual.eagerness, tuple(_EAGERNESS)),
        idle_timeout_ms=idle,
        **answers,
    )


def _extension(found: Mapping[str, Any], usual: Extension) -> Extension:
    place = "session.mooer"
    refuse_unknown(found, ("events", "plays", "interruption"), place)
    events = list_of(found, "events", len(EVENTS)) if "events" in found else list(usual.events)
    for name in events:
        if name not in EVENTS:
            raise wrong(f"{place}.events", f"events are {', '.join(EVENTS)}")
    plays = found.get("plays", usual.plays)
    if not isinstance(plays, bool):
        raise wrong(f"{place}.plays", "plays must be true or false")
    named = found.get("interruption")
    if named is not None and named not in INTERRUPTIONS:
        raise wrong(f"{place}.interruption", f"interruption is {' or '.join(INTERRUPTIONS)}")
    return Extension(tuple(events), plays, named or usual.interruption)
