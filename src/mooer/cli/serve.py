"""`mooer serve`: what the house can do, for any OpenAI client, on one port."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mooer.serve.settings import Settings

logger = logging.getLogger(__name__)


def serve(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on. [default: 127.0.0.1]", show_default=False),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", help="[default: 8000]", show_default=False)
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Recogniser; several for several, the first is usual."),
    ] = None,
    chat: Annotated[
        str | None, typer.Option(help="A speech LLM that answers /v1/chat/completions: mini.")
    ] = None,
    speaker: Annotated[
        str | None,
        typer.Option(help="Who speaks, or none. [default: kokoro-82m]", show_default=False),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="PERSONA.yaml",
            help="Who converses on /v1/realtime and the page, or none. [default: an assistant]",
            show_default=False,
        ),
    ] = None,
    mind: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|URL",
            help="What the agent thinks with: embedded, mini, or an OpenAI API. "
            "[default: embedded]",
            show_default=False,
        ),
    ] = None,
    mind_model: Annotated[
        str | None, typer.Option(help="Its model; of a URL that has to be named.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let other machines reach it; needs keys.")
    ] = False,
    keys: Annotated[
        Path | None, typer.Option(help="File of API keys, of which it holds hashes.")
    ] = None,
    new_key: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Make a key, add its hash to --keys, print it, and end."),
    ] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="The new key may load and unload models.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes behind the port. [default: 1]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads; all cores by default.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="cpu, cuda, or auto: an NVIDIA GPU where there is one. [default: auto]",
            show_default=False,
        ),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="A site whose pages may call it: https://example.org"),
    ] = None,
    tls: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="CERT KEY", help="PEM files, for https.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings; options go before it.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One more setting: limits.max_running=8"),
    ] = None,
) -> None:
    """Serve speech to text, text to speech, chat and conversation on one port, as OpenAI does.

    Example: mooer serve

    Example: mooer serve --model whisper-base --chat mini --port 9000

    Example: mooer serve --agent persona.yaml --mind http://localhost:11434/v1#qwen3

    Example: mooer serve --new-key anna --keys keys.txt

    Example: mooer serve --public --keys keys.txt --tls cert.pem key.pem --workers 2

    Clients: OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none"). MOOER_API_KEY is a key
    too. SIGTERM and ctrl-C let what runs come to its end.
    """
    from mooer.errors import ConfigError

    if new_key is not None:
        if keys is None:
            raise ConfigError("--new-key needs a file: add --keys FILE")
        _need_extra()
        from mooer.serve.callers import new_key as make

        typer.echo(make(keys, new_key, is_admin=admin))
        logger.info("its hash is in %s; the key itself is kept nowhere: note it down", keys)
        return
    if admin:
        raise ConfigError("--admin is for --new-key: leave it out")
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "models": tuple(model) if model else None,
        "chat": chat,
        "speaker": speaker,
        "agent": agent,
        "mind": mind,
        "mind_model": mind_model,
        "public": public or None,
        "keys": keys,
        "workers": workers,
        "threads": threads,
        "device": device,
        "cors": tuple(cors) if cors else None,
    }
    settings = read_settings(config, given, tls, set_ or [])
    _need_extra()
    from mooer.serve.run import serve as run

    run(settings)


def read_settings(
    config: Path | None,
    given: dict[str, Any],
    tls: tuple[Path, Path] | None,
    changes: list[str],
) -> Settings:
    """Settings of a file, with options and changes on top. ConfigError if they make no sense."""
    import os

    from mooer.config import override, read_yaml
    from mooer.serve.settings import Settings, TlsOptions

    given = {name: value for name, value in given.items() if value is not None}
    if tls is not None:
        given["tls"] = TlsOptions(*tls)
    for name in ("speaker", "agent"):
        if given.get(name) == "none":
            given[name] = None
    if key := os.environ.get("MOOER_API_KEY"):
        given["api_key"] = key
    if key := os.environ.get("MOOER_MIND_KEY"):
        given["mind_key"] = key
    found = read_yaml(Settings, config) if config is not None else Settings()
    return override(replace(found, **given), changes)


def _need_extra() -> None:
    """MissingExtra if what serving needs is not installed."""
    from importlib.util import find_spec

    from mooer.errors import MissingExtra

    for package in ("starlette", "uvicorn", "python_multipart", "httptools", "websockets"):
        if find_spec(package) is None:
            raise MissingExtra(package, "serve")
