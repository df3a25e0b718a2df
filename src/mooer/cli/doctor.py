"""`mooer doctor`: what this machine has, what is missing, and how to mend it."""

from __future__ import annotations

import json as json_format
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit, urlunsplit

import typer

NEEDED = ("whisper-base", "silero-vad")
"""Weights that `mooer transcribe` asks for when nothing else is said."""

MIN_FREE_BYTES = 1_000_000_000
MIN_AVAILABLE_BYTES = 1_000_000_000

# What the engines have fast code for; anything else in the long list of flags changes nothing.
INSTRUCTION_SETS = (
    *("avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("amx_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16", "sve"),
)
OTHER_VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE", "OMP_NUM_THREADS", "MOOER_DEBUG"),
)
SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD")

State = Literal["good", "note", "problem"]
STYLE = {"good": "green", "note": "yellow", "problem": "bold red"}
MARK = {"good": "ok", "note": "--", "problem": "!!"}


@dataclass(frozen=True)
class Check:
    """One line of the report; `mend` says what to do unless all is good."""

    section: str
    name: str
    value: str
    state: State = "good"
    mend: str = ""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Also try whether the sources of weights answer.")
    ] = False,
) -> None:
    """Say what this machine has, what is missing for `mooer transcribe`, and how to mend it.

    Exit code 0 if nothing is missing, 1 otherwise.

    Example: mooer doctor --online
    """
    checks: list[Check] = []
    for examine in (_system, _packages, _weights, _environment):
        checks.extend(examine())
    if online:
        checks.extend(_sources())
    is_good = all(check.state != "problem" for check in checks)
    if json:
        report = {"good": is_good, "checks": [asdict(check) for check in checks]}
        typer.echo(json_format.dumps(report, ensure_ascii=False, indent=2))
    else:
        _show(checks, is_good=is_good)
    if not is_good:
        raise typer.Exit(1)


def _system() -> Iterator[Check]:
    import mooer

    section = "system"
    yield Check(section, "mooer", mooer.__version__)
    yield Check(section, "python", f"{platform.python_version()} ({sys.executable})")
    yield Check(section, "system", f"{platform.system()} {platform.release()} {platform.machine()}")
    model, flags = _processor()
    yield Check(section, "processor", model)
    yield Check(section, "instructions", " ".join(flags) or "unknown")
    yield _cores(section)
    yield _memory(section)


def _processor() -> tuple[str, list[str]]:
    """Model name and the instruction sets that matter; what the system does not tell is left."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), []
    lines: dict[str, str] = dict(re.findall(r"^([^\t:\n]+?)\s*: ?(.*)$", text, flags=re.MULTILINE))
    flags = set(lines.get("flags", lines.get("Features", "")).split())
    return lines.get("model name") or platform.machine(), [
        name for name in INSTRUCTION_SETS if name in flags
    ]


def _cores(section: str) -> Check:
    count = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    text = f"{allowed} of {count} usable"
    try:
        from mooer.engines.llm import usable_cores
    except ImportError as error:
        mend = "see the packages below, or install mooer again"
        return Check(section, "cores", f"{text}; engines do not load: {error}", "problem", mend)
    return Check(section, "cores", f"{text}, {usable_cores()} threads for a model")


def _memory(section: str) -> Check:
    total_bytes, available_bytes = _memory_bytes()
    if total_bytes is None or available_bytes is None:
        return Check(section, "memory", "unknown", "note")
    text = f"{available_bytes / 1e9:.1f} GB available of {total_bytes / 1e9:.1f} GB"
    if available_bytes < MIN_AVAILABLE_BYTES:
        return Check(section, "memory", text, "note", "close other programs: models need 1 GB")
    return Check(section, "memory", text)


def _memory_bytes() -> tuple[int | None, int | None]:
    """Total and available, the smaller of the machine's and the container's."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        sizes = {key: int(kilo) * 1024 for key, kilo in re.findall(r"(\w+):\s+(\d+) kB", text)}
        total_bytes, available_bytes = sizes["MemTotal"], sizes["MemAvailable"]
    except (OSError, KeyError):
        try:
            page_bytes = os.sysconf("SC_PAGE_SIZE")
            return page_bytes * os.sysconf("SC_PHYS_PAGES"), None
        except (AttributeError, ValueError, OSError):
            return None, None
    group = Path("/sys/fs/cgroup")
    try:
        limit_bytes = int((group / "memory.max").read_text())
        used_bytes = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return total_bytes, available_bytes
    left_bytes = max(0, limit_bytes - used_bytes)
    return min(total_bytes, limit_bytes), min(available_bytes, left_bytes)


