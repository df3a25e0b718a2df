"""`mooer align`: a recording and its text to the times of every word."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mooer.cli.transcribe import AsJson, Force, Out, Threads

if TYPE_CHECKING:
    from mooer.data.manifest import Item
    from mooer.transcript import Transcript

logger = logging.getLogger(__name__)

_MAX_NAME_BYTES = 250  # file systems allow 255; what is longer is a text
_MIN_HEARD = 0.5  # share of the words; with less the text is not the recording's


def align(
    audio: Annotated[str, typer.Argument(metavar="AUDIO", help="The recording; - for stdin.")],
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT|FILE",
            help="What is said: a text, a file of it (a segment a line; - for stdin), or a "
            "transcript in JSON.",
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="CTC model: a name of the catalog, or a folder.")
    ] = "default",
    language: Annotated[
        str | None, typer.Option("--language", "-l", help="Of the text; told by its script.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="txt, srt, vtt, tsv, json; several with --out. [default: a word a line]",
            show_default=False,
        ),
    ] = None,
    out: Out = None,
    force: Force = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Find when each word of a known text is said.

    Example: mooer align talk.mp3 talk.txt

    Example: mooer align talk.mp3 talk.txt --format srt,json --out subtitles/

    Example: mooer align talk.mp3 "Good morning, everyone." --json

    Punctuation and digits stay as they are written; numbers are read out. Without --format a line
    is start, end (in seconds), probability and word. A transcript in JSON keeps its segments and
    gets new word times. Exit code 1: the text is not what is said in the recording.
    """
    from mooer.cli.output import Output, parse_formats
    from mooer.data.manifest import inputs
    from mooer.errors import ConfigError
    from mooer.subtitles import SubtitleOptions

    if as_json or (out is not None and format is None):
        format = "json"
    output = Output(out, parse_formats(format or "txt"), SubtitleOptions(), force)
    given = read_text(text, audio)
    [item, *others] = inputs([audio])
    if others:
        raise ConfigError(f"{audio} is several recordings, and a text belongs to one: name that")
    if item.path != "-" and not Path(item.path).exists():
        raise ConfigError(f"no such file: {item.path!r}; check the path")
    output.prepare()
    if output.is_done(item):
        logger.info("%s is there already (--force does it again)", item.id)
        return
    transcript = _aligned(item, given, language, model, threads)
    for warning in transcript.warnings:
        logger.warning("%s: %s", item.id, warning)
    if format is None:
        _print_words(transcript)
    else:
        output.write(item, transcript, many=False, told=False)
    from mooer.infer.placed import share_heard

    if transcript.segments and share_heard(transcript.segments) < _MIN_HEARD:
        raise typer.Exit(1)


def read_text(text: str, audio: str = "") -> str | Transcript:
    """What an argument is: a text, what a file of that name holds, or a transcript in it.

    ConfigError if there is nothing in it, or it names a file that is not there.
    """
    from mooer.errors import ConfigError
    from mooer.transcript import Transcript

    path = Path(text) if len(text.encode()) < _MAX_NAME_BYTES and "\n" not in text else None
    content = text
    try:
        if text == "-":
            if audio == "-":
                raise ConfigError("the recording and the text cannot both be standard input")
            content = sys.stdin.read()
        elif path is not None and path.is_file():
            content = path.read_text(encoding="utf-8-sig")
        elif path is not None and path.suffix in (".txt", ".json", ".srt", ".md") and path.stem:
            raise ConfigError(f"no such file: {text!r}; check the path")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{text} is not a text in UTF-8 ({error}): convert it") from None
    except OSError as error:
        raise ConfigError(f"cannot read {text}: {error.strerror or error}") from None
    if not content.strip():
        raise ConfigError("the text is empty: write what is said in the recording")
    if path is not None and path.suffix == ".json" and content is not text:
        return Transcript.from_json(content)
    return content


def _aligned(
    item: Item, given: str | Transcript, language: str | None, model: str, threads: int | None
) -> Transcript:
    from mooer.audio.wave import open_wave
    from mooer.cli.batch import from_terminal
    from mooer.cli.progress import AudioProgress
    from mooer.engines.llm_ctc import LlmCtc
    from mooer.infer.aligned import Passing, with_words
    from mooer.infer.aligned import align as align_text
    from mooer.infer.aligners import DEFAULT_ALIGNER, load_aligner
    from mooer.infer.attended import attended, load_reader
    from mooer.infer.placed import doubts

    ctc = load_aligner(model, num_threads=threads)
    name = DEFAULT_ALIGNER if model == "default" else Path(model).name
    with AudioProgress(item.id) as progress, open_wave(from_terminal(item)) as wave:
        if isinstance(given, str):
            found = align_text(wave, given, ctc, language=language, name=name, on_progress=progress)
            found = replace(found, source=item.path)
        else:
            segments = with_words(wave, given.segments, ctc)
            amiss = (*doubts(segments), *wave.warnings)
            found = replace(given, segments=tuple(segments), warnings=(*given.warnings, *amiss))
    if isinstance(ctc, LlmCtc):
        return found  # its times are nearer than those of attention (docs/align.md)
    if item.path == "-":
        logger.info("standard input cannot be read again: words are timed by CTC alone")
        return found
    with open_wave(from_terminal(item)) as wave:
        reader = load_reader(num_threads=threads)
        return replace(found, segments=tuple(attended(Passing(wave), found.segments, reader)))


def _print_words(transcript: Transcript) -> None:
    for segment in transcript.segments:
        for word in segment.words or ():
            times = f"{word.start_s:.3f}\t{word.end_s:.3f}"
            print(f"{times}\t{word.probability:.2f}\t{word.text}", flush=True)  # noqa: T201
