"""Translate recognised speech, segment by segment, as it comes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from mooer.errors import ConfigError, ManifestError
from mooer.tasks import (
    Message,
    answer_grammar,
    check,
    occurring_terms,
    parse,
    severity,
    translation_request,
)
from mooer.tasks.answers import units
from mooer.text import (
    find_language,
    is_cjk,
    join_text,
    language_name,
    to_simplified,
    to_traditional,
)
from mooer.transcript import Segment, Transcript

CONTEXT_SEGMENTS = 2  # segments before, shown with their translations
LONG_TOKENS = 400  # a segment longer than this is cut at ends of sentences …
PIECE_TOKENS = 160  # … into pieces of about this length
_TRADITIONAL = frozenset({"zh-hant", "zh-tw", "zh-hk", "zh-mo"})
_SENTENCE_END = re.compile(r"(?<=[。！？；…!?;])|(?<=[.])(?=\s)")
_CLAUSE_END = re.compile(r"(?<=[，、：,:])|(?<=\s)")

OnText = Callable[[str], None]
Pair = tuple[str, str]


class ChatModel(Protocol):
    """What is asked of a language model here; `engines.llm.LLM` is one."""

    def chat(
        self, messages: Sequence[Message], *, max_tokens: int, grammar: str | None = None
    ) -> Generator[str, None, None]:
        """Answer, piece by piece; closing the iterator stops it."""

    def complete(
        self,
        prompt: str,
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        grammar: str | None = None,
    ) -> Generator[str, None, None]:
        """Continue a text."""


class Translator:
    """A language model that translates segments in order.

    Pairs: Chinese to English, English to Chinese, any other language to English.

    `context_segments`: show the model up to so many segments before, with their translations.
    Where sentences follow on each other two help a little; more mislead a model of half a
    billion parameters (docs/benchmarks.md).
    """

    def __init__(
        self, llm: ChatModel, *, name: str = "", context_segments: int = CONTEXT_SEGMENTS
    ) -> None:
        self._llm = llm
        self._context_segments = context_segments
        self.name = name

    def translate(
        self,
        transcript: Transcript,
        to: str = "en",
        glossary: Mapping[str, str] | None = None,
    ) -> Transcript:
        """A transcript whose segments have translations; its times and texts stay."""
        if transcript.language != "und":
            check_pair(transcript.language, to)
        segments = tuple(self.stream(transcript.segments, to=to, glossary=glossary))
        return replace(
            transcript,
            segments=segments,
            task="ast",
            translation_language=_target(to)[0],
            versions={**transcript.versions, **({"translator": self.name} if self.name else {})},
        )

    def stream(
        self,
        segments: Iterable[Segment],
        *,
        to: str = "en",
        source_language: str | None = None,
        glossary: Mapping[str, str] | None = None,
        on_text: OnText | None = None,
    ) -> Iterator[Segment]:
        """Yield each segment with its translation as soon as it is done.

        `on_text` is called while one is being written, with all of it so far (shorter than
        before, or empty, if a doubtful answer is thrown away and asked for again).
        Names of doubts that a second try could not remove go to `Segment.warnings`.
        A segment in the language `to` keeps its text as translation; an empty one gets none.
        ConfigError if a pair of languages is not supported.
        """
        target, finish = _target(to)
        if source_language is not None:
            source_language = check_pair(source_language, to)
        return self._run(segments, target, finish, source_language, glossary or {}, on_text)

    def _run(
        self,
        segments: Iterable[Segment],
        target: str,
        finish: Callable[[str], str],
        source_language: str | None,
        glossary: Mapping[str, str],
        on_text: OnText | None,
    ) -> Iterator[Segment]:
        previous: list[Pair] = []
        num_done = 0
        for segment in segments:
            source = source_language or _language(segment)
            if not segment.text.strip():
                yield segment
                continue
            if source == target:
                yield replace(segment, translation=segment.text)
                continue
            try:
                check_pair(source, target)
            except ConfigError:
                if not num_done:
                    raise
                # One segment in another language, or taken for it, must not end the run.
                yield replace(segment, warnings=(*segment.warnings, "translation_pair"))
                continue
            num_done += 1
            request = _Request(self._llm, source, target, glossary, on_text)
            translation, warnings = request.translate(segment.text, tuple(previous))
            if not warnings and self._context_segments:
                # Turns are only ever added, so that the KV cache holds all of them, until
                # they are too many.
                if len(previous) >= self._context_segments:
                    del previous[: -1 if self._context_segments > 1 else None]
                previous.append((segment.text, translation))
            else:
                previous.clear()  # a doubtful answer is no example to follow
            yield replace(
                segment,
                translation=finish(translation),
                warnings=(*segment.warnings, *warnings),
            )


class _Request:
    """One segment on its way through the model."""

    def __init__(
        self,
        llm: ChatModel,
        source: str,
        target: str,
        glossary: Mapping[str, str],
        on_text: OnText | None,
    ) -> None:
        self._llm = llm
        self._source = source
        self._target = target
        self._glossary = glossary
        self._on_text = on_text

    def translate(self, text: str, previous: Sequence[Pair]) -> tuple[str, tuple[str, ...]]:
        """Translation and names of the doubts that stay; a long text in pieces."""
        translations: list[str] = []
        doubts: dict[str, None] = {}
        for piece in split_long(text):
            translation, warnings = self._twice(piece, previous, "".join(translations))
            translations.append(translation)
            doubts.update(dict.fromkeys(warnings))
        return join_text(translations), tuple(doubts)

    def _twice(
        self, text: str, previous: Sequence[Pair], before: str
    ) -> tuple[str, tuple[str, ...]]:
        terms = occurring_terms(text, self._glossary)
        first = self._once(text, previous, terms, before)
        if not first[1]:
            return first
        if self._on_text:
            self._on_text(before)
        second = self._once(text, (), terms, before, insist=True)
        best = min(first, second, key=lambda answer: severity(answer[1]))  # the first, if even
        if best is first and self._on_text:
            self._on_text(join_text([before, first[0]]))
        return best

    def _once(
        self,
        text: str,
        previous: Sequence[Pair],
        terms: Mapping[str, str],
        before: str,
        *,
        insist: bool = False,
    ) -> tuple[str, tuple[str, ...]]:
        pair = {"source": self._source, "target": self._target}
        request = translation_request(text, **pair, previous=previous, terms=terms, insist=insist)
        answer, grammar = "", answer_grammar(self._target)
        limit = 32 + 3 * estimate_tokens(text)  # ends a loop; no translation is so long
        if isinstance(request, str):
            said = self._llm.complete(request, max_tokens=limit, stop=("\n",), grammar=grammar)
        else:
            said = self._llm.chat(request, max_tokens=limit, grammar=grammar)
        with closing(said) as pieces:
            for piece in pieces:
                answer += piece
                translation = parse(answer)
                if self._on_text and translation:
                    self._on_text(join_text([before, translation]))
                if translation and answer.rstrip(" ").endswith("\n"):
                    break  # what comes after the line is never the translation
        translation = parse(answer)
        return translation, check(translation, text, **pair, previous=previous, terms=terms)


def check_pair(source: str, target: str) -> str:
    """Code of the source language; ConfigError unless the pair can be translated."""
    source, target = find_language(source), _target(target)[0]
    if target in (source, "en") or (source, target) == ("en", "zh"):
        return source
    raise ConfigError(
        f"cannot translate {language_name(source)} to {language_name(target)}: the pairs that "
        "work are Chinese to English, English to Chinese and any language to English"
    )


def load_glossary(path: str | Path) -> dict[str, str]:
    """Read terms from a file of lines "source<TAB>target"; blank lines and # comments are fine.

    ManifestError, with the number of the line, if one is not that.
    """
    path = Path(path)
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        lines = data.decode("utf-8").splitlines()
    except OSError as error:
        raise ManifestError(f"cannot read the glossary {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise ManifestError(f"{path}:{number}: not UTF-8: save the glossary as UTF-8") from error
    terms: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            raise ManifestError(
                f"{path}:{number}: a line must be a term, one tab and its translation, got {line!r}"
            )
        term, translation = columns
        if terms.setdefault(term, translation) != translation:
            raise ManifestError(
                f"{path}:{number}: {term!r} has two translations, {terms[term]!r} and "
                f"{translation!r}: keep one"
            )
    return terms


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is: one a CJK character, a third more than one a word."""
    words = units(text)
    num_cjk = sum(is_cjk(word[0]) for word in words)
    return num_cjk + (len(words) - num_cjk) * 4 // 3


