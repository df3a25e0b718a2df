"""`mooer lm`: n-gram language models trained, examined, converted and pruned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from mooer.cli.tune import tune

app = typer.Typer(
    help="Make language models for decoding.\n\nExample: mooer lm train text.txt -o lm.arpa",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    Path, typer.Argument(metavar="LM", help="ARPA (also .gz), KenLM's binary, or ours.")
]
Target = Annotated[
    Path,
    typer.Option("--out", "-o", help="The model: .arpa, .arpa.gz, or .bin, which loads at once."),
]


@app.command("train")
def train(
    texts: Annotated[list[Path], typer.Argument(metavar="TEXT…", help="A sentence a line, UTF-8.")],
    out: Target,
    order: Annotated[int, typer.Option(min=1, help="Length of the longest n-grams.")] = 4,
    prune: Annotated[
        str, typer.Option(help="Leave out n-grams of each order that come so often or less: 0,0,1.")
    ] = "0",
    units: Annotated[
        str, typer.Option(help="auto (Chinese characters, other words), words, or characters.")
    ] = "auto",
    vocab: Annotated[
        Path | None, typer.Option(help="A list of words; all others become <unk>.")
    ] = None,
) -> None:
    """Train an n-gram model with modified Kneser-Ney smoothing, as KenLM's lmplz does.

    Text is taken as recognisers write it: lower case, simplified characters, no punctuation.

    Example: mooer lm train news.txt -o news.arpa

    Example: mooer lm train a.txt b.txt --order 3 --prune 0,0,1 -o small.bin
    """
    from mooer.decoding.lm.load import require_writable, write_ngram
    from mooer.decoding.lm.training import TrainOptions, read_lines, read_vocabulary, train_ngram
    from mooer.decoding.lm.units import unit_kind

    require_writable(out)
    kind = unit_kind(units)
    words = None if vocab is None else read_vocabulary(vocab, kind)
    found = train_ngram(
        read_lines(texts), TrainOptions(order, _numbers(prune, "--prune", int), kind, words)
    )
    for k, discounts in enumerate(found.discounts, 1):
        shown = ", ".join(f"{one:.3f}" for one in discounts)
        typer.echo(f"discounts of order {k}: {shown}", err=True)
    write_ngram(found.tables, out)
    counts = found.counts
    unknown = f", {counts.num_unknown} of them unknown" if words else ""
    typer.echo(
        f"wrote {out}: {_counted(found.tables.counts)} of {counts.num_sentences} sentences with "
        f"{counts.num_units - counts.num_sentences} units{unknown}",
        err=True,
    )


@app.command("info")
def info(model: Model, as_json: AsJson = False) -> None:
    """Say what a model holds. Reads it whole, so that a damaged one is found.

    Example: mooer lm info lm.arpa
    """
    from mooer.decoding.lm.load import file_kind, read_ngram
    from mooer.decoding.lm.units import kind_of

    found = read_ngram(model)
    values = {
        "file": str(model),
        "format": file_kind(model),
        "bytes": model.stat().st_size,
        "order": found.order,
        "units": kind_of(found.vocabulary),
        "vocabulary": len(found.vocabulary),
        "ngrams": list(found.counts),
    }
    lines = (f"{name}: {value}" for name, value in values.items())
    typer.echo(json.dumps(values, ensure_ascii=False) if as_json else "\n".join(lines))


@app.command("convert")
def convert(
    model: Model,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A name that ends in .arpa, .arpa.gz or .bin.")
    ],
) -> None:
    """Write a model in another format. KenLM's hash tables cannot be: they hold no n-grams.

    Example: mooer lm convert lm.arpa lm.bin
    """
    from mooer.decoding.lm.load import require_writable, tables_of, write_ngram

    require_writable(target)
    tables = tables_of(model)
    write_ngram(tables, target)
    typer.echo(f"wrote {target}: {_counted(tables.counts)}", err=True)


@app.command("prune")
def prune(
    model: Model,
    out: Target,
    threshold: Annotated[
        float, typer.Option(min=0.0, help="Leave out what changes perplexity by less, relatively.")
    ] = 1e-8,
) -> None:
    """Leave out n-grams that say little (relative entropy, Stolcke 1998).

    Example: mooer lm prune lm.arpa --threshold 1e-7 -o small.bin
    """
    from mooer.decoding.lm.load import require_writable, tables_of, write_ngram
    from mooer.decoding.lm.pruning import prune_by_entropy

    require_writable(out)
    before = tables_of(model)
    tables = prune_by_entropy(before, threshold)
    write_ngram(tables, out)
    typer.echo(
        f"wrote {out}: {_counted(tables.counts)}, before {_counted(before.counts)}", err=True
    )


@app.command("mix")
def mix(
    models: Annotated[list[Path], typer.Argument(metavar="LM…", help="Two n-gram models or more.")],
    out: Target,
    weights: Annotated[
        str | None, typer.Option(help="The share of each: 0.3,0.7. All alike by default.")
    ] = None,
    dev: Annotated[
        Path | None, typer.Option(help="Text that they have not seen: find the shares by it.")
    ] = None,
) -> None:
    """Make one model of several: a little text of the domain, much of other kinds.

    Example: mooer lm mix service.bin general.bin --dev dev.txt -o lm.bin
    """
    from mooer.decoding.lm.load import require_writable, tables_of, write_ngram
    from mooer.decoding.lm.mixing import mix as mixed
    from mooer.decoding.lm.mixing import shares
    from mooer.decoding.lm.training import read_lines
    from mooer.errors import ConfigError

    require_writable(out)
    if weights and dev:
        raise ConfigError("--weights or --dev: the shares are given, or found, not both")
    found = [tables_of(path) for path in models]
    parts = [1 / len(found)] * len(found)
    if weights:
        parts = list(_numbers(weights, "--weights", float))
    if dev:
        parts = shares(found, read_lines([dev]))
    tables = mixed(found, parts)
    write_ngram(tables, out)
    shown = ", ".join(f"{share:.3f}" for share in parts)
    typer.echo(f"wrote {out}: {_counted(tables.counts)}, shares {shown}", err=True)


@app.command("score")
def score(
    model: Annotated[
        str,
        typer.Argument(metavar="LM", help="An n-gram model, a GGUF file, or store:NAME of one."),
    ],
    texts: Annotated[list[Path], typer.Argument(metavar="TEXT…", help="A sentence a line, UTF-8.")],
    units: Annotated[
        str | None, typer.Option(help="auto, words or characters; found by default.")
    ] = None,
    context: Annotated[
        str, typer.Option(help="What a neural model reads before each sentence.")
    ] = "",
    sentences: Annotated[
        bool, typer.Option("--sentences", help="Print each: logprob, units, unknown, text.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say how well a model expects texts: perplexity, with ends; logarithms are natural.

    Example: mooer lm score lm.bin dev.txt

    Example: mooer lm score store:qwen2.5-0.5b dev.txt --context "A talk on cardiology."
    """
    from dataclasses import asdict

    from mooer.decoding.lm.perplexity import scores_by_text, sentence_scores, text_score
    from mooer.decoding.lm.text_lm import NGramText
    from mooer.decoding.lm.training import read_lines
    from mooer.decoding.lm.units import unit_kind
    from mooer.infer.language_models import load_language_model

    kind = None if units is None else unit_kind(units)
    lm = load_language_model(model, kind=kind, context=context)
    lines = (line.strip() for line in read_lines(texts))
    scores = sentence_scores(lm, lines) if isinstance(lm, NGramText) else scores_by_text(lm, lines)
    found = list(scores)
    total = asdict(text_score(found))
    if sentences:
        for one in found:
            typer.echo(f"{one.logprob:.4f}\t{one.num_units}\t{one.num_unknown}\t{one.text}")
    if as_json:
        typer.echo(json.dumps(total))
    elif sentences:
        typer.echo(f"perplexity {total['perplexity']:.4f}", err=True)
    else:
        typer.echo("\n".join(f"{name}: {value}" for name, value in total.items()))


N = TypeVar("N", int, float)


def _numbers(text: str, option: str, kind: Callable[[str], N]) -> tuple[N, ...]:
    from mooer.errors import ConfigError

    try:
        return tuple(kind(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise ConfigError(
            f"{option} {text!r} is no list of numbers: write them between commas"
        ) from None


def _counted(counts: tuple[int, ...]) -> str:
    return ", ".join(f"{count} {k}-grams" for k, count in enumerate(counts, 1))


app.command("tune")(tune)
