"""Print translations on the terminal while they are written."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:  # the translator is heavy, and `mooer --help` must not wait for it
    from mooer.infer.translator import Translator
    from mooer.transcript import Segment


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