def _packages() -> Iterator[Check]:
    section = "packages"
    try:
        wanted = metadata.requires("mooer") or []
    except metadata.PackageNotFoundError:
        yield Check(section, "mooer", "not installed", "note", "pip install mooer")
        return
    extras: dict[str, list[str]] = {}
    for text in wanted:
        match = re.match(r"([\w.-]+)[^>;]*(?:>=\s*([\w.]+))?", text)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", text)
        if match is None:
            continue
        name, least = match.groups()
        if extra is None:
            yield _package(section, name, least)
        elif _version(name) is None:
            extras.setdefault(extra.group(1), []).append(name)
    for extra_name, names in sorted(extras.items()):
        # Tools for working on mooer itself are nothing a user lacks.
        if extra_name != "dev":
            mend = f"if you want it: pip install 'mooer[{extra_name}]'"
            yield Check(section, f"[{extra_name}]", f"without {', '.join(names)}", "note", mend)


def _package(section: str, name: str, least: str | None) -> Check:
    version = _version(name)
    if version is None:
        return Check(section, name, "missing", "problem", f"pip install {name}")
    if least and _numbers(version) < _numbers(least):
        mend = f"pip install --upgrade '{name}>={least}'"
        return Check(section, name, f"{version}, older than {least}", "problem", mend)
    return Check(section, name, version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", version)[:3]]


def _weights() -> Iterator[Check]:
    from mooer.store import catalog, is_present
    from mooer.store.progress import megabytes
    from mooer.store.settings import read_settings

    section = "weights"
    home = read_settings().home
    yield _disk(section, home)
    for name, entry in catalog().items():
        size = megabytes(entry.size_bytes)
        if is_present(name):
            yield Check(section, name, size)
            continue
        is_needed = name in NEEDED
        mend = f"{'' if is_needed else 'if you want it: '}mooer models fetch {name}"
        state: State = "problem" if is_needed else "note"
        yield Check(section, name, f"not fetched, {size}", state, mend)


def _disk(section: str, home: Path) -> Check:
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free_bytes = shutil.disk_usage(there).free
    text = f"{home}, {free_bytes / 1e9:.0f} GB free"
    if free_bytes < MIN_FREE_BYTES:
        return Check(section, "cache", text, "note", "free some, or set MOOER_HOME elsewhere")
    if not os.access(there, os.W_OK):
        mend = "make it writable to fetch more, or set MOOER_HOME elsewhere"
        return Check(section, "cache", f"{text}, not writable", "note", mend)
    return Check(section, "cache", text)


def _environment() -> Iterator[Check]:
    from mooer.store.settings import VARIABLES

    for name in (*VARIABLES, *OTHER_VARIABLES):
        value = os.environ.get(name)
        if value:
            yield Check("environment", name, "(set)" if SECRET.search(name) else _masked(value))


def _masked(value: str) -> str:
    """A value without the passwords of the addresses in it."""
    return " ".join(_without_login(part) for part in value.split(" "))


def _without_login(text: str) -> str:
    try:
        url = urlsplit(text)
    except ValueError:
        return text
    login, at, host = url.netloc.rpartition("@")
    return urlunsplit(url._replace(netloc=f"***@{host}")) if login and at else text


def _sources() -> Iterator[Check]:
    from mooer.store.settings import read_settings
    from mooer.store.sources import probe

    found = probe(read_settings())
    # One source is enough, but without any a fresh machine cannot get its weights.
    for name, reason in found.items():
        yield Check("sources", name, reason or "answers", "note" if reason else "good")
    if all(found.values()):
        mend = "connect, set HTTPS_PROXY or HF_ENDPOINT, or fill MOOER_MODELS_DIR"
        yield Check("sources", "all", "nothing can be fetched", "note", mend)


def _show(checks: list[Check], *, is_good: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    write: Callable[[Text], None] = console.print
    width = max(len(check.name) for check in checks)
    section = ""
    for check in checks:
        if check.section != section:
            section = check.section
            write(Text(section, style="bold"))
        line = Text("  ")
        line.append(MARK[check.state], style=STYLE[check.state])
        line.append(f" {check.name.ljust(width)}  {check.value}")
        if check.mend:
            line.append(f"  -> {check.mend}", style="cyan")
        write(line)
    if is_good:
        write(Text("Ready: mooer transcribe FILE", style="bold green"))
    else:
        write(Text("Not ready: mend the lines marked !!", style="bold red"))
