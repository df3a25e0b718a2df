"""`mooer transcribe`: recordings to text and subtitles."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from mooer.cli.batch import Job, Together
    from mooer.cli.output import Output
    from mooer.data.manifest import Item
    from mooer.errors import MooerError
    from mooer.infer import RecognizeOptions
    from mooer.infer.one_pass import OnePassRecognizer
    from mooer.infer.run import Listener
    from mooer.infer.speech_llm import SpeechLLMRecognizer
    from mooer.infer.whole import Extras
    from mooer.transcript import Transcript

logger = logging.getLogger(__name__)

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Files, folders, 'globs', wav.scp, manifest.jsonl, or - for standard input.",
    ),
]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="Name in `mooer models list`, or a folder.")
]
Language = Annotated[
    str | None, typer.Option("--language", "-l", help="Spoken language; detected by default.")
]
Words = Annotated[bool, typer.Option("--words", help="Keep the times of words.")]
Format = Annotated[
    str, typer.Option("--format", "-f", help="txt, srt, vtt, tsv, json, rttm; several with --out.")
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for one file an input (a.mp3 -> a.srt).")
]
Force = Annotated[bool, typer.Option("--force", help="Do again what is there already.")]
Beam = Annotated[
    int | None,
    typer.Option(
        "--beam",
        help="Beam size; 1 is greedy and quicker. [default: 5, for a recording over a minute 3]",
        show_default=False,
    ),
]
Temperatures = Annotated[
    str, typer.Option(help="Tried in turn where the text looks invented; 'none' for no more tries.")
]
Task = Annotated[
    str,
    typer.Option(help="asr, ast (translation), or asr_ast, mtl: both at once, by a speech LLM."),
]
Into = Annotated[
    str, typer.Option("--to", "-t", help="Language of a translation: en, or zh from en.")
]
BatchSize = Annotated[
    int, typer.Option("--batch-size", help="Chunks of a recording that are decoded together.")
]
Prompt = Annotated[str, typer.Option(help="Text in whose style and spelling to go on.")]
Hotwords = Annotated[
    str, typer.Option(help="Names and terms to expect: 'MooER, Paraformer', or a file of them.")
]
Script = Annotated[str, typer.Option(help="Of Chinese: hans (Simplified) or hant (Traditional).")]
Threads = Annotated[int | None, typer.Option(help="Processor threads; all cores by default.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: an NVIDIA GPU where there is one.")]
Unchecked = Annotated[
    bool,
    typer.Option(
        "--unchecked", help="Take a released folder's files as they are, without their md5 check."
    ),
]
Part = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="Of a speech LLM: engine=native, llama or torch, draft=ctc or none; of a released "
        "folder, what is not in it: llm=PATH, encoder=FOLDER, lora_alpha=16.",
    ),
]
Align = Annotated[
    bool, typer.Option("--align", help="Time words by hearing the text once more; implies --words.")
]
Speakers = Annotated[
    str | None,
    typer.Option(
        "--speakers", metavar="[N]", help="Tell speakers apart, N of them if that is known."
    ),
]
Rich = Annotated[
    bool,
    typer.Option(
        "--rich", help="Tell emotions, events and languages; implies --itn and --tags words."
    ),
]
Gender = Annotated[bool, typer.Option("--gender", help="Guess the gender of each voice.")]
Age = Annotated[bool, typer.Option("--age", help="Guess the age group of each voice.")]
Tags = Annotated[
    str | None,
    typer.Option(
        help="How txt, srt and vtt show what is heard: none, words or emoji. [default: none]",
        show_default=False,
    ),
]
Itn = Annotated[
    bool | None,
    typer.Option(
        "--itn/--no-itn",
        help="Write numbers, dates and amounts in digits (zh, en). [default: only with --rich]",
        show_default=False,
    ),
]
Punctuate = Annotated[
    bool | None,
    typer.Option(
        "--punctuate/--no-punctuate",
        help="Set marks by pauses where the model writes none. [default: only with --rich]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as --format json.")]


def transcribe(
    inputs: Inputs,
    model: ModelName = "default",
    task: Task = "asr",
    to: Into = "en",
    language: Language = None,
    words: Words = False,
    align: Align = False,
    speakers: Speakers = None,
    rich: Rich = False,
    gender: Gender = False,
    age: Age = False,
    tags: Tags = None,
    itn: Itn = None,
    punctuate: Punctuate = None,
    format: Format = "txt",
    out: Out = None,
    force: Force = False,
    beam: Beam = None,
    temperatures: Temperatures = "0.4,0.8",
    prompt: Prompt = "",
    hotwords: Hotwords = "",
    lm: Lm = None,
    fusion: Method = None,
    lm_weight: LmWeight = None,
    source_lm: SourceLm = None,
    source_weight: SourceWeight = None,
    ilm_weight: IlmWeight = None,
    length_bonus: LengthBonus = None,
    domain: DomainFolder = None,
    script: Script = "hans",
    batch_size: BatchSize = 4,
    threads: Threads = None,
    device: Device = "auto",
    unchecked: Unchecked = False,
    part: Part = None,
    as_json: AsJson = False,
) -> None:
    """Write down what is said in audio or video.

    Example: mooer transcribe talk.mp3

    Example: mooer transcribe --words --format srt,json --out subtitles/ recordings/

    Example: mooer transcribe --rich --words --speakers meeting.mp3

    Example: mooer transcribe --model my-speech-llm/ --task mtl wav.scp

    Example: mooer transcribe --model rich-mini --lm news.arpa --lm-weight 0.5 news.wav

    Example: ffmpeg -i rtsp://camera -f wav - | mooer transcribe -

    Files that are there already are not done again. Exit code 1: some inputs failed.
    """
    from mooer.cli.batch import run_batch
    from mooer.cli.output import Output, parse_formats
    from mooer.subtitles import SubtitleOptions

    formats = ("json",) if as_json else parse_formats(format)
    task = "asr_ast" if task == "mtl" else task
    shown = tags or ("words" if rich or gender or age else "none")
    look = SubtitleOptions(bilingual=task == "asr_ast", tags=shown, speakers=tags != "none")
    output = Output(out, formats, look, force)
    num_speakers = parse_speakers(speakers)
    weights = (lm_weight, source_lm, source_weight, ilm_weight, length_bonus)
    asked = Asked(lm, fusion, *weights, domain)

    def start() -> Job | Together:
        from mooer.cli.fused import load_asked
        from mooer.decoding.hotwords import given_hotwords
        from mooer.infer import RecognizeOptions
        from mooer.text import find_language

        recognizer = load_recognizer(model, task, threads, unchecked, part, device)
        joined, words_there = load_asked(asked, recognizer)
        options = RecognizeOptions(
            fusion=joined,
            language=language,
            beam_size=beam,
            temperatures=parse_temperatures(temperatures),
            prompt=prompt,
            hotwords=given_hotwords(hotwords) or words_there,
            script=script,
            words=words or align,
            rich=rich,
            gender=gender,
            age=age,
            itn=rich if itn is None else itn,
            punctuate=rich if punctuate is None else punctuate,
            task=task,
            to=find_language(to),
            batch_size=batch_size,
        )
        wanted = (align, num_speakers, threads, device)
        return _job(recognizer, options, output, wanted)

    run_batch(inputs, output, start)


def _job(
    recognizer: Listener,
    options: RecognizeOptions,
    output: Output,
    wanted: tuple[bool, int | None, int | None, str],
) -> Job | Together:
    """What is done with the inputs; `wanted`: whether to align, speakers, threads, device."""
    from mooer.cli.batch import Together
    from mooer.infer.one_pass import OnePassRecognizer
    from mooer.infer.speech_llm import SpeechLLMRecognizer

    align, num_speakers, threads, device = wanted
    aligns = align or (options.words and isinstance(recognizer, SpeechLLMRecognizer))
    if aligns or num_speakers is not None:
        extras = load_extras(aligns, num_speakers, threads, device)
        return partial(transcribe_at_once, recognizer, options, output, extras)
    bilingual = options.task == "asr_ast"
    alone = partial(transcribe_one, recognizer, options, output, bilingual=bilingual)
    if isinstance(recognizer, SpeechLLMRecognizer | OnePassRecognizer):
        return Together(alone, partial(_transcribe_all, recognizer, options))
    return alone


def load_recognizer(
    model: str,
    task: str,
    threads: int | None,
    unchecked: bool,
    part: Sequence[str] | None,
    device: str,
) -> Listener:
    """The recogniser of a model; `part` are NAME=VALUE."""
    from mooer.infer import load

    if unchecked:
        logger.warning("%s: the md5 check of its files is skipped", model)
    parts = {"device": device, **parts_of(part)}
    loaded = load(model, num_threads=threads, task=task, check_md5=not unchecked, parts=parts)
    return loaded.recognizer


def parts_of(part: Sequence[str] | None) -> dict[str, str]:
    """What NAME=VALUE say; ConfigError for anything else."""
    from mooer.errors import ConfigError

    for one in part or ():
        if "=" not in one:
            raise ConfigError(f"--part takes NAME=VALUE, not {one!r}: say draft=none")
    return dict(one.partition("=")[::2] for one in part or ())


def transcribe_one(
    recognizer: Listener,
    options: RecognizeOptions,
    output: Output,
    item: Item,
    *,
    bilingual: bool,
) -> Transcript:
    """One input, its segments shown as they come: text, translation, or both."""
    from mooer.cli.batch import from_terminal
    from mooer.cli.progress import AudioProgress
    from mooer.subtitles import to_txt

    translated = options.task != "asr"
    look = replace(output.options, bilingual=bilingual, translation=translated and not bilingual)
    with AudioProgress(item.id) as progress:
        run = recognizer.run(from_terminal(item), options, on_progress=progress)
        segments = []
        for segment in run:
            segments.append(segment)
            if output.streams:
                print(to_txt([segment], look), end="", flush=True)  # noqa: T201
    return run.transcript(segments)


def transcribe_at_once(
    recognizer: Listener,
    options: RecognizeOptions,
    output: Output,
    extras: Extras,
    item: Item,
) -> Transcript:
    """One input, shown when all of it is known: who speaks is told at the end."""
    from mooer.cli.batch import from_terminal
    from mooer.cli.progress import AudioProgress
    from mooer.infer.whole import transcribe_whole

    with AudioProgress(item.id) as progress:
        transcript = transcribe_whole(
            recognizer, from_terminal(item), options, extras, on_progress=progress
        )
    if output.streams:
        print(transcript.render("txt", output.options), end="", flush=True)  # noqa: T201
    return transcript


def load_extras(align: bool, num_speakers: int | None, threads: int | None, device: str) -> Extras:
    """What is asked for beside the words; `num_speakers` is 0 where it is to be found out."""
    from mooer.infer.aligners import load_aligner
    from mooer.infer.attended import load_reader
    from mooer.infer.speakers import load_diarizer
    from mooer.infer.whole import Extras

    return Extras(
        aligner=load_aligner(device=device, num_threads=threads) if align else None,
        reader=load_reader(device=device, num_threads=threads) if align else None,
        diarizer=load_diarizer() if num_speakers is not None else None,
        num_speakers=num_speakers or None,
    )


def _transcribe_all(
    recognizer: SpeechLLMRecognizer | OnePassRecognizer[Any],
    options: RecognizeOptions,
    items: Sequence[Item],
) -> Iterator[Transcript | MooerError]:
    """Chunks of several inputs share a batch."""
    from mooer.cli.batch import from_terminal
    from mooer.cli.progress import Tally

    with Tally("transcribing") as tally:
        found = recognizer.transcribe_all(map(from_terminal, items), options)
        for done, outcome in enumerate(found, 1):
            tally(done, len(items), f"{done} of {len(items)} inputs")
            yield outcome


def parse_speakers(text: str | None) -> int | None:
    """How many speakers there are; 0 for "auto". ConfigError for what is no such number."""
    from mooer.errors import ConfigError

    if text is None or text == "auto":
        return None if text is None else 0
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"--speakers takes a number above 0, or nothing, not {text!r}")
    return int(text)


def parse_temperatures(text: str) -> tuple[float, ...]:
    """Temperatures of "0.4,0.8"; ConfigError if they are not numbers between 0 and 2."""
    from mooer.errors import ConfigError

    if text.strip().lower() in ("", "none"):
        return ()
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = (-1.0,)
    if not all(0 < value <= 2 for value in values):
        raise ConfigError(f"temperatures must be numbers above 0 like 0.4,0.8, not {text!r}")
    return values
