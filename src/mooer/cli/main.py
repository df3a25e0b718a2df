"""Entry point of the `mooer` command: names to modules, errors to exit codes, log to stderr."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

import mooer
from mooer.errors import ConfigError, MooerError, did_you_mean

# Name -> where it is, and its line in `mooer --help`, for which no module is imported.
COMMANDS = {
    "transcribe": ("mooer.cli.transcribe:transcribe", "Write down what is said in audio or video."),
    "listen": ("mooer.cli.listen:listen", "Write down what is said while it is said."),
    "translate": ("mooer.cli.translate:translate", "Write down what is said in another language."),
    "say": ("mooer.cli.say:say", "Say a text, aloud or into a file."),
    "interpret": ("mooer.cli.interpret:interpret", "Speak what is said in another language."),
    "talk": ("mooer.cli.talk:talk", "Talk with a voice agent."),
    "agent": ("mooer.cli.agent:app", "Replay recordings through a voice agent, and measure it."),
    "knowledge": ("mooer.cli.knowledge:app", "Index a folder of documents, and search it."),
    "align": ("mooer.cli.align:align", "Find when each word of a known text is said."),
    "chat": ("mooer.cli.chat:chat", "Ask a speech LLM about recordings."),
    "serve": ("mooer.cli.serve:serve", "Serve all of this to OpenAI's clients, on one port."),
    "evaluate": ("mooer.cli.evaluate:evaluate", "Score a model on recordings with known answers."),
    "train": ("mooer.cli.train:app", "Train a speech LLM from a recipe."),
    "data": ("mooer.cli.data:app", "Convert, check, pack, label and make training data."),
    "lm": ("mooer.cli.lm:app", "Train, tune, convert, prune and score language models."),
    "domain": ("mooer.cli.domain:app", "Make a recogniser ready for how people talk somewhere."),
    "models": ("mooer.cli.models:app", "List, fetch, check and remove weights."),
    "doctor": ("mooer.cli.doctor:doctor", "Examine this machine and say what to mend."),
}

OPTIONAL = {"--speakers": "auto"}  # what an option means without a number behind it
_COMPLETION = {"install_completion", "show_completion"}  # the root has them, for all
EXIT_FAILED, EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED, EXIT_PIPE = 1, 2, 70, 130, 141


class Commands(TyperGroup):
    """The commands of `COMMANDS`, each imported when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return one command, or None."""
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; ConfigError names the nearest, or what to do with a file."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            if Path(args[0]).exists():
                raise ConfigError(
                    f"{args[0]!r} is no command: to transcribe it, run `mooer transcribe {args[0]}`"
                )
            raise ConfigError(f"unknown command {args[0]!r}: {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


class Command(TyperCommand):
    """A command some of whose options may stand without their value: --speakers, --speakers 3."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give such an option its value."""
        return super().parse_args(ctx, with_values(args))


def with_values(arguments: list[str]) -> list[str]:
    """Arguments with what `OPTIONAL` says behind each of its options that no number follows.

    >>> with_values(["--speakers", "a.mp3"]), with_values(["--speakers", "3", "a.mp3"])
    (['--speakers', 'auto', 'a.mp3'], ['--speakers', '3', 'a.mp3'])
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found: list[str] = []
    for argument, following in zip(arguments[:end], [*arguments, ""][1 : end + 1], strict=True):
        found.append(argument)
        if argument in OPTIONAL and not following.isdigit() and following != OPTIONAL[argument]:
            found.append(OPTIONAL[argument])
    return found + arguments[end:]


def load_command(name: str) -> Any:
    """Import a command of the table and make it ready to run, with -q and -v added."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    target = getattr(importlib.import_module(module), attribute)
    if isinstance(target, typer.Typer):
        target.rich_markup_mode = None  # plain help: quick, and the same in a pipe
        command = get_command(target)
        command.params[:] = [p for p in command.params if p.name not in _COMPLETION]
    else:
        command = _plain_command(name, target)
    command.name = name
    _add_verbosity(command)
    return command


