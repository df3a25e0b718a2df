"""`mooer data`: lists of recordings converted, examined, packed and described."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from mooer.cli.encode import encode
from mooer.cli.label import label
from mooer.cli.synth import synth

app = typer.Typer(
    help="Prepare what is learned from.\n\nExample: mooer data convert kaldi/ train.jsonl",
    no_args_is_help=True,
)
app.command("encode")(encode)
app.command("label")(label)
app.command("synth")(synth)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes; default: one for each processor.")
]


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A list, a folder or a tar.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A file, or a folder.")],
    source_format: Annotated[
        str | None, typer.Option("--from", help="Format of SOURCE; found by default.")
    ] = None,
    target_format: Annotated[str, typer.Option("--to", help="Format of TARGET.")] = "manifest",
    durations: Annotated[
        bool, typer.Option("--durations", help="Measure durations that are not known.")
    ] = False,
    extract: Annotated[
        Path | None,
        typer.Option(help="Write members of shards and parts of recordings there as files."),
    ] = None,
) -> None:
    """Turn a list of one toolkit into that of another; ours is in the middle.

    Formats: manifest (ours), kaldi, mooer-shards, mooer-jsonl, sensevoice, osum, chatml, salmonn,
    emilia, lhotse. What the target cannot hold is told with counts.

    Example: mooer data convert data/train train.jsonl --durations

    Example: mooer data convert train.jsonl finetune.jsonl --to sensevoice
    """
    from mooer.data.convert import convert as run

    number, notes = run(
        source,
        target,
        source_format=source_format,
        target_format=target_format,
        durations=durations,
        extract=extract,
    )
    for line in notes.lines():
        typer.echo(f"note: {line}", err=True)
    typer.echo(f"wrote {number} utterances to {target}", err=True)


@app.command("validate")
def validate(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A JSONL manifest.")],
    min_s: Annotated[float, typer.Option(min=0.0, help="Shortest recording, seconds.")] = 0.1,
    max_s: Annotated[float, typer.Option(min=0.0, help="Longest recording, seconds.")] = 30.0,
    needs_text: Annotated[
        bool, typer.Option("--needs-text", help="Lines without text are problems.")
    ] = False,
    reads_sound: Annotated[
        bool, typer.Option("--sound/--no-sound", help="Read every recording to its end.")
    ] = True,
    workers: Workers = None,
    report: Annotated[Path | None, typer.Option(help="Write the whole report here, JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Examine a manifest: lines, ids, sounds, durations, texts. Exit code 1: problems were found.

    Kinds: line (not of the schema), duplicate (an id twice), unreadable, too short, too long,
    silent, duration (the manifest lies), no text, rate (text and sound do not fit in length),
    language (another script).

    Example: mooer data validate train.jsonl --max-s 20 --report problems.json
    """
    from mooer.cli.progress import Tally
    from mooer.data.validate import Bounds
    from mooer.data.validate import validate as run
    from mooer.files import write_whole

    bounds = Bounds(min_s, max_s, needs_text=needs_text, reads_sound=reads_sound)
    with Tally("examining") as tally:
        found = run(
            manifest,
            bounds,
            num_workers=(workers or os.cpu_count() or 1) if reads_sound else 1,
            on_progress=lambda done, total: tally(done, total, f"{done}/{total}"),
        )
    as_text = json.dumps(found.to_dict(), ensure_ascii=False, indent=1) + "\n"
    if report is not None:
        write_whole(report, as_text)
    typer.echo(as_text if as_json else found.to_text(), nl=False)
    if found.problems:
        raise typer.Exit(1)


@app.command("shard")
def shard(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A JSONL manifest.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the shards.")],
    per_shard: Annotated[int, typer.Option(min=1, help="Utterances in each shard.")] = 1000,
    codec: Annotated[
        str, typer.Option(help="flac, opus, or original (the files' own bytes).")
    ] = "flac",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what cannot be read, and count it.")
    ] = False,
    workers: Workers = None,
) -> None:
    """Pack recordings into tars with a list beside each, for fast reading in order.

    OUT/manifest.jsonl lists all of them and is a manifest like any other. The same command goes
    on where it was interrupted.

    Example: mooer data shard train.jsonl --out shards/ --per-shard 2000
    """
    from mooer.cli.progress import Tally
    from mooer.data.pack import CODECS, PackOptions, pack
    from mooer.errors import ConfigError, did_you_mean

    if codec not in CODECS:
        raise ConfigError(f"unknown codec {codec!r}: {did_you_mean(codec, CODECS)}")
    options = PackOptions(
        per_shard, CODECS[codec], "skip" if skip_bad else "raise", workers or os.cpu_count() or 1
    )
    with Tally("packing") as tally:
        packed = pack(
            manifest,
            out,
            options,
            on_progress=lambda done, total: tally(done, total, f"{done}/{total}"),
        )
    skipped = packed.skipped.total()
    typer.echo(
        f"packed {packed.num_utterances} utterances into {packed.num_shards} shards in {out}"
        + (f", {skipped} left out" if skipped else ""),
        err=True,
    )
    if skipped:
        raise typer.Exit(1)


@app.command("stats")
def stats(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A JSONL manifest.")],
    as_json: AsJson = False,
) -> None:
    """Say what a manifest holds: hours, lengths, languages, speakers, labels. Reads no sound.

    Example: mooer data stats train.jsonl
    """
    from mooer.data.statistics import statistics, to_text
    from mooer.data.supervision import iter_manifest

    found = statistics(utterance for utterance, _ in iter_manifest(manifest))
    text = json.dumps(found, ensure_ascii=False, indent=1) + "\n" if as_json else to_text(found)
    typer.echo(text, nl=False)