def split_long(text: str) -> list[str]:
    """A text in pieces short enough to translate well: whole, unless it is very long.

    Cut at ends of sentences, where those are too far apart at commas and spaces, at last
    anywhere.

    >>> len(split_long("今天很好。")), max(map(len, split_long("今天很好。" * 200)))
    (1, 200)
    """
    if estimate_tokens(text) <= LONG_TOKENS:
        return [text]
    pieces: list[str] = []
    for part in _parts(text, (_SENTENCE_END, _CLAUSE_END)):
        if pieces and estimate_tokens(pieces[-1] + part) <= PIECE_TOKENS:
            pieces[-1] += part
        else:
            pieces.append(part)
    return [stripped for piece in pieces if (stripped := piece.strip())]


def _parts(text: str, ends: Sequence[re.Pattern[str]]) -> Iterator[str]:
    if estimate_tokens(text) <= PIECE_TOKENS:
        yield text
    elif not ends:
        for start in range(0, len(text), PIECE_TOKENS):
            yield text[start : start + PIECE_TOKENS]
    else:
        for part in ends[0].split(text):
            if part:
                yield from _parts(part, ends[1:])


def _target(to: str) -> tuple[str, Callable[[str], str]]:
    """Code of the language asked for, and what its script wants done at the end."""
    code = find_language(to)
    if code != "zh":
        return code, str
    traditional = to.strip().casefold().replace("_", "-") in _TRADITIONAL
    return code, to_traditional if traditional else to_simplified


def _language(segment: Segment) -> str:
    """Code of the language of a segment; by its script where the recogniser did not say."""
    if segment.language not in ("", "und"):
        return segment.language
    return "zh" if any(map(is_cjk, segment.text)) else "en"
