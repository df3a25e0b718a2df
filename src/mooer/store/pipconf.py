"""What pip is configured to do, read without pip: indexes, proxy, certificates.

Precedence as in pip: environment, PIP_CONFIG_FILE, virtual environment, user, system; inside a
file a section for the command (`[download]`, `[install]`) goes before `[global]`.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PUBLIC_INDEX = "https://pypi.org/simple"

SECTIONS = ("global", "install", "download")
"""From weak to strong."""

EXOTIC = ("client-cert", "trusted-host", "keyring-provider")
"""Options that only pip itself can honour."""


@dataclass(frozen=True)
class PipConfig:
    """The options of pip that decide where packages come from."""

    indexes: tuple[str, ...] = (PUBLIC_INDEX,)
    find_links: tuple[str, ...] = ()
    proxy: str | None = None
    cert: str | None = None
    exotic: tuple[str, ...] = ()


def read_pip_config(
    env: Mapping[str, str] | None = None, files: tuple[Path, ...] | None = None
) -> PipConfig:
    """The configuration that pip would use here; broken files are passed over, as advice only."""
    env = os.environ if env is None else env
    options: dict[str, str] = {}
    for file in config_files(env) if files is None else files:
        options.update(_read_file(file))
    for key, value in env.items():
        if key.startswith("PIP_") and value and key != "PIP_CONFIG_FILE":
            options[key[4:].lower().replace("_", "-")] = value
    extra = options.get("extra-index-url", "").split()
    only_links = options.get("no-index", "").lower() in {"1", "true", "yes", "on"}
    indexes = () if only_links else (options.get("index-url", PUBLIC_INDEX), *extra)
    return PipConfig(
        indexes=tuple(dict.fromkeys(url.rstrip("/") for url in indexes)),
        find_links=tuple(options.get("find-links", "").split()),
        proxy=options.get("proxy"),
        cert=options.get("cert"),
        exotic=tuple(key for key in EXOTIC if options.get(key)),
    )


def config_files(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Where pip looks for its configuration, from weak to strong."""
    named = env.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return ()
    return (*_standard_files(env), *([Path(named)] if named else []))


def _standard_files(env: Mapping[str, str]) -> Iterator[Path]:
    home = Path.home()
    if sys.platform == "win32":
        yield Path(env.get("PROGRAMDATA", "C:/ProgramData")) / "pip" / "pip.ini"
        yield home / "pip" / "pip.ini"
        yield Path(env.get("APPDATA", str(home))) / "pip" / "pip.ini"
        yield Path(env.get("VIRTUAL_ENV", sys.prefix)) / "pip.ini"
        return
    for folder in reversed(env.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)):
        yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    if sys.platform == "darwin":
        yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    yield Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield Path(env.get("VIRTUAL_ENV", sys.prefix)) / "pip.conf"


def _read_file(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError):
        return {}
    options: dict[str, str] = {}
    for section in SECTIONS:
        if parser.has_section(section):
            options.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    return options
