"""`mooer translate`: what is said, in another language, on the terminal while it is written."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from mooer.cli.transcribe import (
    AsJson,
    Beam,
    Force,
    Format,
    Hotwords,
    Inputs,
    Language,
    ModelName,
    Out,
    Part,
    Prompt,
    Threads,
    Words,
    parts_of,
    transcribe_one,
)

if TYPE_CHECKING:  # the translator is heavy, and `mooer --help` must not wait for it
    from mooer.cli.output import Output
    from mooer.data.manifest import Item
    from mooer.infer import Model, RecognizeOptions
    from mooer.infer.translator import Translator
    from mooer.transcript import Segment, Transcript

logger = logging.getLogger(__name__)


def translate(
    inputs: Inputs,
    to: Annotated[str, typer.Option("--to", "-t", help="Target language: en, or zh from en.")] = (
        "en"
    ),
    llm: Annotated[str, typer.Option(help="The LLM that translates: a name or a GGUF file.")] = (
        "qwen2.5-0.5b"
    ),
    glossary: Annotated[
        Path | None, typer.Option(help="Terms, one a line: source, tab, target.")
    ] = None,
    bilingual: Annotated[bool, typer.Option("--bilingual", help="Keep the original too.")] = False,
    context: Annotated[
        int,
        typer.Option(min=0, max=8, help="Segments before that the LLM is shown with each."),
    ] = 2,
    model: ModelName = "default",
    language: Language = None,
    words: Words = False,
    format: Format = "txt",
    out: Out = None,
    force: Force = False,
    beam: Beam = None,
    prompt: Prompt = "",
    hotwords: Hotwords = "",
    part: Part = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Write down what is said in another language.

    Example: mooer translate meeting.m4a --to en

    Example: mooer translate --bilingual --format srt --out subtitles/ film.mp4

    Example: mooer translate talk.mp3 --to zh --glossary terms.tsv

    Example: mooer translate --model my-speech-llm/ talk.mp3

    Pairs: Chinese to English, English to Chinese, any other language to English.
    """
    from mooer.cli.batch import Job, run_batch
    from mooer.cli.output import Output, parse_formats
    from mooer.subtitles import SubtitleOptions

    formats = ("json",) if as_json else parse_formats(format)
    options = SubtitleOptions(bilingual=bilingual, translation=not bilingual)
    output = Output(out, formats, options, force)

    def start() -> Job:
        from mooer.decoding.hotwords import given_hotwords
        from mooer.infer import RecognizeOptions, load, load_glossary
        from mooer.infer.translator import check_pair
        from mooer.store import default_model
        from mooer.text import find_language

        terms = load_glossary(glossary) if glossary else None
        target = find_language(to)
        if language:
            check_pair(language, to)
        chosen = model
        if model == "default":
            chosen = default_model("ast_zh" if target == "zh" else "ast")
            logger.info("model: %s", chosen)
        loaded = load(
            chosen, llm=llm, num_threads=threads, context_segments=context, parts=parts_of(part)
        )
        recognize = RecognizeOptions(
            language=language,
            to=target,
            beam_size=beam,
            prompt=prompt,
            hotwords=given_hotwords(hotwords),
            words=words,
        )
        if loaded.translates and not terms:
            direct = replace(recognize, task="asr_ast" if bilingual else "ast")
            return partial(transcribe_one, loaded.recognizer, direct, output, bilingual=bilingual)
        return partial(_by_llm, loaded, recognize, output, to=to, terms=terms, bilingual=bilingual)

    run_batch(inputs, output, start)


def _by_llm(
    model: Model,
    options: RecognizeOptions,
    output: Output,
    item: Item,
    *,
    to: str,
    terms: Mapping[str, str] | None,
    bilingual: bool,
) -> Transcript:
    """One input, transcribed and then translated by the language model, into the script of `to`."""
    from mooer.cli.batch import from_terminal
    from mooer.cli.progress import AudioProgress

    translator, recognizer = model.translator, model.recognizer
    # A line that grows and a bar that is drawn anew would write over each other.
    bar = not (output.streams and sys.stdout.isatty())
    with AudioProgress(item.id, enabled=bar) as progress:
        run = recognizer.run(from_terminal(item), options, on_progress=progress)
        translated = (
            print_translations(translator, run, to=to, glossary=terms, bilingual=bilingual)
            if output.streams
            else translator.stream(run, to=to, glossary=terms)
        )
        segments = list(translated)
    versions = {**recognizer.versions, "translator": translator.name}
    return replace(
        run.transcript(segments), task="ast", translation_language=options.to, versions=versions
    )


def print_translations(
    translator: Translator,
    segments: Iterable[Segment],
    *,
    to: str = "en",
    source_language: str | None = None,
    glossary: Mapping[str, str] | None = None,
    bilingual: bool = False,
    output: TextIO | None = None,
) -> Iterator[Segment]:
    """Yield translated segments; each is on `output` piece by piece before it is yielded.

    On a terminal a line grows as it is written, and begins anew if an answer is thrown away;
    anywhere else only finished lines are written. `bilingual` puts the original above each.
    """
    stream = sys.stdout if output is None else output
    line = _GrowingLine(stream) if stream.isatty() else None
    translated = translator.stream(
        _print_originals(segments, stream) if bilingual else segments,
        to=to,
        source_language=source_language,
        glossary=glossary,
        on_text=line.show if line else None,
    )
    for segment in translated:
        text = segment.translation or ""
        if line:
            line.finish(text)
        elif text:
            stream.write(text + "\n")
        stream.flush()
        yield segment


def _print_originals(segments: Iterable[Segment], stream: TextIO) -> Iterator[Segment]:
    # The translator takes one segment when it is about to write its translation.
    for segment in segments:
        if text := segment.text.strip():
            stream.write(text + "\n")
        yield segment


class _GrowingLine:
    """A line of a terminal that is written further, or over again from its first column."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = ""

    def show(self, text: str) -> None:
        if text.startswith(self._shown):
            self._stream.write(text[len(self._shown) :])
        else:
            self._rewind()
            self._stream.write(text)
        self._shown = text
        self._stream.flush()

    def finish(self, text: str) -> None:
        self.show(text)
        if text:
            self._stream.write("\n")
        self._shown = ""

    def _rewind(self) -> None:
        import shutil

        from mooer.text import display_width

        columns = max(1, shutil.get_terminal_size().columns)
        num_rows = max(1, -(-display_width(self._shown) // columns))
        self._stream.write("\r" + "\x1b[1A" * (num_rows - 1) + "\x1b[J")
