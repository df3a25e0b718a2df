"""`mooer listen`: a microphone, or a file as if spoken now, to words while they are said."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mooer.cli.transcribe import (
    AsJson,
    Beam,
    Force,
    Format,
    Hotwords,
    Into,
    Language,
    ModelName,
    Out,
    Part,
    Prompt,
    Script,
    Task,
    Threads,
    Words,
    parts_of,
)

if TYPE_CHECKING:
    from mooer.cli.feed import Feed
    from mooer.cli.live_view import View
    from mooer.cli.output import Output
    from mooer.data.manifest import Item
    from mooer.infer.converter import Converter
    from mooer.infer.stream import Session, StreamEvent
    from mooer.subtitles import SubtitleOptions

logger = logging.getLogger(__name__)

_POLL_S = 0.25
MICROPHONE = "microphone"


def listen(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="Played at real speed; - for standard input. [default: the microphone]",
            show_default=False,
        ),
    ] = None,
    model: ModelName = "default",
    task: Task = "asr",
    to: Into = "en",
    language: Language = None,
    words: Words = False,
    itn: Annotated[
        bool, typer.Option("--itn", help="Write numbers, dates and amounts in digits (zh, en).")
    ] = False,
    punctuate: Annotated[
        bool, typer.Option("--punctuate", help="Set marks by pauses where the model writes none.")
    ] = False,
    format: Format = "txt",
    out: Out = None,
    force: Force = False,
    step: Annotated[
        float, typer.Option(help="Seconds of new sound before it is heard again.")
    ] = 0.6,
    silence: Annotated[float, typer.Option(help="Seconds of silence that end an utterance.")] = 0.6,
    stall: Annotated[
        float, typer.Option(help="Seconds without any sound coming that do so; 0 for never.")
    ] = 3.0,
    speed: Annotated[
        float, typer.Option(min=0.01, help="Play a file so many times as fast as it was spoken.")
    ] = 1.0,
    fast: Annotated[
        bool, typer.Option("--fast", help="Play a file as fast as it can be heard.")
    ] = False,
    raw: Annotated[
        int | None,
        typer.Option(
            metavar="HZ", help="Standard input is 16-bit mono samples of this rate, no container."
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Microphone: a number, or a part of its name.")
    ] = None,
    beam: Beam = None,
    prompt: Prompt = "",
    hotwords: Hotwords = "",
    script: Script = "hans",
    part: Part = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Write down what is said while it is said.

    Example: mooer listen

    Example: mooer listen talk.mp3 --model rich-mini

    Example: mooer listen --task ast --to en --language zh

    Example: ffmpeg -i rtsp://camera -f wav - | mooer listen - --json

    Example: arecord -t raw -f S16_LE -r 16000 | mooer listen - --raw 16000

    On a terminal words that may still change are dim. Elsewhere each line is a sentence whose words
    are final, and with --json an event. ctrl-C ends it: what was said is printed, and --out
    written.
    """
    from mooer.cli.output import Output, parse_formats
    from mooer.errors import ConfigError
    from mooer.subtitles import SubtitleOptions

    formats = parse_formats(format)
    if out is None and formats != ("txt",):
        raise ConfigError(f"--format {format} is for files: add --out DIR, or take --json")
    if raw is not None and file != "-":
        raise ConfigError("--raw says what standard input is: give - as the file")
    task = "asr_ast" if task == "mtl" else task
    look = SubtitleOptions(bilingual=task != "asr")
    output = Output(out, formats, look, force)
    item = _item(file)
    output.prepare()
    if output.is_done(item):
        logger.info("%s is there already (--force does it again)", item.id)
        return
    source = source_of(item, raw, device)
    open_session = partial(_session, model, threads, step, silence)
    options: dict[str, Any] = {
        "task": task,
        "to": to,
        "language": language,
        "words": words,
        "itn": itn,
        "punctuate": punctuate,
        "beam_size": beam,
        "prompt": prompt,
        "hotwords": hotwords,
        "script": script,
        "parts": parts_of(part),
    }
    is_fast = fast and not source.is_live
    try:
        session = open_session(None if is_fast or stall <= 0 else stall, not is_fast, options)
    except BaseException:
        source.close()
        raise
    if not source.is_live and not is_fast:
        session.run_by(lambda: time.monotonic() * speed)
    with source.feed(None if is_fast else speed) as feed:
        _listen(session, source, feed, _view(look, as_json=as_json), item, output)


