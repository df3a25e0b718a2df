"""`mooer data label`: unlabelled recordings to a training set, by models that check each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mooer.infer.label import LabelReport


def label(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Files, folders, globs, wav.scp or JSONL."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest to write (.jsonl).")],
    model: Annotated[str, typer.Option("--model", "-m", help="The recogniser.")] = "default",
    second: Annotated[
        str, typer.Option(help="A second recogniser; same: the first, decoding otherwise; none.")
    ] = "same",
    to: Annotated[str, typer.Option("--to", "-t", help="Translate into en or zh; none.")] = "en",
    llm: Annotated[str, typer.Option(help="The LLM that translates.")] = "qwen2.5-0.5b",
    language: Annotated[
        str | None, typer.Option("--language", "-l", help="Language spoken; default: detected.")
    ] = None,
    keep_languages: Annotated[str, typer.Option(help="Keep these only, as zh,en.")] = "",
    max_seconds: Annotated[
        float, typer.Option(min=1.0, max=28.0, help="Longest utterance.")
    ] = 20.0,
    max_disagreement: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Between both hearings; 1: any.")
    ] = 0.2,
    min_quality: Annotated[
        float, typer.Option(min=0.0, max=5.0, help="DNSMOS overall, 1 to 5; 0: not asked.")
    ] = 2.0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Label recordings with text and translation, and keep what is not in doubt.

    Example: mooer data label recordings/ --out labels.jsonl

    Example: mooer data label talks.scp -o en.jsonl -l en --second whisper-tiny.en --to none

    Doubts: two hearings that differ, bad sound, an odd speaking rate, another language or
    script, what the guards of the recogniser and of the translation say. The same command goes
    on where it was interrupted; with another threshold it filters again what was measured.
    """
    from mooer.cli.progress import Tally
    from mooer.data.manifest import inputs as items_of
    from mooer.data.pseudo import FilterOptions
    from mooer.infer.label import LabelOptions
    from mooer.infer.label import label as run_label
    from mooer.infer.labellers import load_labellers
    from mooer.text import find_language

    filters = FilterOptions(
        languages=tuple(find_language(name) for name in keep_languages.split(",") if name),
        max_disagreement=max_disagreement if max_disagreement < 1 else None,
        min_quality=min_quality or None,
    )
    items = items_of(inputs)
    labellers = load_labellers(
        model,
        second=None if second == "none" else second,
        llm=None if to == "none" else llm,
        to="en" if to == "none" else to,
        language=find_language(language) if language else None,
        quality=min_quality > 0,
        num_threads=threads,
    )
    with Tally("labelling") as tally:
        report = run_label(
            items,
            out,
            labellers,
            LabelOptions(max_seconds, filters),
            on_progress=lambda done, total, s: tally(done, total, f"{done} read, {s / 60:.1f} min"),
        )
    if as_json:
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        typer.echo(as_text(report))
    if report.failures:
        raise typer.Exit(1)


def as_text(report: LabelReport) -> str:
    """What was kept, what was dropped and why, and how long it took."""
    account = report.account
    lines = [
        f"kept {account.num_kept} of {account.num} utterances, {account.seconds_kept / 60:.1f} of "
        f"{account.seconds / 60:.1f} min ({100 * account.kept_part:.0f} %)"
    ]
    for name, entry in account.to_dict()["dropped"].items():
        lines.append(
            f"  {name}: {entry['num']} ({entry['seconds']:.0f} s), {entry['num_alone']} by it alone"
        )
        lines += [f"    {text}" for text in entry["examples"][:2]]
    if report.audio_s:
        spent = ", ".join(f"{name} {s:.0f} s" for name, s in report.spent_s.items())
        rtf = report.wall_s / report.audio_s
        lines.append(
            f"{report.audio_s / 60:.1f} min in {report.wall_s:.0f} s: real-time factor {rtf:.3f} "
            f"({spent})"
        )
    if report.num_before:
        lines.append(f"{report.num_before} recordings were measured by earlier runs")
    lines += [f"failed: {failure['id']}: {failure['error']}" for failure in report.failures]
    return "\n".join(lines)
