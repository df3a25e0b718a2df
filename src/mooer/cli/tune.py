"""`mooer lm tune`: weights of a fusion by a grid over n-best lists of a dev set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mooer.cli.fused import Lm, SourceLm

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from mooer.data.manifest import Item
    from mooer.decoding.nbest import NBest
    from mooer.decoding.tuning import Tuned
    from mooer.infer.run import Listener


def tune(
    manifest: Annotated[Path, typer.Argument(metavar="DEV", help="JSONL manifest: audio, text.")],
    lm: Lm = None,
    model: Annotated[str, typer.Option("--model", "-m", help="The recogniser.")] = "rich-mini",
    fusion: Annotated[
        str, typer.Option("--fusion", help="shallow, rescore, density, lodr, ilme or wfst.")
    ] = "shallow",
    source_lm: SourceLm = None,
    domain: Annotated[
        Path | None, typer.Option("--domain", help="A folder whose weights are to be tuned.")
    ] = None,
    nbest: Annotated[
        Path | None, typer.Option(help="Where the n-best lists are kept, to be used again.")
    ] = None,
    heat_map: Annotated[
        Path | None, typer.Option(help="Draw the error rates here, as PNG.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many utterances.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the weights with the fewest errors on recordings whose text is known.

    Example: mooer lm tune dev.jsonl --lm news.arpa --nbest dev-nbest.jsonl --heat-map dev.png

    Example: mooer lm tune dev.jsonl --domain service/ --fusion ilme

    Every utterance is decoded without the language model and with it; the lists can be tuned on
    again. Where no weights lower the errors for sure (p above 0.1), they are 0: nothing helps.
    """
    import json
    from dataclasses import asdict, replace

    from mooer.errors import ConfigError
    from mooer.files import write_whole
    from mooer.infer.domain import (
        HEAT_MAP,
        LM_FILE,
        as_method,
        nbest_file,
        read_domain,
        write_settings,
    )

    if (lm is None) == (domain is None):
        raise ConfigError("name a language model by --lm, or a folder by --domain: one of the two")
    folder = domain
    if folder is not None:
        settings = read_domain(folder).settings
        model, lm = settings.model, folder / LM_FILE
        nbest, heat_map = nbest or folder / nbest_file(fusion), heat_map or folder / HEAT_MAP
    from mooer.decoding.tuning import draw_tuned

    found = run_tuning(manifest, model, fusion, (lm, source_lm, folder), nbest, limit)
    if heat_map is not None:
        write_whole(heat_map, draw_tuned(found))
    if folder is not None:
        write_settings(folder, replace(settings, fusion=as_method(found.options, fusion)))
    if as_json:
        row = {"options": asdict(found.options), **_counts(found)}
        typer.echo(json.dumps(row))
    else:
        typer.echo(shown(found))