@dataclass(frozen=True)
class Source:
    """Where the sound comes from."""

    is_live: bool  # it comes when it comes
    rate_hz: int
    name: str
    wave: Any = None
    blocks: Any = None

    def close(self) -> None:
        """Let go of a file of which no feed was made; a feed does so itself."""
        if self.wave is not None:
            self.wave.close()

    def feed(self, speed: float | None) -> Feed:
        """Its blocks, a file's at so many times its speed, or as fast as they are taken."""
        from mooer.cli.feed import Feed, played

        if self.is_live:
            return Feed(self.blocks(), ahead=0)
        return Feed(played(self.wave, speed))


def source_of(item: Item, raw: int | None, device: str | None) -> Source:
    """Open it before any weights are loaded: what is not there is said at once."""
    from mooer.audio.resample import check_rate
    from mooer.audio.wave import open_wave
    from mooer.cli.batch import from_terminal
    from mooer.cli.feed import Microphone, raw_blocks
    from mooer.errors import ConfigError

    if item.path == MICROPHONE:
        microphone = Microphone(device)
        return Source(True, microphone.rate_hz, microphone.name, blocks=microphone.blocks)
    if device is not None:
        raise ConfigError("--device is a microphone: leave it out, or leave the file out")
    if raw is not None:
        check_rate(raw, "--raw")
        return Source(True, raw, "standard input", blocks=partial(raw_blocks, raw))
    if item.path != "-" and not Path(item.path).exists():
        raise ConfigError(f"no such file: {item.path!r}; check the path")
    wave = open_wave(from_terminal(item))
    return Source(False, 16_000, item.id, wave=wave)


def _item(file: str | None) -> Item:
    from mooer.data.manifest import Item, inputs
    from mooer.errors import ConfigError

    if file is None:
        return Item(time.strftime(f"{MICROPHONE}-%Y%m%d-%H%M%S"), MICROPHONE)
    [item, *others] = inputs([file])
    if others:
        raise ConfigError(f"{file} is several recordings, and one is heard at a time: name that")
    return item


def _session(
    model: str,
    threads: int | None,
    step: float,
    silence: float,
    stall_s: float | None,
    adaptive: bool,
    options: dict[str, Any],
) -> Session:
    from mooer.audio.endpoint import EndpointOptions
    from mooer.decoding.hotwords import given_hotwords
    from mooer.infer import LiveOptions, listen
    from mooer.text import find_language

    live = LiveOptions(
        step_s=step,
        endpoint=EndpointOptions(pause_s=min(0.3, silence / 2), end_s=silence),
        stall_s=stall_s,
        adaptive=adaptive,
    )
    options["hotwords"] = given_hotwords(options["hotwords"])
    options["to"] = find_language(options["to"])
    return listen(model, live=live, num_threads=threads, **options)


def _view(look: SubtitleOptions, *, as_json: bool) -> View:
    from mooer.cli.live_view import JsonLines, Lines, Terminal

    if as_json:
        return JsonLines()
    return Terminal(look) if sys.stdout.isatty() else Lines(look)


def _listen(
    session: Session, source: Source, feed: Feed, view: View, item: Item, output: Output
) -> None:
    """Show what comes until the sound ends or ctrl-C is pressed, and write what was said."""
    from mooer.infer import Converter, Said

    into = session if source.rate_hz == 16_000 else Converter(session, source.rate_hz)
    segments = []
    if source.is_live:
        logger.info("listening to %s; ctrl-C ends it", source.name)
    with until_interrupted() as stopped, view:
        try:
            for event in _events(into, feed, stopped):
                view.show(event)
                if isinstance(event, Said):
                    segments.append(event.segment)
        finally:
            transcript = session.transcript(segments, item.path)
            if output.folder is not None and segments:
                output.write(item, transcript, many=False)
    for warning in source.wave.warnings if source.wave is not None else ():
        logger.warning("%s: %s", item.id, warning)
    if not segments:
        logger.info("%s: no speech was found", item.id)
        if output.folder is not None:
            output.write(item, transcript, many=False)


def _events(
    into: Session | Converter, feed: Feed, stopped: threading.Event
) -> Iterator[StreamEvent]:
    """All events of a stream; a reader that fails in its midst is told after what was said."""
    from mooer.errors import MooerError

    failed: MooerError | None = None
    try:
        while not feed.is_over:
            if stopped.is_set():
                feed.stop()
            block = feed.get(0.0 if stopped.is_set() else _POLL_S)
            if block is None and stopped.is_set():
                break
            if block is None or not len(block):
                yield from into.poll()
            else:
                yield from into.push(block)
    except MooerError as error:
        failed = error
    yield from into.flush()
    if failed is not None:
        raise failed


@contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """Set at the first ctrl-C, so that nothing is broken off in its midst; the second breaks."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(_number: int, _frame: Any) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
