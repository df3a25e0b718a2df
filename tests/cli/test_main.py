"""The entry point: lazy commands, exit codes, one line an error, log on standard error."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from mooer.cli import main as cli
from mooer.errors import AudioError, ConfigError, StoreError

MOOER = [sys.executable, "-m", "mooer"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "MOOER_DEBUG"} | environment
    return subprocess.run(
        [*MOOER, *arguments], capture_output=True, text=True, encoding="utf-8", env=env, check=False
    )


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MOOER_DEBUG", raising=False)
    logger = logging.getLogger("mooer")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Puts a function in the place of `mooer try`."""

    def put(function: Callable[..., Any]) -> None:
        module = types.ModuleType("mooer_try")
        module.function = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "mooer_try", module)
        monkeypatch.setitem(cli.COMMANDS, "try", ("mooer_try:function", "Try."))

    return put


def failing(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


def test_help_lists_every_command_and_imports_none() -> None:
    program = (
        "import sys; from mooer.cli.main import main; code = main(['--help']);"
        "heavy = {'numpy', 'rich', 'ctranslate2', 'onnxruntime', 'xllamacpp', 'yaml', 'av'};"
        "loaded = [m for m in sys.modules if m in heavy or m.startswith('mooer.')];"
        "print('LOADED', sorted(loaded)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    for name in cli.COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert "LOADED ['mooer.cli', 'mooer.cli.main', 'mooer.errors']" in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "mooer 0.1.0\n"


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "Usage: mooer" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_a_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: mooer {name} " in out
    assert f"Example: mooer {name} " in " ".join(out.split())
    assert "--install-completion" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["transcrib", "a.wav"], "did you mean transcribe?"),
        (["models", "lst"], "Did you mean 'list'?"),
        (["--nonsense"], "see `mooer --help`"),
        (["models", "fetch", "--nonsense"], "see `mooer models fetch --help`"),
        (["models", "path"], "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("mooer: error: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_a_file_in_the_place_of_a_command(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.mp3").touch()
    assert cli.main(["talk.mp3"]) == 2
    assert "run `mooer transcribe talk.mp3`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("no such option"), 2, "mooer: error: no such option\n"),
        (AudioError("two\n  lines"), 1, "mooer: error: two lines\n"),
        (StoreError("out of reach"), 1, "mooer: error: out of reach\n"),
        (
            PermissionError(13, "Permission denied", "/x"),
            1,
            "mooer: error: Permission denied: /x\n",
        ),
        (KeyboardInterrupt(), 130, "mooer: interrupted\n"),
        (typer.Abort(), 130, "mooer: interrupted\n"),
        (typer.Exit(3), 3, ""),
    ],
)
def test_errors_become_one_line(
    error: BaseException,
    code: int,
    said: str,
    command: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command(failing(error))
    assert cli.main(["try"]) == code
    assert capsys.readouterr().err == said


def test_a_bug_asks_to_be_reported(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command(failing(KeyError("x")))
    assert cli.main(["try"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("mooer: error: unexpected KeyError: 'x'")
    assert "report" in err
    assert "MOOER_DEBUG=1" in err
    assert err.count("\n") == 1


def test_debug_shows_the_traceback(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    command(failing(AudioError("bad")))
    monkeypatch.setenv("MOOER_DEBUG", "1")
    with pytest.raises(AudioError, match="bad"):
        cli.main(["try"])


@pytest.mark.parametrize(
    ("arguments", "levels"),
    [
        (["try"], "news warning"),
        (["try", "-q"], "warning"),
        (["-q", "try"], "warning"),
        (["try", "--verbose"], "detail news warning"),
        (["-v", "try"], "detail news warning"),
    ],
)
def test_verbosity(
    arguments: list[str], levels: str, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def function() -> None:
        log = logging.getLogger("mooer.somewhere")
        log.debug("detail")
        log.info("news")
        log.warning("warning")

    command(function)
    assert cli.main(arguments) == 0
    lines = {
        "detail": "mooer: debug: detail\n",
        "news": "mooer: news\n",
        "warning": "mooer: warning: warning\n",
    }
    assert capsys.readouterr().err == "".join(lines[level] for level in levels.split())


def test_a_command_keeps_its_own_options(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def function(quality: int = typer.Option(1, "--quality", "-q")) -> None:
        typer.echo(quality)

    command(function)
    assert cli.main(["try", "-q", "7"]) == 0
    assert capsys.readouterr().out == "7\n"


def test_utf8_whatever_the_locale_says() -> None:
    program = (
        "import sys; from mooer.cli import main as m;"
        "m._write_utf8(); print('摩耳'); print('caf\\udce9.wav', file=sys.stderr)"
    )
    env = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=env)
    assert done.stdout.decode("utf-8").strip() == "摩耳"
    assert done.stderr.strip() == b"caf\xe9.wav"


def test_a_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*MOOER, "--help"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_full_disk_is_said() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([*MOOER, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "mooer: error: No space left on device\n"


def test_completion_names_commands() -> None:
    done = run(_MOOER_COMPLETE="complete_bash", COMP_WORDS="mooer trans", COMP_CWORD="1")
    assert done.returncode == 0
    assert done.stdout.split() == ["transcribe", "translate"]