def run_tuning(
    manifest: Path,
    model: str,
    method: str,
    places: tuple[Path | None, Path | None, Path | None],
    nbest: Path | None,
    limit: int | None,
) -> Tuned:
    """The grid over lists that are there, or are made now; `places`: LM, source LM, domain."""
    from mooer.decoding.fusion import FRAMES, ILM, METHODS, FusionOptions
    from mooer.decoding.nbest import read_nbest, write_nbest
    from mooer.decoding.tuning import MAX_P
    from mooer.decoding.tuning import tune as search
    from mooer.errors import ConfigError
    from mooer.infer.candidates import grid_for
    from mooer.infer.ctc_recognizer import CtcRecognizer
    from mooer.infer.domain import PRIOR, fusion_of
    from mooer.infer.fusion import load_fusion

    lm, source, folder = places
    parts = METHODS[FusionOptions(method).method].parts
    habit = next((part for part in (ILM, FRAMES) if part in parts), None)
    recognizer = _recognizer(model)
    if method == "wfst" and not isinstance(recognizer, CtcRecognizer):
        raise ConfigError("wfst is a search for CTC models that spell: take --model rich-mini")
    if nbest is not None and nbest.is_file():
        typer.echo(f"n-best lists: {nbest}, which is there already", err=True)
        lists = read_nbest(nbest)
    else:
        prior = None if folder is None else folder / PRIOR
        assert lm is not None
        lists = list(_decoded(recognizer, manifest, (prior, lm), limit, method))
        if nbest is not None:
            write_nbest(nbest, lists)
    if habit and any(habit not in c.scores for one in lists for c in one.candidates):
        raise ConfigError(
            f"the lists {nbest} have no scores of an internal LM for {method}: remove the file, "
            "and tune again"
        )
    # The lists have the internal LM's scores, and so neither a prior nor a graph is needed here.
    options = FusionOptions(method if method != "wfst" else "shallow")
    if folder is not None and source is None:
        fusion = fusion_of(folder, options)
    else:
        fusion = load_fusion(options, lm=lm, source=source)
    lists = [fusion.scored(one, None) for one in lists]
    tuned = search(lists, method, grid_for(recognizer, method), max_p=MAX_P)
    if tuned.p_value > MAX_P:
        logger.warning(
            "no weights of %s lower the errors for sure (p %.2f): all are 0. More recordings, or "
            "text that is nearer to them, may tell",
            method,
            tuned.p_value,
        )
    return tuned


def shown(found: Tuned) -> str:
    """What was found, in lines."""
    from dataclasses import asdict

    rows = [f"{name}: {value}" for name, value in asdict(found.options).items()]
    rows += [f"{name}: {value}" for name, value in _counts(found).items()]
    return "\n".join(rows)


def _counts(found: Tuned) -> dict[str, Any]:
    return {
        "tokens": found.num_tokens,
        "errors_before": found.first_errors,
        "errors": found.num_errors,
        "errors_at_best": found.oracle_errors,
        "p_value": round(found.p_value, 4),
        "error_rate": round(found.rate, 4),
    }


def _recognizer(model: str) -> Listener:
    from mooer.infer import load

    return load(model).recognizer


def _decoded(
    recognizer: Listener,
    manifest: Path,
    places: tuple[Path | None, Path],
    limit: int | None,
    method: str,
) -> Iterator[NBest]:
    """N-best lists of a manifest; `places`: where the prior of a CTC model is kept, and the LM.

    The prior is estimated first. The search is asked without the LM and with it, or through graphs.
    """
    from mooer.data.manifest import inputs
    from mooer.decoding.fusion import ILM, METHODS
    from mooer.errors import ManifestError
    from mooer.infer.candidates import fusions_for_tuning, graphs_for_tuning, nbest_of
    from mooer.infer.ctc_recognizer import CtcRecognizer
    from mooer.infer.fusion import estimate_prior, save_prior
    from mooer.infer.language_models import load_language_model

    prior, lm = places
    needs_ilm = ILM in METHODS[method].parts
    items = [item for item in inputs([manifest]) if item.fields.get("text")][:limit]
    if not items:
        raise ManifestError(f"no line of {manifest} has a text to compare with: write it there")
    found = None
    by_graph = method == "wfst"
    if isinstance(recognizer, CtcRecognizer) and (needs_ilm or by_graph or prior is not None):
        found = estimate_prior(recognizer.model, (_read(item) for item in items))
        if prior is not None:
            save_prior(prior, found)
    if by_graph:
        assert isinstance(recognizer, CtcRecognizer)
        assert found is not None
        fusions = graphs_for_tuning(recognizer, lm, found)
    else:
        fusions = fusions_for_tuning(recognizer, load_language_model(lm))
    lists = nbest_of(recognizer, items, _read, ilm=needs_ilm, prior=found, fusions=fusions)
    for done, one in enumerate(lists, 1):
        if done % 20 == 0 or done == len(items):
            typer.echo(f"decoded {done}/{len(items)}", err=True)
        yield one


def _read(item: Item) -> Any:
    from mooer.audio.wave import read_wave

    return read_wave(item.path)
