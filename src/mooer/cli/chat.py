"""`mooer chat`: a question about recordings, or a conversation, answered while it is written."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from mooer.cli.transcribe import Threads

if TYPE_CHECKING:
    from mooer.infer.chat import Chat, Recording

logger = logging.getLogger(__name__)

COMMANDS = ("/audio", "/new", "/quit")
_COMMAND = re.compile(r"/[a-z]+")


def chat(
    model: Annotated[
        str, typer.Option("--model", "-m", help="A speech LLM: a folder, or a name of the catalog.")
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE...", help="Recordings of at most 30 s each; - for standard input."
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", help="One question; without it, a conversation."),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="What the model is told before all turns.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Length of an answer at most.")] = 500,
    temperature: Annotated[
        float, typer.Option(min=0, help="Above 0, answers are drawn; higher is more varied.")
    ] = 0.0,
    threads: Threads = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all turns as one object at the end.")
    ] = False,
) -> None:
    """Ask a speech LLM about recordings.

    Example: mooer chat --model my-speech-llm/ talk.wav -p "What is said here?"

    Example: mooer chat -m my-speech-llm/ a.wav b.wav -p "Is <audio> an answer to <audio>?"

    Example: mooer chat -m my-speech-llm/

    Without --prompt each line is a turn. /audio FILE adds a recording to the next one, /new begins
    anew, /quit or ctrl-D ends.
    """
    from mooer.errors import ConfigError
    from mooer.infer.chat import Chat, open_model, read_recording

    if prompt is None and "-" in (files or ()):
        raise ConfigError("standard input is read for questions: give one with -p, or name a file")
    recordings = [read_recording(name) for name in files or ()]
    with open_model(model, num_threads=threads) as speech_llm:
        talk = Chat(speech_llm, system=system, max_tokens=max_tokens, temperature=temperature)
        if prompt is not None:
            _answer(talk, prompt, recordings, None if as_json else sys.stdout)
        else:
            _converse(talk, recordings, sys.stderr if as_json else sys.stdout)
    if as_json:
        turns = [
            {"role": one.role, "content": one.content, "audio": one.audio} for one in talk.turns
        ]
        found = {"model": Path(model).resolve().name, "turns": turns}
        print(json.dumps(found, ensure_ascii=False))  # noqa: T201


def _converse(talk: Chat, recordings: list[Recording], output: TextIO) -> None:
    """Each line is a turn or a command; on a terminal, what fails does not end it."""
    from mooer.errors import MooerError

    on_terminal = sys.stdin.isatty()
    if on_terminal:
        logger.info("each line is a turn; /audio FILE adds a recording, /new begins anew, /quit")
    for line in _lines(on_terminal):
        command, _, rest = line.strip().partition(" ")
        if command == "/quit":
            return
        try:
            if _COMMAND.fullmatch(command):
                _obey(command, rest.strip(), talk, recordings)
            elif command or recordings:
                _answer(talk, line, recordings, output)
                recordings.clear()
        except MooerError as error:
            if not on_terminal:
                raise
            logger.error("%s", " ".join(str(error).split()))
        except KeyboardInterrupt:
            if not on_terminal:
                raise
            recordings.clear()
            logger.info("the answer was broken off")


def _obey(command: str, rest: str, talk: Chat, recordings: list[Recording]) -> None:
    from mooer.errors import ConfigError, did_you_mean
    from mooer.infer.chat import read_recording

    if command not in COMMANDS:
        raise ConfigError(f"unknown command {command}: {did_you_mean(command, COMMANDS)}")
    if command == "/new":
        talk.clear()
        recordings.clear()
    elif not rest:
        raise ConfigError("/audio needs the name of a file")
    else:
        name = rest.strip("'\"")
        path = Path(name).expanduser() if name.startswith("~/") else name
        recordings.append(read_recording(path))


def _answer(talk: Chat, text: str, audio: Sequence[Recording], output: TextIO | None) -> None:
    """Write an answer as it comes, if there is somewhere to write, and end its line."""
    pieces = talk.say(text, audio)
    with contextlib.closing(pieces):
        begun = False
        try:
            for piece in pieces:
                begun = True
                if output is not None:
                    output.write(piece)
                    output.flush()
        finally:
            if begun and output is not None:
                output.write("\n")
                output.flush()


def _lines(on_terminal: bool) -> Iterator[str]:
    """The lines of standard input; asked for on a terminal."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    prompt = ""
    if on_terminal and sys.stdout.isatty():
        prompt = "> "
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  so that a line can be edited
    while True:
        try:
            line = input(prompt)
        except EOFError:
            if prompt:
                print()  # noqa: T201
            return
        yield line
