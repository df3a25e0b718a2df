"""`mooer knowledge`: index a folder of documents, and search it."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

logger = logging.getLogger(__name__)

app = typer.Typer(
    help="Index a folder of documents, and search it.\n\nExample: mooer knowledge build notes/",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of documents.")]
Place = Annotated[
    Path | None, typer.Option("--index", help="The index; default: a hidden file in the folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; default: all.")]


@app.command()
def build(
    folder: Folder,
    index: Place = None,
    anew: Annotated[bool, typer.Option("--anew", help="Forget what was indexed before.")] = False,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Index documents (txt, md, rst, html, docx, pdf) by meaning and by words.

    Example: mooer knowledge build notes/

    Only what changed is read again, and what is gone drops out. Interrupted, the same command goes
    on where it was. What cannot be read is named and left out.
    """
    from mooer.agent.knowledge.build import build as bring_up_to_date
    from mooer.agent.knowledge.folder import INDEX, open_embedder
    from mooer.agent.knowledge.index import Index
    from mooer.cli.progress import Tally

    place = index or folder / INDEX
    began_s = time.monotonic()
    embedder = open_embedder(threads)
    if anew:
        _remove(place)
    with (
        Index(place, model=embedder.name, width=embedder.width) as opened,
        Tally("indexing") as tally,
    ):
        built = bring_up_to_date(
            folder,
            opened,
            embedder,
            on_progress=tally,
        )
    if as_json:
        found = {**asdict(built), "index": str(place)}
        print(json.dumps(found, ensure_ascii=False))  # noqa: T201
        return
    print(  # noqa: T201
        f"{built.num_files} files, {built.num_passages} passages ({built.num_read} files read, "
        f"{built.num_embedded} passages embedded, {built.num_dropped} files dropped, "
        f"{len(built.left_out)} left out) in {time.monotonic() - began_s:.1f} s: {place}"
    )


@app.command()
def search(
    folder: Folder,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What is looked for.")],
    num: Annotated[int, typer.Option("--num", "-n", min=1, help="Passages at most.")] = 5,
    index: Place = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Find passages of an indexed folder, the best first.

    Example: mooer knowledge search notes/ "when does the library open?"

    The index is searched as it is: `mooer knowledge build` brings it up to date.
    """
    from mooer.agent.knowledge.folder import INDEX, open_embedder, open_index

    place = index or folder / INDEX
    with open_index(place, embedder=open_embedder(threads)) as knowledge:
        began_s = time.monotonic()
        found = knowledge.search(query, num)
        logger.info("%d found in %.0f ms", len(found), 1000 * (time.monotonic() - began_s))
    if as_json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False))  # noqa: T201
        return
    for number, one in enumerate(found, start=1):
        print(f"{number}. {one.name} ({one.score:.3f})\n   {one.text}")  # noqa: T201


def _remove(place: Path) -> None:
    """The index, if it is one: no other file is deleted."""
    from mooer.errors import ConfigError, OutputError

    try:
        if place.exists():
            with place.open("rb") as file:
                if file.read(15) != b"SQLite format 3":
                    raise ConfigError(f"{place} is no index: name another place")
        for suffix in ("", "-wal", "-shm"):
            place.with_name(place.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{place} cannot be removed ({error.strerror}): name another place by --index"
        ) from error
