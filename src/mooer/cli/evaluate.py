"""`mooer evaluate`: error rates, translation scores and speakers told apart, over manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from mooer.cli.fused import (
    Asked,
    DomainFolder,
    IlmWeight,
    LengthBonus,
    Lm,
    LmWeight,
    Method,
    SourceLm,
    SourceWeight,
)


def evaluate(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST...", help="JSONL manifests: audio, text.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name in the catalog, or a folder.")
    ] = "default",
    task: Annotated[
        str, typer.Option(help="asr (text), ast (translation) or diarization (who speaks when).")
    ] = "asr",
    to: Annotated[str, typer.Option(help="Target language of ast.")] = "en",
    language: Annotated[
        str | None, typer.Option(help="Language told to the model; it detects by default.")
    ] = None,
    use_language: Annotated[
        bool, typer.Option("--use-language", help="Tell the model each line's own language.")
    ] = False,
    lm: Lm = None,
    fusion: Method = None,
    lm_weight: LmWeight = None,
    source_lm: SourceLm = None,
    source_weight: SourceWeight = None,
    ilm_weight: IlmWeight = None,
    length_bonus: LengthBonus = None,
    domain: DomainFolder = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, or auto: an NVIDIA GPU where there is one.")
    ] = "auto",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many utterances of each manifest.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the JSON report here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with alignments here.")] = None,
    seed: Annotated[int, typer.Option(help="Of the confidence intervals.")] = 0,
    collar: Annotated[
        float, typer.Option(help="Of diarization: seconds left out around each known change.")
    ] = 0.0,
    skip_overlap: Annotated[
        bool, typer.Option("--skip-overlap", help="Of diarization: not where two speak at once.")
    ] = False,
    known_speakers: Annotated[
        bool, typer.Option("--known-speakers", help="Of diarization: tell how many there are.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON report.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Forget the results of an interrupted run.")
    ] = False,
) -> None:
    """Score a model: WER, CER, MER, or BLEU and chrF, with 95 % intervals and speed; or DER.

    Example: mooer evaluate test.jsonl --model whisper-base --limit 100

    Example: mooer evaluate zh.jsonl en.jsonl -m whisper-base --use-language --report r.json --html r.html

    Example: mooer evaluate zh.jsonl -m whisper-base --task ast --to en

    Example: mooer evaluate zh.jsonl -m rich-mini --domain service/

    Example: mooer evaluate meetings.jsonl --task diarization --collar 0.25

    An interrupted run with --report goes on where it stopped. Exit code 1: some inputs failed.
    """  # noqa: E501 (an example is one line, to be copied)
    if task == "diarization":
        names = tuple(map(str, manifests))
        plan_options = (collar, skip_overlap, known_speakers, limit)
        _diarization(names, plan_options, report=report, html=html, as_json=as_json)
        return
    from mooer.evaluate.benchmark import Plan, read_sets, run
    from mooer.evaluate.journal import Journal
    from mooer.evaluate.page import to_html
    from mooer.evaluate.report import to_json, to_markdown
    from mooer.files import write_whole
    from mooer.text import find_language

    weights = (lm_weight, source_lm, source_weight, ilm_weight, length_bonus)
    asked = Asked(lm, fusion, *weights, domain)
    plan = Plan(
        tuple(map(str, manifests)),
        model,
        fusion=str(asked) if asked.is_asked else "",
        task=task,
        to=find_language(to),
        language=find_language(language) if language else None,
        use_language=use_language,
        limit=limit,
        seed=seed,
    )
    read_sets(plan)  # a manifest with a mistake is told before a model is loaded
    partial = None if report is None else report.with_name(report.name + ".partial.jsonl")
    if partial is not None:
        partial.parent.mkdir(parents=True, exist_ok=True)
    with Journal(partial, plan.head(), force=force) as journal:
        if journal.finished:
            typer.echo(f"going on after {len(journal.finished)} finished utterances", err=True)
        with _progress() as on_progress:
            judged = _loaded(model, device, asked)
            result = run(plan, judged, journal=journal, on_progress=on_progress)
        if report is not None:
            write_whole(report, to_json(result))
        if html is not None:
            write_whole(html, to_html(result))
        journal.discard()
    typer.echo(to_json(result) if as_json else to_markdown(result), nl=False)
    _tell_failures(result)


def _loaded(name: str, device: str, asked: Asked) -> Any:
    """The model, with the language models that are asked for."""
    from mooer.infer import load

    model = load(name, parts={"device": device})
    if not asked.is_asked:
        return model
    from mooer.cli.fused import load_asked
    from mooer.evaluate.fused import Fused

    fusion, hotwords = load_asked(asked, model.recognizer)
    return Fused(model, fusion, hotwords) if fusion else model


def _diarization(
    manifests: tuple[str, ...],
    options: tuple[float, bool, bool, int | None],
    *,
    report: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Score who is said to speak when; `options` are those of a `SpeakerPlan`, in its order."""
    from mooer.errors import ConfigError
    from mooer.evaluate.report import to_json
    from mooer.evaluate.speakers import SpeakerPlan, run_speakers, speakers_table
    from mooer.files import write_whole
    from mooer.infer.speakers import load_diarizer

    if html is not None:
        raise ConfigError("a page is made of texts, which diarization has not: take --report")
    plan = SpeakerPlan(manifests, *options)
    with _progress() as on_progress:
        result = run_speakers(plan, load_diarizer, on_progress=on_progress)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        write_whole(report, to_json(result))
    typer.echo(to_json(result) if as_json else speakers_table(result), nl=False)
    _tell_failures(result)


def _tell_failures(result: Mapping[str, Any]) -> None:
    """On standard error; exit code 1 if there are any."""
    for failure in result["failures"]:
        typer.echo(f"failed: {failure['set']}/{failure['id']}: {failure['error']}", err=True)
    if result["failures"]:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left on a terminal; a plain line for each tenth elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        shown = [0]

        def plain(done: int, total: int) -> None:
            if done * 10 // total > shown[0] or done == total:
                shown[0] = done * 10 // total
                typer.echo(f"evaluated {done}/{total}", err=True)

        yield plain
        return
    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("evaluating", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
