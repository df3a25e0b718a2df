"""`mooer data encode`: hidden frames of a frozen encoder, computed once and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def encode(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests of recordings.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the frames.")],
    encoder: Annotated[
        str, typer.Option(help="Weights of a Whisper encoder: a folder, or store:NAME.")
    ] = "store:whisper-base",
    layers: Annotated[int, typer.Option(min=1, help="Its layers that will not learn.")] = 6,
    variants: Annotated[
        int, typer.Option(min=1, help="Times each recording comes: once clean, then changed.")
    ] = 1,
    clean: Annotated[bool, typer.Option(help="Of these variants the clean one too.")] = True,
    max_s: Annotated[float, typer.Option(help="Longer recordings are left out.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of speed, noise and room.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compute what a frozen encoder hears once, for trainings that only go on from there.

    Example: mooer data encode train.jsonl --out frames/ --variants 3

    A recipe then lists frames/manifest.jsonl and sets model.encoder.config.stored_layers. About
    3.7 MB a minute and variant for Whisper base. The same command goes on where it was interrupted.
    """
    from mooer.cli.progress import Tally
    from mooer.data.supervision import read_manifest
    from mooer.infer.encode import EncodeOptions
    from mooer.infer.encode import encode as run

    if threads:
        import torch

        torch.set_num_threads(threads)
    options = EncodeOptions(encoder, layers, variants, clean, seed=seed, max_s=max_s)
    utterances = [one for path in manifests for one in read_manifest(path)]
    with Tally("encoding") as tally:
        report = run(
            utterances,
            out,
            options,
            on_progress=lambda done, total, s: tally(done, total, f"{s / 3600:.2f} h"),
        )
    typer.echo(
        json.dumps(vars(report))
        if as_json
        else f"{report.num_rows} rows, {report.seconds / 3600:.3f} h, in {report.wall_s:.1f} s; "
        f"{report.failed} could not be read"
    )
