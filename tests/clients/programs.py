"""The clients as programs: built as clients/README.md says, in a copy, and run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CLIENTS = Path(__file__).parents[2] / "clients"
NAMES = ("python", "javascript", "cpp", "java", "csharp")
STREAMERS = (*NAMES, "javascript-standard")  # once more, with the WebSocket of newer Nodes
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # quick to start
INSTALL = "tools/toolchains.sh installs it"


class MissingToolError(Exception):
    """A client cannot be built or run here."""


class NoSuchPartError(Exception):
    """What is to be tested is no part of the version that is installed."""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Program:
    """A client that is ready to run; `start` begins its command line."""

    name: str
    start: tuple[str, ...]
    folder: Path

    def command(self, command, *arguments):
        if self.name == "python":
            return [*self.start, str(self.folder / f"{command}.py"), *arguments]
        return [*self.start, command, *arguments]

    def environment(self, key=None):
        """Ours, with UTF-8 for Java and C#, and at most the key that is given."""
        found = {**os.environ, "LC_ALL": "C.UTF-8"}
        found.pop("MOOER_API_KEY", None)
        return found | ({"MOOER_API_KEY": key} if key else {})

    def run(self, command, *arguments, key=None):
        done = subprocess.run(
            self.command(command, *map(str, arguments)),
            capture_output=True,
            env=self.environment(key),
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def make(name, folder):
    """Build a client in `folder`. MissingToolError where something is not installed."""
    language = name.partition("-")[0]
    source = folder / name
    shutil.copytree(CLIENTS / language, source)
    if language == "javascript":
        return Program(
            name, (*node(is_standard=name != language), str(source / "client.mjs")), source
        )
    if language == "python":
        return Program(name, (sys.executable,), source)
    starts = {
        "cpp": (("g++",), (str(source / "client"),)),
        "java": (("javac", "java"), (*JAVA, "-cp", str(source), "Client")),
        "csharp": (("mcs", "mono"), ("mono", str(source / "Client.exe"))),
    }
    tools, start = starts[language]
    for tool in tools:
        need(tool)
    built = subprocess.run(build_line(tools[0]), cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return Program(name, start, source)


def build_line(tool):
    """As the table of README.md has it."""
    text = (CLIENTS / "README.md").read_text("utf-8")
    [line] = re.findall(rf"^\|.*\| `({re.escape(tool)} [^`]+)`.*\|$", text, re.M)
    return shlex.split(line)


def need(tool):
    if shutil.which(tool) is None:
        raise MissingToolError(f"{tool} is not installed: {INSTALL}")


def node(*, is_standard):
    """Node with its own WebSocket, which 22 has and 20 has behind a flag, or without."""
    need("node")
    told = subprocess.run(["node", "--version"], capture_output=True, text=True)
    version = int(told.stdout.lstrip("v").partition(".")[0])
    if version < 18:
        raise MissingToolError(f"node is {told.stdout.strip()}, too old: 18 is needed")
    if not is_standard:
        quiet = ("--no-warnings",) if version < 20 else ()  # that FormData is new
        return ("node", *(quiet if version < 22 else ("--no-experimental-websocket",)))
    if version < 20:
        raise NoSuchPartError(f"node {version} has no WebSocket of its own")
    return ("node",) if version >= 22 else ("node", "--no-warnings", "--experimental-websocket")
