"""`mooer interpret`: what is said, spoken in another language."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mooer.cli.say import SPEECH_KEY
from mooer.cli.transcribe import AsJson, Force, Hotwords, Language, Threads

if TYPE_CHECKING:
    from mooer.infer import Model, RecognizeOptions
    from mooer.infer.interpret import Interpreter, InterpretOptions
    from mooer.infer.verified import Hear
    from mooer.speak.spoken import Voicing

logger = logging.getLogger(__name__)

_LIVE_MODEL = "whisper-base"


def interpret(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders, 'globs', or -; with --live one file, else the microphone.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[str, typer.Option("--to", "-t", help="Language to speak: en, or zh from en.")] = (
        "en"
    ),
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File to write (.wav .flac .mp3 .opus), or a folder for several."
        ),
    ] = None,
    sound: Annotated[
        str, typer.Option(help="Of files in a folder: wav, flac, mp3, opus, aac.")
    ] = "wav",
    format: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="Subtitles beside the sound: srt, vtt, txt, tsv, json; several."
        ),
    ] = "",
    srt: Annotated[
        Path | None, typer.Option(help="The same of one input, under another name.")
    ] = None,
    bilingual: Annotated[
        bool, typer.Option("--bilingual", help="The original in subtitles and lines too.")
    ] = False,
    under: Annotated[
        float | None,
        typer.Option(
            metavar="DB", help="The original under the translation, so many dB down: -18 is faint."
        ),
    ] = None,
    align: Annotated[
        str,
        typer.Option(help="A translation waits for the begin or the end of what it translates."),
    ] = "begin",
    max_lag: Annotated[
        float, typer.Option(help="Seconds late, beyond which a sentence is left out.")
    ] = 12.0,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Who hears: a name in `mooer models list`, a folder."),
    ] = "default",
    llm: Annotated[str, typer.Option(help="The LLM that translates where the model does not.")] = (
        "qwen2.5-0.5b"
    ),
    glossary: Annotated[
        Path | None, typer.Option(help="Terms, one a line: source, tab, target.")
    ] = None,
    speaker: Annotated[str, typer.Option(help="Who speaks.")] = "kokoro-82m",
    voice: Annotated[
        str | None, typer.Option(help="Name, or a blend name:2+name. [default: the first]")
    ] = None,
    speed: Annotated[float, typer.Option(help="Of speaking, 0.5 to 2.")] = 1.0,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hear each sentence, and say it again if misheard.")
    ] = False,
    language: Language = None,
    hotwords: Hotwords = "",
    live: Annotated[
        bool,
        typer.Option("--live", help="While it is said: the microphone, or a file at real speed."),
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="With --live, of the microphone: a number, or its name.")
    ] = None,
    force: Force = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Speak what is said in another language: Chinese to English, English to Chinese.

    Example: mooer interpret talk.mp3 --to en -o talk.en.mp3 --format srt

    Example: mooer interpret film.mp4 --to zh -o film.zh.wav --under -18 --bilingual

    Example: mooer interpret talks/ --to en -o spoken/ --sound mp3

    Example: mooer interpret --live --to en

    A translation is heard no sooner than its sentence (--align), is sped up a little where it does
    not fit, and delays the next one where even that is not enough. ctrl-C leaves what was spoken so
    far, as talk.en.part.mp3.
    """
    from mooer.cli.interpret_files import Outputs, interpret_files
    from mooer.cli.output import parse_formats
    from mooer.errors import ConfigError
    from mooer.infer.placing import PlaceOptions

    asked = Asked(
        to=to,
        model=model,
        llm=llm,
        glossary=glossary,
        speaker=speaker,
        voice=voice,
        speed=speed,
        verify=verify,
        under_db=under,
        place=PlaceOptions(align=_aligned(align), max_lag_s=max_lag),
        language=language,
        hotwords=hotwords,
        threads=threads,
    )
    if live:
        from mooer.cli.interpret_live import interpret_live

        refused = {
            "--verify": verify,
            "--format": format,
            "--srt": srt,
            "--glossary": glossary,
            "--force": force,
        }
        for name, value in refused.items():
            if value:
                raise ConfigError(f"{name} is for recordings: leave it out with --live")
        if under is not None and out is None:
            raise ConfigError("--under is for files: what is said --live is heard anyway")
        interpret_live(inputs, asked, out, device, bilingual=bilingual, as_json=as_json)
        return
    if device is not None:
        raise ConfigError("--device is a microphone, which is heard --live: add that")
    if not inputs:
        raise ConfigError("name what to interpret: a FILE, or the microphone by --live")
    formats = parse_formats(format) if format else ()
    interpret_files(inputs, asked, Outputs(out, sound, formats, srt, bilingual, force), as_json)


