"""`mooer domain`: folders of a domain's text made ready for decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Make what is known of a domain ready for decoding.\n\n"
    "Example: mooer domain build service/ --dev dev.jsonl",
    no_args_is_help=True,
)


@app.callback()
def main() -> None:
    """Make what is known of a domain ready for decoding."""


@app.command("build")
def build(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Holds text.txt, and may hold hotwords.txt.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="The recogniser that is to be helped.")
    ] = "rich-mini",
    order: Annotated[int, typer.Option(min=1, help="Length of the longest n-grams.")] = 4,
    units: Annotated[
        str, typer.Option(help="auto (Chinese characters, other words), words, or characters.")
    ] = "auto",
    dev: Annotated[
        Path | None, typer.Option(help="JSONL manifest: recordings to tune the weights on.")
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            "--fusion",
            help="Method to tune. [default: wfst with --graph, else shallow in a CTC search, "
            "rescore for Whisper]",
            show_default=False,
        ),
    ] = None,
    graph: Annotated[
        bool, typer.Option("--graph", help="Compose T ∘ L ∘ G too: fusion wfst, mooer[wfst].")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many utterances of --dev.")
    ] = None,
) -> None:
    """Train the LM of DIR/text.txt, tune the weights, compose the graph; see docs/decoding.md.

    Example: mooer domain build service/ --dev dev.jsonl --graph

    Afterwards: mooer transcribe --model rich-mini --domain service/ call.wav
    """
    from dataclasses import replace

    from mooer.cli.tune import run_tuning, shown
    from mooer.decoding.tuning import draw_tuned
    from mooer.errors import ConfigError, listed
    from mooer.files import write_whole
    from mooer.infer import load
    from mooer.infer.ctc_recognizer import CtcRecognizer
    from mooer.infer.domain import (
        GRAPH_NBEST,
        HEAT_MAP,
        LM_FILE,
        NBEST,
        UNSPELLED,
        DomainSettings,
        as_method,
        build_graph,
        build_lm,
        nbest_file,
        untuned,
        write_settings,
    )
    from mooer.infer.sense_voice import SenseVoiceRecognizer

    recognizer = load(model).recognizer
    if graph and not isinstance(recognizer, CtcRecognizer):
        raise ConfigError("a graph is for CTC models that spell: take --model rich-mini")
    searches = isinstance(recognizer, CtcRecognizer | SenseVoiceRecognizer)
    method = fusion or ("wfst" if graph else "shallow" if searches else "rescore")
    settings = DomainSettings(model, order, units, untuned(method))
    counts = build_lm(folder, settings)
    sizes = ", ".join(f"{count} {k}-grams" for k, count in enumerate(counts, 1))
    typer.echo(f"wrote {folder / LM_FILE}: {sizes}", err=True)
    if dev is not None:
        for name in (NBEST, GRAPH_NBEST):  # of another model, perhaps, or another dev set
            (folder / name).unlink(missing_ok=True)
        places = (folder / LM_FILE, None, folder)
        found = run_tuning(dev, model, method, places, folder / nbest_file(method), limit)
        settings = replace(settings, fusion=as_method(found.options, method))
        write_settings(folder, settings)
        write_whole(folder / HEAT_MAP, draw_tuned(found))
        typer.echo(shown(found), err=True)
    if graph:
        assert isinstance(recognizer, CtcRecognizer)
        composed, lexicon = build_graph(folder, recognizer, settings.fusion)
        typer.echo(f"composed the graph: {composed.num_states} states", err=True)
        if lexicon.unspelled:
            typer.echo(
                f"words that cannot be spelled are in {folder / UNSPELLED}: "
                f"{listed(lexicon.unspelled)}",
                err=True,
            )
    typer.echo(str(folder))
