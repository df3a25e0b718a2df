"""Recordings to files of sound in another language, with subtitles beside them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mooer.data.manifest import Item
    from mooer.infer import RecognizeOptions
    from mooer.infer.interpret import Interpretation, Interpreted, Interpreter

logger = logging.getLogger(__name__)

SCHEMA = "mooer.interpretation/1"


class Parts(Protocol):
    """Who hears, translates and speaks."""

    @property
    def speaker(self) -> str:
        """Its name."""

    def recognize(self) -> RecognizeOptions:
        """What is heard. ConfigError for what cannot be."""

    def interpreter(self) -> Interpreter:
        """All parts, loaded."""


@dataclass(frozen=True)
class Outputs:
    """Where sound and subtitles go: one file and what stands beside it, or a folder of such."""

    out: Path | None
    sound: str
    formats: tuple[str, ...]
    srt: Path | None
    bilingual: bool
    force: bool

    def check(self, items: Sequence[Item]) -> None:
        """ConfigError for names that cannot be meant."""
        from mooer.audio.sound_file import SUFFIXES, check_suffix
        from mooer.errors import ConfigError

        if self.out is None:
            raise ConfigError("say where the sound is to go: -o talk.en.wav, or -o FOLDER")
        is_one = self._is_file(self.out)
        if len(items) > 1 and is_one:
            raise ConfigError(
                f"{len(items)} inputs do not go into one file: name a folder, -o {self.out.stem}/"
            )
        if self.srt is not None and len(items) > 1:
            raise ConfigError("--srt is the file of one input: take --format srt for several")
        if self.srt is not None and self.srt.suffix.lower() not in (".srt", ".vtt"):
            raise ConfigError(f"--srt is a file .srt or .vtt, not {str(self.srt)!r}")
        if f".{self.sound}" not in SUFFIXES:
            raise ConfigError(
                f"--sound is one of {', '.join(one[1:] for one in SUFFIXES)}, not {self.sound!r}"
            )
        for item in items:
            path = self.path(item)
            check_suffix(path)
            if item.path != "-" and path.absolute() == Path(item.path).absolute():
                raise ConfigError(f"{path} would be written over itself: name another file by -o")

    def path(self, item: Item) -> Path:
        """The file of sound of an input."""
        from mooer.data.manifest import safe_stem

        assert self.out is not None
        if self._is_file(self.out):
            return self.out
        return self.out / f"{safe_stem(item.id)}.{self.sound}"

    def is_done(self, item: Item) -> bool:
        """Whether the sound of this input, and all that belongs to it, is there."""
        path = self.path(item)
        beside = [path.with_suffix(f".{name}") for name in self.formats]
        return not self.force and all(
            one.exists() for one in (path, *beside, *([self.srt] if self.srt else []))
        )

    def write(self, path: Path, run: Interpretation, sentences: Sequence[Interpreted]) -> None:
        """The subtitles beside the sound `path`."""
        from mooer.files import write_whole
        from mooer.infer.interpret import subtitles
        from mooer.subtitles import SubtitleOptions

        heard = subtitles(sentences, run.to, bilingual=self.bilingual)
        transcript = replace(
            run.transcript(sentences), segments=heard, duration_s=round(run.duration_s, 3)
        )
        look = SubtitleOptions(bilingual=self.bilingual)
        for name in self.formats:
            write_whole(path.with_suffix(f".{name}"), transcript.render(name, look))
        if self.srt is not None:
            write_whole(self.srt, transcript.render(self.srt.suffix[1:].lower(), look))

    @staticmethod
    def _is_file(out: Path) -> bool:
        return bool(out.suffix) and not out.is_dir()


def interpret_files(
    arguments: Sequence[str], asked: Parts, outputs: Outputs, as_json: bool
) -> None:
    """Each input; one that fails does not stop the others."""
    from mooer.cli.batch import check_first, tell_failures
    from mooer.data.manifest import inputs
    from mooer.errors import ConfigError, MooerError, OutputError, StoreError
    from mooer.memory import share_freed_memory

    items = inputs(arguments)
    outputs.check(items)
    waiting = [item for item in items if not outputs.is_done(item)]
    if num_done := len(items) - len(waiting):
        logger.info("%d of %d are there already (--force does them again)", num_done, len(items))
    if not waiting:
        return
    check_first(waiting)
    recognize = asked.recognize()
    share_freed_memory()
    interpreter = asked.interpreter()
    failures: list[tuple[Item, str]] = []
    for item in waiting:
        if len(items) > 1 and not as_json:
            print(f"== {item.id}", flush=True)  # noqa: T201 (which input the lines are of)
        try:
            found = _interpret_one(interpreter, recognize, item, outputs, as_json)
        except (ConfigError, OutputError, StoreError):
            raise
        except MooerError as error:
            if len(items) == 1:
                raise
            failures.append((item, str(error)))
            logger.error("%s: %s", item.id, error)
            continue
        if as_json:
            _print_json(found, item, outputs.path(item), asked.speaker, indent=len(items) == 1)
    tell_failures(failures, len(waiting))


Found = tuple["Interpretation", "list[Interpreted]"]


def _interpret_one(
    interpreter: Interpreter,
    recognize: RecognizeOptions,
    item: Item,
    outputs: Outputs,
    as_json: bool,
) -> Found:
    """Speak one input into its file; a line a sentence."""
    from mooer.audio.sound_file import SoundFile
    from mooer.cli.batch import from_terminal
    from mooer.cli.progress import AudioProgress

    path = outputs.path(item)
    sentences: list[Interpreted] = []
    file = SoundFile(path, interpreter.rate_hz)
    run: Interpretation | None = None
    try:
        with file, AudioProgress(item.id) as progress:
            run = interpreter.run(from_terminal(item), file.write, recognize, on_progress=progress)
            for one in run:
                sentences.append(one)
                if not as_json:
                    print_sentence(one, outputs.bilingual)
    except KeyboardInterrupt:
        if run is not None and file.num_samples:
            outputs.write(file.partial, run, sentences)
            heard_s = file.num_samples / interpreter.rate_hz
            logger.info("%s holds the first %.0f s", file.partial, heard_s)
        raise
    outputs.write(path, run, sentences)
    for warning in run.warnings:
        logger.warning("%s: %s", item.id, warning)
    if not sentences:
        logger.info("%s: no speech was found: %s is silent", item.id, path)
    return run, sentences


def print_sentence(one: Interpreted, bilingual: bool) -> None:
    """A line with its translation, and above it the original if both are wanted."""
    translation = one.segment.translation or ""
    for text in (one.segment.text, translation) if bilingual else (translation,):
        if text:
            print(text, flush=True)  # noqa: T201 (the result)


def _print_json(found: Found, item: Item, path: Path, speaker: str, *, indent: bool) -> None:
    run, sentences = found
    row = {
        "schema": SCHEMA,
        "source": item.path,
        "sound": str(path),
        "to": run.to,
        "duration_s": round(run.duration_s, 3),
        "model": run.transcript(sentences).model,
        "speaker": speaker,
        "sentences": [sentence_row(one) for one in sentences],
        "warnings": run.warnings,
    }
    print(json.dumps(row, ensure_ascii=False, indent=2 if indent else None))  # noqa: T201


def sentence_row(one: Interpreted) -> dict[str, Any]:
    """A sentence as plain values: when it was said, and when its translation is heard."""
    segment = one.segment
    return {
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "text": segment.text,
        "language": segment.language,
        "translation": segment.translation,
        "outcome": one.outcome,
        "heard_start_s": one.start_s,
        "heard_end_s": one.end_s,
        "lag_s": round(one.lag_s, 3),
        "speed": one.speed,
        **({"reason": one.reason} if one.reason else {}),
        **({} if one.heard is None else {"heard": one.heard}),
    }