def _plain_command(name: str, function: Any) -> Any:
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, cls=Command)(function)
    return get_command(single)


def _add_verbosity(command: Any) -> None:
    """So that `mooer transcribe -q` is understood as well as `mooer -q transcribe`."""
    for sub in getattr(command, "commands", {}).values():
        _add_verbosity(sub)
    if not hasattr(command, "commands"):
        taken = {option for param in command.params for option in param.opts}
        for param in _plain_command("", _verbosity).params:
            if param.name in {"quiet", "verbose"} and not taken.intersection(param.opts):
                command.params.append(param)


def _on_quiet(value: bool) -> None:
    if value:
        set_verbosity(logging.WARNING)


def _on_verbose(value: bool) -> None:
    if value:
        set_verbosity(logging.DEBUG)


def _on_version(value: bool) -> None:
    if value:
        typer.echo(f"mooer {mooer.__version__}")
        raise typer.Exit


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Say only warnings and errors.",
        callback=_on_quiet,
        expose_value=False,
        show_default=False,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Say more of what is done.",
        callback=_on_verbose,
        expose_value=False,
        show_default=False,
    ),
]


def _verbosity(quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Carrier of the two options, from which they are copied to every command."""


app = typer.Typer(
    name="mooer",
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_on_version, is_eager=True),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Recognise and translate speech on your own machine.

    Example: mooer transcribe talk.mp3

    Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 some
    input failed, 2 wrong usage, 70 a bug in mooer, 130 interrupted. MOOER_DEBUG=1 shows
    tracebacks.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


class StderrHandler(logging.Handler):
    """Writes records to whatever `sys.stderr` is at that moment, as `mooer: …`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        level = {"INFO": "", "CRITICAL": "error: "}.get(
            record.levelname, record.levelname.lower() + ": "
        )
        try:
            print(f"mooer: {level}{self.format(record)}", file=sys.stderr, flush=True)  # noqa: T201
        except Exception:
            self.handleError(record)


def set_verbosity(level: int) -> None:
    """Send the log of `mooer.*` from `level` on to standard error."""
    logger = logging.getLogger("mooer")
    logger.setLevel(level)
    if not any(isinstance(handler, StderrHandler) for handler in logger.handlers):
        logger.addHandler(StderrHandler())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; errors become one line on stderr."""
    _write_utf8()
    set_verbosity(logging.INFO)
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _say("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the results has seen enough. The interpreter's last flush must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except Exception as error:
        if os.environ.get("MOOER_DEBUG", "") not in {"", "0"}:
            raise
        return _explain(error)


def _run(arguments: list[str]) -> int:
    command = get_command(app)
    if os.environ.get("_MOOER_COMPLETE"):  # a shell asks for completions
        command(prog_name="mooer")
    try:
        with command.make_context("mooer", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    return 0


def _explain(error: Exception) -> int:
    """Say an error in one sentence and return its exit code."""
    if isinstance(error, MooerError):
        code = EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED
        return _say(f"error: {error}", code)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(str(error), err=True)
        return EXIT_USAGE
    if hasattr(error, "format_message"):  # an error of usage, found by typer
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "mooer"
        message = str(error.format_message()).strip().rstrip(".")
        return _say(f"error: {message} (see `{path} --help`)", EXIT_USAGE)
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return _say(f"error: {error.strerror}{name}", EXIT_FAILED)
    if isinstance(error, MemoryError):
        return _say("error: out of memory: try a smaller --model", EXIT_FAILED)
    return _say(
        f"error: unexpected {type(error).__name__}: {error} - this is a bug in mooer: please "
        "report it with the traceback that the same command shows after `export MOOER_DEBUG=1`",
        EXIT_BUG,
    )


def _say(message: str, code: int) -> int:
    typer.echo(f"mooer: {' '.join(message.split())}", err=True)
    return code


def _write_utf8() -> None:
    """Transcripts are UTF-8 whatever the locale says; odd bytes of file names pass through."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")


if __name__ == "__main__":
    sys.exit(main())
