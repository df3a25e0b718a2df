"""A microphone, or a file as if spoken now, interpreted while it is said: heard, or to a file."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mooer.cli.listen import MICROPHONE, source_of, until_interrupted

if TYPE_CHECKING:
    from threading import Event

    from mooer.audio.pcm import Floats
    from mooer.cli.feed import Feed
    from mooer.cli.live_view import View
    from mooer.cli.loudspeaker import Output
    from mooer.infer import Model, RecognizeOptions
    from mooer.infer.interpret import InterpretOptions
    from mooer.infer.interpreting import InterpretEvent, LiveInterpreter, Voiced
    from mooer.infer.mixing import UnderOptions
    from mooer.speak.spoken import Voicing

logger = logging.getLogger(__name__)

_POLL_S = 0.1


class Parts(Protocol):
    """Who hears, translates and speaks."""

    def recognize(self) -> RecognizeOptions:
        """What is heard. ConfigError for what cannot be."""

    def parts(self, *, live: bool = False) -> tuple[Model, Voicing, InterpretOptions]:
        """All of them, loaded."""


class Ears(Protocol):
    """Where the sound goes; a context manager."""

    def heard(self, samples: Floats) -> None:
        """What was said, [T] at 16 kHz."""

    def say(self, event: Voiced) -> None:
        """What is to be heard."""

    def settle(self, time_s: float) -> None:
        """The stream is here: nothing begins earlier any more."""

    def finish(self) -> None:
        """All was said."""


def interpret_live(
    inputs: Sequence[str] | None,
    asked: Parts,
    out: Path | None,
    device: str | None,
    *,
    bilingual: bool,
    as_json: bool,
) -> None:
    """Speak what comes until it ends or ctrl-C is pressed."""
    from mooer.audio.sound_file import check_suffix
    from mooer.cli.loudspeaker import find_output
    from mooer.data.manifest import inputs as items_of
    from mooer.errors import ConfigError
    from mooer.infer.interpreting import interpret_live as open_interpreter

    [item, *others] = items_of(inputs or [MICROPHONE])
    if others:
        raise ConfigError("one recording is heard at a time with --live: name that alone")
    if out is not None:
        check_suffix(out)
    card = find_output() if out is None else None
    recognize = asked.recognize()
    source = source_of(item, None, device)
    with ExitStack() as stack:
        try:
            model, voicing, options = asked.parts(live=True)
            ears: Ears = stack.enter_context(_ears(out, card, voicing.rate_hz, options.under))
            stream = stack.enter_context(
                open_interpreter(model, voicing, recognize, options=_live(options))
            )
            logger.info("getting ready")
            stream.warm()
        except BaseException:
            source.close()
            raise
        if not source.is_live:
            stream.run_by(time.monotonic)
        else:
            logger.info("listening to %s; ctrl-C ends it", source.name)
        stopped = stack.enter_context(until_interrupted())
        feed = stack.enter_context(source.feed(1.0))
        view = stack.enter_context(_Translations(_view(bilingual, as_json), as_json=as_json))
        for event in _events(stream, feed, stopped, ears, source.rate_hz):
            view.show(event)
        ears.finish()
    for warning in stream.session.warnings:
        logger.warning("%s", warning)
    if out is not None:
        logger.info("%s is written", out)


def _live(options: InterpretOptions) -> InterpretOptions:
    """A stream is always heard behind its sentences."""
    return replace(options, place=replace(options.place, align="end"))


def _events(
    stream: LiveInterpreter, feed: Feed, stopped: Event, ears: Ears, rate_hz: int
) -> Iterator[InterpretEvent]:
    """All events of a stream; what is to be heard is given to the ears before it is told."""
    from mooer.audio.resample import Resampler

    resampler = Resampler(rate_hz, 16_000)

    def told(events: Sequence[InterpretEvent]) -> Iterator[InterpretEvent]:
        from mooer.infer.interpreting import Voiced

        for event in events:
            if isinstance(event, Voiced):
                ears.say(event)
            yield event
        ears.settle(stream.now_s)

    while not feed.is_over:
        if stopped.is_set():
            feed.stop()
        block = feed.get(0.0 if stopped.is_set() else _POLL_S)
        if block is None and stopped.is_set():
            break
        samples = None if block is None or not len(block) else resampler.push(block)
        if samples is None or not len(samples):
            yield from told(stream.poll())
        else:
            ears.heard(samples)
            yield from told(stream.push(samples))
    yield from told(stream.flush())


def _ears(
    out: Path | None, card: Output | None, rate_hz: int, under: UnderOptions | None
) -> AbstractContextManager[Ears]:
    if out is not None:
        return _File(out, rate_hz, under)
    assert card is not None
    return _Played(card, rate_hz)


class _File:
    """A file in which all is heard when it was told."""

    def __init__(self, path: Path, rate_hz: int, under: UnderOptions | None) -> None:
        from mooer.audio.sound_file import SoundFile
        from mooer.infer.mixing import Mix, Spool

        self._spool = Spool()
        self._file = SoundFile(path, rate_hz)
        self._mix = Mix(self._file.write, rate_hz, self._spool, under)

    def heard(self, samples: Floats) -> None:
        self._spool.push(samples)

    def say(self, event: Voiced) -> None:
        self._mix.say(event.start_s, event.spoken.samples)

    def settle(self, time_s: float) -> None:
        self._mix.settle(time_s)

    def finish(self) -> None:
        self._mix.finish()

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *reason: Any) -> None:
        self._spool.close()
        self._file.__exit__(*reason)


class _Played:
    """The sound card, which plays one clause after the other, and to the end when it is left."""

    def __init__(self, card: Output, rate_hz: int) -> None:
        from mooer.cli.loudspeaker import Loudspeaker

        self._loudspeaker = Loudspeaker(card, rate_hz)

    def heard(self, samples: Floats) -> None:
        pass

    def say(self, event: Voiced) -> None:
        self._loudspeaker.play(event.spoken.samples)

    def settle(self, time_s: float) -> None:
        pass

    def finish(self) -> None:
        pass

    def __enter__(self) -> _Played:
        self._loudspeaker.__enter__()
        return self

    def __exit__(self, *reason: Any) -> None:
        self._loudspeaker.__exit__(*reason)


def _view(bilingual: bool, as_json: bool) -> View:
    from mooer.cli.live_view import JsonLines, Lines, Terminal
    from mooer.subtitles import SubtitleOptions

    look = SubtitleOptions(bilingual=bilingual, translation=not bilingual)
    if as_json:
        return JsonLines()
    return Terminal(look) if sys.stdout.isatty() else Lines(look)


class _Translations:
    """Sentences once they are translated, in the view of `mooer listen`."""

    def __init__(self, view: View, *, as_json: bool) -> None:
        self._view = view
        self._as_json = as_json

    def show(self, event: InterpretEvent) -> None:
        from mooer.infer.interpreting import Translated, Unsaid, Voiced
        from mooer.infer.stream import Said

        if self._as_json and isinstance(event, Translated | Unsaid | Voiced):
            print(json.dumps(event_row(event), ensure_ascii=False), flush=True)  # noqa: T201
        elif isinstance(event, Translated):
            self._view.show(Said(event.segment))
        elif isinstance(event, Unsaid):
            logger.info("unsaid (%s): %s", event.reason, event.segment.text)
        elif not isinstance(event, Voiced) and (self._as_json or not isinstance(event, Said)):
            self._view.show(event)

    def __enter__(self) -> _Translations:
        self._view.__enter__()
        return self

    def __exit__(self, *reason: Any) -> None:
        self._view.__exit__(*reason)


def event_row(event: Any) -> dict[str, Any]:
    """What a sentence came to, as plain values; of sound its times."""
    from mooer.infer.interpreting import Translated, Voiced

    segment = event.segment
    said = {"start_s": segment.start_s, "end_s": segment.end_s, "text": segment.text}
    if isinstance(event, Translated):
        return {"event": "translated", "translation": segment.translation, **said}
    if not isinstance(event, Voiced):
        return {"event": "unsaid", "reason": event.reason, **said}
    return {
        "event": "voiced",
        "text": event.spoken.text,
        "start_s": event.start_s,
        "end_s": round(event.end_s, 3),
        "lag_s": round(event.lag_s, 3),
        "speed": event.speed,
    }
