"""The package as a user meets it: its names, its examples, and the commands of its documents."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mooer
from mooer.cli.main import COMMANDS, load_command
from mooer.store import catalog
from mooer.store.progress import megabytes
from mooer.store.settings import VARIABLES, read_settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / name for name in ("README.md", "README_CN.md")]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MAX_EXAMPLE_LINES = 40
TRANSCRIPT = {
    "zh.flac": "大家好，欢迎使用语音识别。今天天气很好，我们一起去公园散步吧。",
    "en.flac": "Good morning, everyone. Thank you for coming. "
    "Today we will talk about how machines learn to understand human speech.",
}


def shell_commands(document: Path) -> Iterator[list[str]]:
    """Arguments of every `mooer …` in the code blocks of a document, `#` comments cut off."""
    for block in re.findall(
        r"^```(?:sh|console)\n(.*?)^```", document.read_text("utf-8"), re.M | re.S
    ):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|>")
            lexer.whitespace_split = True
            words = list(lexer)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                del words[0]  # environment
            if words and words[0] in {"mooer", "./run.sh"}:
                end = next((i for i, w in enumerate(words) if w in {"|", ">", ">>"}), len(words))
                yield words[1:end]


DOCUMENTED = sorted({tuple(c) for document in DOCUMENTS for c in shell_commands(document)})


def test_the_documents_name_every_command() -> None:
    for document in DOCUMENTS:
        named = {command[0] for command in shell_commands(document) if command}
        assert set(COMMANDS) <= named, document.name


@pytest.mark.parametrize("arguments", DOCUMENTED, ids=" ".join)
def test_commands_of_the_documents_parse(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if not arguments or arguments[0].startswith("-"):
        assert set(arguments) <= {"--help", "--version"}
        return
    for word in arguments:
        if "." in word and not word.startswith("-"):  # files that the command may look for
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).touch()
    command: Any = load_command(arguments[0])
    rest = list(arguments[1:])
    while hasattr(command, "commands"):
        assert rest[0] in command.commands
        command = command.commands[rest.pop(0)]
    if "--help" not in rest:
        command.make_context(arguments[0], rest)  # an unknown option or value is an error


def test_both_documents_have_the_same_commands() -> None:
    english, chinese = ({tuple(c) for c in shell_commands(d)} for d in DOCUMENTS)
    assert english == chinese


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"]:
        for link in re.findall(r"\]\(([^)#]+)", document.read_text("utf-8")):
            assert link.startswith("https://") or (document.parent / link).exists(), (
                f"{document.name}: {link}"
            )


def test_documents_list_every_model_with_its_size_and_licence() -> None:
    for document in DOCUMENTS:
        rows = [line for line in document.read_text("utf-8").splitlines() if line.startswith("| `")]
        for name, entry in catalog().items():
            (row,) = (row for row in rows if row.startswith(f"| `{name}` "))
            assert f"| {megabytes(entry.size_bytes)} |" in row
            assert row.endswith(f"| {entry.licence.partition(' (')[0]} |")


def test_documents_name_every_variable() -> None:
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        for name in VARIABLES:
            assert f"`{name}`" in text or not name.startswith(("MOOER_", "HF_E")), name


def test_public_names_are_exactly_these_and_importable() -> None:
    assert dir(mooer) == sorted(mooer.__all__)
    for name in mooer.__all__:
        assert getattr(mooer, name) is not None


def test_import_loads_nothing_heavy() -> None:
    program = (
        "import sys, mooer; heavy = {'numpy', 'torch', 'av', 'ctranslate2', 'onnxruntime', 'yaml'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_version_is_in_the_changelog() -> None:
    assert f"## [{mooer.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_examples_are_short() -> None:
    for path in EXAMPLES:
        assert len(path.read_text("utf-8").splitlines()) <= MAX_EXAMPLE_LINES, path.name


def test_clips_say_what_their_readme_says() -> None:
    readme = (ROOT / "examples" / "README.md").read_text("utf-8")
    for name, text in TRANSCRIPT.items():
        assert text in readme
        assert 0 < (ROOT / "examples" / name).stat().st_size < 200_000


@pytest.mark.real
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.real
@pytest.mark.parametrize("name", list(TRANSCRIPT))
def test_clips_are_heard_without_an_error(name: str) -> None:
    def letters(text: str) -> str:
        return "".join(c for c in text.lower() if c.isalnum())

    transcript = mooer.load().transcribe(ROOT / "examples" / name)
    assert transcript.language == name.partition(".")[0]
    assert letters(transcript.text) == letters(TRANSCRIPT[name])


@pytest.mark.real
def test_nothing_is_reported_home(tmp_path: Path) -> None:
    """onnxruntime would keep an id of the machine for its reports."""
    program = (
        "import mooer; from mooer.audio.vad import SpeechModel; from mooer.store import fetch; "
        "SpeechModel(next(fetch('silero-vad').glob('*.onnx')))"
    )
    own = {"HOME": str(tmp_path), "XDG_CACHE_HOME": "", "MOOER_HOME": str(read_settings().home)}
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | own
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_threads_do_not_spin_for_long_unless_told_to() -> None:
    program = "import os, mooer; print(os.environ['GOMP_SPINCOUNT'])"
    unset = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    for environment, wanted in ((unset, "20000"), (unset | {"GOMP_SPINCOUNT": "7"}, "7")):
        found = subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True
        )
        assert found.stdout.decode().strip() == wanted
