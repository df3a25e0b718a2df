"""`mooer talk`: a spoken conversation with an agent, in the terminal."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mooer.cli.agent_parts import (
    AgentThreads,
    KnowledgeFolder,
    MindName,
    PersonaFile,
    SpeakerName,
    TalkLanguage,
    VoiceName,
    Wanted,
    WithTools,
)

if TYPE_CHECKING:
    from mooer.agent.recorder import Recorder
    from mooer.cli.agent_parts import Agent
    from mooer.cli.conversing import Ends
    from mooer.cli.feed import Feed
    from mooer.cli.keys import Typed

logger = logging.getLogger(__name__)

_INSTEAD = "type by --text, or play a recording by --file"
_TAIL_S = 8.0  # of quiet behind a recording: what it asks may still be thought about
_TEXT_TAIL_S = 0.5


def talk(
    persona: PersonaFile = None,
    mind: MindName = "embedded",
    speaker: SpeakerName = "kokoro-82m",
    voice: VoiceName = None,
    language: TalkLanguage = None,
    knowledge: KnowledgeFolder = None,
    tools: WithTools = False,
    text: Annotated[
        bool, typer.Option("--text", help="Type instead of speaking: a line is a turn.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A recording as the user, at the speed of life."),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Hear the file as fast as may be; play nothing.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(help="Folder for sound of both, transcript, events and waterfall."),
    ] = None,
    mute: Annotated[bool, typer.Option("--mute", help="Play nothing.")] = False,
    echo: Annotated[
        str, typer.Option(help="The agent's own voice in the microphone: off, text or cancel.")
    ] = "text",
    device: Annotated[
        str | None, typer.Option(help="Microphone: a number, or a part of its name.")
    ] = None,
    output_device: Annotated[str | None, typer.Option(help="Loudspeaker, likewise.")] = None,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="Show microphones and loudspeakers, and end.")
    ] = False,
    threads: AgentThreads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print an event a line.")] = False,
) -> None:
    """Talk with an agent: speak, be answered, interrupt it.

    Example: mooer talk

    Example: mooer talk --persona tutor.yaml --knowledge notes/ --record monday/

    Example: mooer talk --text --mute

    Example: mooer talk --file question.wav --fast --record out/

    Speak, or press space, to interrupt. ctrl-C ends it, and what is recorded is whole.
    """
    from mooer.cli.agent_parts import open_agent

    if list_devices:
        from mooer.cli.sound_card import devices

        for line in devices():
            typer.echo(line)
        return
    _check(text=text, file=file, fast=fast, device=device)
    wanted = Wanted(persona, mind, speaker, voice, language, knowledge, tools, threads)
    changes: list[tuple[str, Any]] = [("echo", echo)]
    if text and mute and record is None:
        changes.append(("speaks", False))  # nobody would hear it
    if fast:
        from mooer.cli.agent import replay_to

        assert file is not None  # `_check` has seen to it
        replay_to(wanted, file, record, as_json=as_json)
        return
    with contextlib.ExitStack() as stack:
        sound = _Sound(stack, text=text, file=file, device=device)
        ear = _ear(mute, output_device)  # all of the sound card before any weights are loaded
        agent = open_agent(wanted.with_changes(changes))
        _talk(agent, sound, ear, _recorder(record, agent, sound), as_json=as_json)


def _check(*, text: bool, file: Path | None, fast: bool, device: str | None) -> None:
    from mooer.errors import ConfigError

    if text and file is not None:
        raise ConfigError("--text is typed and --file is heard: give one of them")
    if fast and file is None:
        raise ConfigError("--fast is for recordings: name one by --file")
    if device is not None and (text or file is not None):
        raise ConfigError("--device is a microphone: leave it out, or leave --text and --file out")
    if file is not None and not file.exists():
        raise ConfigError(f"no such file: {str(file)!r}; check the path")


class _Sound:
    """Where the user's sound comes from, and when it ends."""

    def __init__(
        self, stack: contextlib.ExitStack, *, text: bool, file: Path | None, device: str | None
    ) -> None:
        from mooer.agent.duplex import FRAME_S, RATE_HZ
        from mooer.audio.wave import open_wave
        from mooer.cli.conversing import Ends, silence, then_silence
        from mooer.cli.feed import Microphone, played

        self.is_text, self.is_microphone = text, not text and file is None
        self.rate_hz, self.name = RATE_HZ, "keyboard" if text else str(file)
        self.ends = Ends()
        self._stack = stack
        if text:
            self.ends = Ends(tail_s=_TEXT_TAIL_S, waits=not sys.stdin.isatty())
            self._blocks = silence()
        elif file is not None:
            over = threading.Event()
            wave = stack.enter_context(open_wave(file))
            self.ends = Ends(tail_s=_TAIL_S, after=over)
            self._blocks = then_silence(played(wave, 1.0, block_s=FRAME_S), over)
        else:
            microphone = Microphone(device, block_s=FRAME_S, instead=_INSTEAD)
            self.rate_hz, self.name = microphone.rate_hz, microphone.name
            self._blocks = microphone.blocks()

    def feed(self) -> Feed:
        """Begin to hear it."""
        from mooer.cli.feed import Feed

        return self._stack.enter_context(Feed(self._blocks, ahead=0 if self.is_microphone else 5))

    def typed(self, *, has_keys: bool) -> Typed | None:
        """What is typed beside it."""
        from mooer.cli.keys import Typed, typed_keys, typed_lines

        if self.is_text:
            return Typed(typed_lines)
        return Typed(typed_keys) if has_keys else None


def _ear(mute: bool, device: str | None) -> Any:
    from mooer.cli.sound_card import Loudspeaker, Unheard

    if mute:
        return Unheard()
    return Loudspeaker(device, instead="add --mute, and read the answers")


def _recorder(folder: Path | None, agent: Agent, sound: _Sound) -> Recorder | None:
    from mooer.agent.recorder import Recorder

    return None if folder is None else Recorder(folder, source=sound.name, model=agent.name)


def _talk(
    agent: Agent, sound: _Sound, ear: Any, recorder: Recorder | None, *, as_json: bool
) -> None:
    """Converse until it ends, and write what was recorded, whatever ends it."""
    from mooer.cli.conversing import Conversation, hold
    from mooer.cli.keys import single_keys
    from mooer.cli.listen import until_interrupted
    from mooer.cli.talk_view import view_of

    if sound.is_microphone:
        logger.info("listening to %s, speaking by %s; ctrl-C ends it", sound.name, ear.name)
    ends: Ends = sound.ends
    with contextlib.ExitStack() as stack:
        if recorder is not None:
            stack.enter_context(recorder)
        session = agent.session()
        stack.callback(session.close)
        stopped = stack.enter_context(until_interrupted())
        view = stack.enter_context(view_of(as_json=as_json))
        stack.enter_context(ear)
        has_keys = sound.is_microphone and stack.enter_context(single_keys())
        talk = Conversation(session, ear, view, recorder, is_microphone=sound.is_microphone)
        if agent.greeting:
            talk.take(session.speak(agent.greeting))
        typed = sound.typed(has_keys=bool(has_keys))
        hold(talk, sound.feed(), sound.rate_hz, stopped, typed=typed, ends=ends)
    if recorder is not None:
        logger.info("recorded in %s", recorder.folder)
