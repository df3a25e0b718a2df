"""`mooer models export`: a saved model as files that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mooer.errors import ConfigError, MissingExtra, did_you_mean

FORMATS = ("gguf", "native", "onnx")


def export_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", show_default=False, help="Name in `mooer models list`, or a folder."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.", show_default=False)],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="gguf: files of llama.cpp; native: for mooer without torch; onnx: SenseVoice "
            "and Paraformer.",
        ),
    ] = "gguf",
    precision: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            help="Of the LLM: f16, q8_0, q4_k_m or f32; for onnx: float32 or int8; more than once "
            "for more.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="GGUF file that the LLM was trained from, if not known."),
    ] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(
            "--check", metavar="AUDIO", help="Compare with torch on this recording; repeatable."
        ),
    ] = None,
    task: Annotated[str, typer.Option("--task", help="What --check asks for.")] = "asr",
) -> None:
    """Write a model that mooer has saved as files that llama.cpp or mooer runs without torch.

    gguf: encoder and adapter become an mmproj file, LLM and LoRA a model file. --check prints how
    far they are from the network that was trained.

    native: a folder for `mooer transcribe --model`, in float16, with what was trained of the
    encoder. The LLM stays in the store, or is copied.

    onnx: SenseVoice or Paraformer, as they were released or trained, for onnxruntime.

    Example: mooer models export runs/mini/last --out gguf --precision q8_0 --check a.wav

    Example: mooer models export runs/mini/last --to native --out my-model

    Example: mooer models export SenseVoiceSmall --to onnx --precision int8 --out sense-voice
    """
    if to not in FORMATS:
        raise ConfigError(f"cannot export to {to!r}: {did_you_mean(to, FORMATS)}")
    from mooer.store import fetch

    folder = fetch(model)
    if to == "onnx":
        _for_gguf_alone(base=base, check=check)
        _export_onnx(folder, out, precision or ["float32"])
        return
    if to == "native":
        _for_gguf_alone(precision=precision, base=base, check=check)
        _export_native(folder, out)
        return
    try:
        from mooer.export.gguf import export_gguf, known_precision
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error

    wanted = [known_precision(name) for name in precision or ["f16"]]
    exported = export_gguf(folder, out, wanted, base=base)
    for path in exported.paths:
        typer.echo(str(path))
    if check:
        from mooer.cli.models import print_table
        from mooer.export.parity import compare, table

        clips = compare(folder, exported, check, task=task)
        head, *rows = table(clips)
        print_table(head, rows)
        for clip in clips:
            typer.echo(f"{clip.audio}: {clip.answer}", err=True)
            if clip.answer_as_trained not in (None, clip.answer):
                typer.echo(f"  without silence up to 30 s: {clip.answer_as_trained}", err=True)


def _for_gguf_alone(**given: object) -> None:
    """ConfigError for an option that another format would ignore."""
    for name, value in given.items():
        if value:
            raise ConfigError(f"--{name} is for --to gguf alone: leave it out")


def _export_native(folder: Path, out: Path) -> None:
    try:
        from mooer.export.native import export_native
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error

    for path in export_native(folder, out):
        typer.echo(str(path))


def _export_onnx(folder: Path, out: Path, precisions: list[str]) -> None:
    from mooer.models.paraformer_folder import holds_paraformer
    from mooer.models.sense_voice_folder import holds_sense_voice

    if not holds_sense_voice(folder) and not holds_paraformer(folder):
        raise ConfigError(
            f"{folder} is neither SenseVoice nor Paraformer, which alone are written as onnx: "
            "choose --to gguf or native"
        )
    try:
        from mooer.export import paraformer, sense_voice
        from mooer.export.sanm_graph import known_precision
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error

    wanted = [known_precision(name) for name in precisions]
    room = sense_voice if holds_sense_voice(folder) else paraformer
    for path in room.export_onnx(folder, out, wanted):
        typer.echo(str(path))
