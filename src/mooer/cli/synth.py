"""`mooer data synth`: a text file spoken by many voices, as a set to train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mooer.infer.synthesise import SynthReport


def synth(
    texts: Annotated[
        list[Path],
        typer.Argument(metavar="TEXT...", help="Plain text, a sentence a line; or JSON lines."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the set.")],
    voices: Annotated[int, typer.Option(min=1, help="Different voices, blended at random.")] = 100,
    hours: Annotated[
        float | None,
        typer.Option(min=0.001, help="Speak so much, in random order; default: each line once."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-j", min=1, help="Processes.")] = 1,
    languages: Annotated[str, typer.Option(help="Of the texts, which to speak.")] = "zh,en",
    speed: Annotated[str, typer.Option(help="Slowest and fastest.")] = "0.85-1.2",
    noise: Annotated[bool, typer.Option("--noise", help="Add noise to half of the clips.")] = False,
    rooms: Annotated[bool, typer.Option("--rooms", help="Speak half of them in a room.")] = False,
    format: Annotated[str, typer.Option(help="flac, or opus: an eighth of the size.")] = "flac",
    speaker: Annotated[str, typer.Option(help="Who speaks.")] = "kokoro-82m",
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Speak texts into a training set: audio and a manifest.

    Example: mooer data synth sentences.txt --out speech/ --workers 4

    Example: mooer data synth pairs.jsonl --out speech/ --hours 10 --noise --rooms --format opus

    A line of JSON is {"id", "zh", "en": [...]}, spoken in both languages, or {"id", "text",
    "language"}. The same command goes on where it was interrupted. Results on such a set are
    results on synthetic speech.
    """
    from mooer.cli.progress import Tally
    from mooer.data.texts import read_texts
    from mooer.infer.synthesise import SynthOptions, synthesise
    from mooer.text import find_language

    slowest, fastest = _speeds(speed)
    options = SynthOptions(voices, slowest, fastest, noise, rooms, format.lower(), seed)
    lines = read_texts(texts, [find_language(name) for name in languages.split(",")])

    def show(done: int, total: int | None, seconds: float) -> None:
        note = f"{done} clips, {seconds / 3600:.2f} h"
        if hours:
            tally(seconds, hours * 3600, note)
        else:
            tally(done, total or done, note)

    with Tally("speaking") as tally:
        report = synthesise(
            lines,
            out,
            options,
            speaker=speaker,
            hours=hours,
            workers=workers,
            on_progress=show,
        )
    typer.echo(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else as_text(report))


def as_text(report: SynthReport) -> str:
    """The report in a few lines."""
    rtf = "nothing new" if report.rtf is None else f"real-time factor {report.rtf:.3f}"
    lines = [
        f"{report.num_clips} clips, {report.seconds / 3600:.3f} h, of synthetic speech "
        f"({report.num_before} clips by earlier runs)",
        f"{report.new_seconds:.1f} s of sound in {report.wall_s:.1f} s: {rtf} with "
        f"{report.workers} worker{'s' if report.workers > 1 else ''}",
    ]
    if report.skipped:
        lines.append(f"{len(report.skipped)} lines could not be spoken")
    return "\n".join(lines)


def _speeds(text: str) -> tuple[float, float]:
    from mooer.errors import ConfigError

    try:
        slowest, _, fastest = text.partition("-")
        return float(slowest), float(fastest or slowest)
    except ValueError as error:
        raise ConfigError(f"--speed is a range such as 0.85-1.2, not {text!r}") from error