@dataclass(frozen=True)
class Asked:
    """Who hears, who translates and who speaks, as the options say."""

    to: str
    model: str
    llm: str
    glossary: Path | None
    speaker: str
    voice: str | None
    speed: float
    verify: bool
    under_db: float | None
    place: Any
    language: str | None
    hotwords: str
    threads: int | None

    def recognize(self) -> RecognizeOptions:
        """What is heard, and the language it is to be told in. ConfigError for impossible pairs."""
        from mooer.decoding.hotwords import given_hotwords
        from mooer.infer import RecognizeOptions
        from mooer.infer.translator import check_pair
        from mooer.text import find_language

        if self.language:
            check_pair(self.language, self.to)
        return RecognizeOptions(
            language=self.language,
            to=find_language(self.to),
            hotwords=given_hotwords(self.hotwords),
        )

    def model_name(self, *, live: bool) -> str:
        """The model itself, or the one that translates best into the language.

        For a stream that is Whisper with an LLM behind it: mini takes longer than the speech does.
        """
        from mooer.store import default_model
        from mooer.text import find_language

        if self.model != "default":
            return self.model
        is_chinese = find_language(self.to) == "zh"
        chosen = _LIVE_MODEL if live else default_model("ast_zh" if is_chinese else "ast")
        logger.info("model: %s", chosen)
        return chosen

    def interpreter(self) -> Interpreter:
        """All parts, loaded; what makes no sense is said before anything is."""
        from mooer.infer import load_glossary
        from mooer.infer.interpret import Interpreter, translations_by

        terms = load_glossary(self.glossary) if self.glossary else None
        model, voicing, options = self.parts()
        return Interpreter(translations_by(model, terms), voicing, options)

    def parts(self, *, live: bool = False) -> tuple[Model, Voicing, InterpretOptions]:
        """Who hears and who speaks, loaded, and how."""
        from mooer.engines.llm import usable_cores
        from mooer.infer import load
        from mooer.infer.interpret import InterpretOptions
        from mooer.infer.mixing import UnderOptions
        from mooer.infer.speaking import voicing_in
        from mooer.speak import load_speaker
        from mooer.speak.base import voices_for
        from mooer.text import find_language

        options = InterpretOptions(
            speed=self.speed,
            place=self.place,
            under=None if self.under_db is None else UnderOptions(under_db=self.under_db),
        )
        speaker = load_speaker(
            self.speaker,
            num_threads=self.threads or usable_cores(),
            key=os.environ.get(SPEECH_KEY, ""),
        )
        to = find_language(self.to)
        voicing = voicing_in(speaker, to, self.voice, live=live, hear=self._hear())
        logger.info("speaker: %s, voice %s", self.speaker, self.voice or voices_for(speaker, to)[0])
        model = load(self.model_name(live=live), llm=self.llm, num_threads=self.threads)
        return model, voicing, options

    def _hear(self) -> Hear | None:
        """What listens to the speaker, if that is wanted.

        It is not who hears the recording, since that one is on its way then.
        """
        if not self.verify:
            return None
        from mooer.infer import load

        model = load("whisper-base", num_threads=self.threads)
        return lambda samples, rate_hz, language: (
            model.transcribe(samples, rate_hz=rate_hz, language=language).text
        )


def _aligned(align: str) -> Any:
    from mooer.errors import ConfigError

    if align not in ("begin", "end"):
        raise ConfigError(f"--align is begin or end, not {align!r}")
    return align
