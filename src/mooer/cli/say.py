"""`mooer say`: text to speech, to a file that grows clause by clause or to the sound card."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mooer.cli.transcribe import Threads

if TYPE_CHECKING:
    from mooer.cli.loudspeaker import Output
    from mooer.infer.verified import Verdict
    from mooer.speak import Speaker, SpeakerVoicing, Spoken, SpokenWord, Voice
    from mooer.transcript import Transcript

logger = logging.getLogger(__name__)

SPEECH_KEY = "MOOER_SPEECH_KEY"


def say(
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="What is to be said.", show_default=False)
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="Read the text there; - for standard input.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="wav, flac, mp3, opus, aac; - for standard output."),
    ] = None,
    play: Annotated[
        bool, typer.Option("--play", help="Play it, too; without --out it is played anyway.")
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="kokoro-82m, piper-joe, espeak, or https://HOST/v1#MODEL."
        ),
    ] = "kokoro-82m",
    voice: Annotated[
        str | None, typer.Option(help="A name, or a blend: NAME:0.6+NAME:0.4.", show_default=False)
    ] = None,
    speed: Annotated[float, typer.Option(help="1.2 is a fifth faster.")] = 1.0,
    language: Annotated[
        str | None,
        typer.Option("--language", "-l", help="Of the text; told by its letters by default."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hear each clause; say again what is misheard.")
    ] = False,
    takes: Annotated[int, typer.Option(min=1, max=20, help="With --verify, at most.")] = 3,
    words: Annotated[
        Path | None, typer.Option(help="Write times of words there: json, srt, vtt, tsv.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="Of the file; told by its suffix by default.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Loudspeaker: a number, or a part of its name.")
    ] = None,
    list_voices: Annotated[
        bool, typer.Option("--voices", help="Print the voices of the model, and end.")
    ] = False,
    threads: Threads = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was done, clause by clause.")
    ] = False,
) -> None:
    """Say a text aloud, or into a file.

    Example: mooer say "Good morning. 早上好。"

    Example: mooer say --file book.txt -o book.mp3 --words book.srt --verify

    Example: mooer say "Bonjour tout le monde" -m espeak -l fr -o bonjour.wav

    A file grows while it is spoken; ctrl-C leaves one that can be played. Chinese and English may
    be mixed. Markdown, emoji and code are not read out. A server's key is read from
    MOOER_SPEECH_KEY.
    """
    from mooer.cli.loudspeaker import find_output
    from mooer.cli.speech_file import format_of
    from mooer.errors import ConfigError, DecodeError
    from mooer.files import write_whole

    if not list_voices and (text is None) == (file is None):
        raise ConfigError("give the text itself, or --file PATH (- for standard input)")
    if as_json and out == "-":
        raise ConfigError("--json and --out - both want standard output: name a file by --out")
    kind = format_of(out, format) if out is not None else ""
    table = _words_format(words) if words is not None else ""
    pieces, num_bytes = ([text], len(text.encode())) if text is not None else _read(file or "-")
    card = find_output(device) if (play or out is None) and not list_voices else None
    speaker = _speaker(model, threads)
    if list_voices:
        typer.echo("\n".join(speaker.voices))
        return
    voicing = _voicing(speaker, voice, language, takes if verify else 0, threads)
    report = Report(model, speed, out)
    try:
        with ExitStack() as stack:
            sinks = _sinks(stack, out, kind, card, speaker.rate_hz)
            _say(voicing, pieces, num_bytes, report, sinks)
    finally:  # also after ctrl-C: what was said is there
        report.wall_s = time.perf_counter() - report.began_s
        if words is not None and report.clauses:
            write_whole(words, transcript_of(report).render(table))
    if not report.clauses:
        raise DecodeError("there is nothing to say in the text: give it words")
    report.voice = str(voicing.default_voice(voicing.language_of(report.clauses[0].text)))
    typer.echo(report.to_json() if as_json else "", nl=as_json)
    if not as_json:
        logger.info("%s", report.line())


@dataclass(frozen=True)
class Clause:
    """What was said, when in the sound, and how it was understood."""

    text: str
    start_s: float
    end_s: float
    words: tuple[SpokenWord, ...]
    verdict: Verdict | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "text": self.text,
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            **(self.verdict.to_dict() if self.verdict else {}),
        }


@dataclass
class Report:
    """What was said, and how long that took."""

    model: str
    speed: float
    file: str | None
    voice: str = ""
    began_s: float = field(default_factory=time.perf_counter)
    clauses: list[Clause] = field(default_factory=list)
    seconds: float = 0.0
    first_s: float = 0.0  # from the beginning to the first clause's sound
    wall_s: float = 0.0

    def add(self, spoken: Spoken, verdict: Verdict | None) -> None:
        """Take note of a clause."""
        if not self.clauses:
            self.first_s = time.perf_counter() - self.began_s
        end_s = self.seconds + len(spoken.samples) / spoken.rate_hz
        self.clauses.append(Clause(spoken.text, self.seconds, end_s, spoken.words, verdict))
        self.seconds = end_s

    def line(self) -> str:
        """In one line."""
        misheard = [one.verdict.error_rate for one in self.clauses if one.verdict]
        told = f", misheard {100 * sum(misheard) / len(misheard):.1f} %" if misheard else ""
        return (
            f"{self.file or 'played'}: {self.seconds:.1f} s in {self.wall_s:.1f} s, the first "
            f"clause after {self.first_s:.1f} s{told}"
        )

    def to_json(self) -> str:
        """As one object."""
        told: dict[str, Any] = {
            "model": self.model,
            "voice": self.voice,
            "speed": self.speed,
            "file": self.file,
            "seconds": round(self.seconds, 3),
            "wall_s": round(self.wall_s, 3),
            "first_s": round(self.first_s, 3),
            "rtf": round(self.wall_s / self.seconds, 4),
            "clauses": [clause.to_dict() for clause in self.clauses],
        }
        return json.dumps(told, ensure_ascii=False)


def _speaker(model: str, threads: int | None) -> Speaker:
    import os

    from mooer.engines.llm import usable_cores
    from mooer.speak import load_speaker

    return load_speaker(
        model, num_threads=threads or usable_cores(), key=os.environ.get(SPEECH_KEY, "")
    )


def _voicing(
    speaker: Speaker, voice: str | None, language: str | None, takes: int, threads: int | None
) -> SpeakerVoicing:
    from mooer.infer.verified import VerifiedVoicing, VerifyOptions
    from mooer.speak import SpeakerVoicing, Voice
    from mooer.speak.voicing import VoicingOptions
    from mooer.text import find_language

    chosen: Voice | None = Voice.parse(voice) if voice else None
    options = VoicingOptions(chosen, find_language(language) if language else None)
    if not takes:
        return SpeakerVoicing(speaker, options)
    from mooer.infer import load

    recognizer = load("whisper-base", num_threads=threads)

    def hear(samples: Any, rate_hz: int, language: str) -> str:
        return recognizer.transcribe(samples, rate_hz=rate_hz, language=language).text

    return VerifiedVoicing(speaker, hear, options, VerifyOptions(max_takes=takes))


def _read(file: str) -> tuple[Iterator[str], int | None]:
    """The lines of a file as they come, and its length in bytes if that is known."""
    from mooer.errors import ConfigError

    if file == "-":
        return iter(sys.stdin), None
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"no such file: {file!r}; check the path, or give the text itself")

    def lines() -> Iterator[str]:
        with path.open(encoding="utf-8-sig", errors="replace") as text:
            yield from text

    return lines(), path.stat().st_size


def _sinks(
    stack: ExitStack, out: str | None, kind: str, card: Output | None, rate_hz: int
) -> list[Any]:
    """Where samples go: functions that take them."""
    from mooer.cli.loudspeaker import Loudspeaker
    from mooer.cli.speech_file import SpeechFile

    sinks: list[Any] = []
    if card is not None:
        sinks.append(stack.enter_context(Loudspeaker(card, rate_hz)).play)
    if out is not None:
        sinks.append(stack.enter_context(SpeechFile(out, kind, rate_hz)).write)
    return sinks


def _say(
    voicing: SpeakerVoicing,
    pieces: Any,
    num_bytes: int | None,
    report: Report,
    sinks: list[Any],
) -> None:
    from contextlib import closing

    from mooer.cli.progress import Tally

    done = 0
    with Tally("speaking") as tally, closing(voicing.voice(pieces, speed=report.speed)) as found:
        for spoken in found:
            report.add(spoken, getattr(voicing, "last", None))
            for sink in sinks:
                sink(spoken.samples)
            done += len(spoken.text.encode())
            if num_bytes:
                tally(min(done, num_bytes), num_bytes, f"{report.seconds:.0f} s of sound")


def _words_format(path: Path) -> str:
    from mooer.cli.output import parse_formats

    [format] = parse_formats(path.suffix.lstrip(".") or "json")
    return format


def transcript_of(report: Report) -> Transcript:
    """What was said as a transcript, so that it can be written as subtitles."""
    from mooer.speak.voicing import written_language
    from mooer.transcript import Segment, Transcript, Word

    segments = []
    for clause in report.clauses:
        start_s = clause.start_s
        words = tuple(
            Word(round(start_s + word.start_s, 3), round(start_s + word.end_s, 3), text, 1.0)
            for word in clause.words
            if (text := word.text.strip())
        )
        segments.append(
            Segment(
                words[0].start_s if words else round(start_s, 3),
                words[-1].end_s if words else round(clause.end_s, 3),
                " ".join(clause.text.split()),
                written_language(clause.text) or "und",
                words=words,
            )
        )
    languages = [segment.language for segment in segments]
    return Transcript(
        tuple(segments),
        max(set(languages), key=languages.count),
        round(report.seconds, 3),
        model=report.model,
        source=report.file or "",
    )
