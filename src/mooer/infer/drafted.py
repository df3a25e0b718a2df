"""Two recognisers one after the other: one drafts, a speech LLM hears each sentence again.

    recognizer = DraftedRecognizer(whisper, SpeechLLMRecognizer(...))
    recognizer.transcribe("talk.mp3", RecognizeOptions(task="asr_ast"))

Whisper is quick on long recordings, knows a hundred languages and gives times; the LLM reads its
draft beside the sound, mends it, and translates. What the LLM was not trained for stays Whisper's.
In its place the CTC head of the speech LLM may draft, which is quicker and knows two languages.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mooer.audio.wave import SAMPLE_RATE_HZ, Source
from mooer.decoding import rules
from mooer.errors import ConfigError
from mooer.infer.answering import Answered, Answerer, language_of
from mooer.infer.ctc_recognizer import CtcHeard, CtcRecognizer
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk, Samples
from mooer.infer.one_pass import OnePassRun
from mooer.infer.recognizer import Recognizer, WhisperRun
from mooer.infer.run import Listener, OnProgress, Run
from mooer.infer.speech_llm import SpeechLLMRecognizer, by_length, read_utterance
from mooer.infer.translator import check_pair
from mooer.text import language_name
from mooer.text.edit import align
from mooer.transcript import Segment, Word

logger = logging.getLogger(__name__)

LANGUAGES = ("zh", "en")
MARGIN_S = 0.2  # heard on both sides of a sentence: the times of words are not exact
MAX_SHARE_CHANGED = 0.5  # of the draft's characters; an answer that changes more heard otherwise
_PIECE = re.compile(r"[a-zA-Z0-9.'%-]+[^\w\s]*|\w[^\w\s]*|[^\w\s]+")


class DraftedRecognizer(Listener):
    """A recogniser and a speech LLM behind it; use it from one thread.

    Its tasks are asr, ast and asr_ast, between Chinese and English. With `draft_alone` the LLM does
    not hear the sound, and so translates what Whisper wrote without mending it.
    """

    def __init__(
        self,
        first: Recognizer | CtcRecognizer,
        second: SpeechLLMRecognizer,
        *,
        draft_alone: bool = False,
    ) -> None:
        super().__init__(
            first.vad, name=second.name, versions={**first.versions, **second.versions}
        )
        self.first = first
        self.second = second
        self.draft_alone = draft_alone

    def run(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Run:
        """Open an input; iterate the result for segments.

        AudioError if it cannot be read; ConfigError for what neither of the two can do.
        """
        options = options or RecognizeOptions()
        first = self.first.run(source, _drafting(options), rate_hz=rate_hz)
        return _DraftedRun(self, first, options, on_progress)

    def stream(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
    ) -> Iterator[str]:
        """What the first writes of one utterance, and on a line of its own what the LLM does.

        Both are greedy, and come as they are written; no guard looks at them. AudioError if the
        utterance cannot be read or is longer than 30 s, ConfigError as `run`, and for language
        models, which want all of a text.
        """
        options = replace(options or RecognizeOptions(), beam_size=1)
        if options.fusion is not None:
            raise ConfigError("what is streamed is decoded without language models: use `run`")
        samples = read_utterance(source, rate_hz)
        first = self.first.run(samples, _drafting(options), rate_hz=SAMPLE_RATE_HZ)
        return _DraftedRun(self, first, options, None).streamed(samples)


def _drafting(options: RecognizeOptions) -> RecognizeOptions:
    """What is asked of the first."""
    return replace(options, task="asr", rich=False, gender=False, age=False)


class _DraftedRun(Run):
    """One input on its way through both."""

    _recognizer: DraftedRecognizer

    def __init__(
        self,
        recognizer: DraftedRecognizer,
        first: WhisperRun | OnePassRun[CtcHeard],
        options: RecognizeOptions,
        on_progress: OnProgress | None,
    ) -> None:
        super().__init__(recognizer, first.wave, first.source, options, on_progress)
        self._first = first
        self._is_chosen = False  # what the LLM is to do: once the language is known
        self._answerer: Answerer[Any] | None = None

    def decoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Iterable[Segment]]]:
        """Each chunk with its sentences, heard twice."""
        for chunk, segments in self._first.decoded(chunks):
            drafted = list(segments)
            if not self._is_chosen and drafted:
                self._choose(drafted[0].text)
            yield chunk, self._heard_again(chunk, drafted)

    def streamed(self, samples: Samples) -> Iterator[str]:
        """The transcript of an utterance [T], then the LLM's answer, as they are written.

        What the LLM does not know is Whisper's own translation, if it drafts and one is wanted.
        """
        draft = ""
        for piece in self._first.streamed():
            draft += piece
            yield piece
        if not draft:
            return
        self._choose(draft, beam_size=1)
        if self._answerer:
            yield "\n"
            yield from self._answerer.stream(samples, draft)
            return
        whole = Chunk(samples, ((0, len(samples)),), 1.0)
        said = Segment(0.0, whole.end_s, draft, self.language)
        if translation := self._translated(whole, said).translation:
            yield "\n"
            yield translation

    def _choose(self, draft: str, beam_size: int | None = None) -> None:
        """What the LLM is to do, by what was heard first."""
        self._is_chosen = True
        known = self._first.language
        self.language = language_of(draft) if known == "und" else known
        self.language_probability = self._first.language_probability
        self._answerer = self._answerer_for(self.language, beam_size)

    def _answerer_for(self, language: str, beam_size: int | None) -> Answerer[Any] | None:
        """The LLM with what it is to do; None if that is nothing.

        ConfigError for languages between which neither of the two translates.
        """
        options = self._options
        if options.task != "asr":
            check_pair(language, options.to)
        if language not in LANGUAGES:
            logger.warning(
                "%s was trained on Chinese and English: for %s this is Whisper's own %s",
                self._recognizer.name,
                language_name(language),
                "transcript" if options.task == "asr" else "transcript and translation",
            )
            return None
        task = options.task if options.to != language else "asr"  # nothing to translate
        hotwords = options.hotwords
        if self._recognizer.draft_alone:
            if task == "asr":
                return None
            task, hotwords = "ast", ""  # Whisper was told them, who alone hears
        asked = RecognizeOptions(
            task=task,
            to=options.to,
            language=language,
            beam_size=beam_size,
            temperatures=(),
            hotwords=hotwords,
        )
        return self._recognizer.second.answerer(asked)

    def _heard_again(self, chunk: Chunk, segments: list[Segment]) -> list[Segment]:
        options = self._options
        if self._answerer is None:
            return [self._translated(chunk, one) for one in segments]
        cuts = [chunk.cut(s.start_s - MARGIN_S, s.end_s + MARGIN_S) for s in segments]
        drafts = [segment.text for segment in segments]
        answered = by_length(self._answerer, cuts, options.batch_size, drafts)
        return [
            self._translated(chunk, self._merged(segment, one))
            for segment, one in zip(segments, answered, strict=True)
        ]

    def _merged(self, segment: Segment, answered: Answered) -> Segment:
        """The draft with what the LLM made of it."""
        answer = answered.answer
        found = replace(segment, translation=answer.translation)
        text = self._in_script(answer.transcript or "", self.language)
        doubtful = rules.gravity(answered.faults) > 0
        if text and not doubtful and share_changed(segment.text, text) <= MAX_SHARE_CHANGED:
            words = segment.words
            if words and _bare(text) != _bare("".join(word.text for word in words)):
                words = retimed(words, text, self.language)
            found = replace(found, text=text, words=words)
        doubts = [name for name in answered.faults if name not in rules.RULES]
        return replace(found, warnings=(*segment.warnings, *doubts))

    def _translated(self, chunk: Chunk, segment: Segment) -> Segment:
        """With a translation, where one is wanted and the LLM has given none."""
        options, first = self._options, self._recognizer.first
        if options.task == "asr" or segment.translation:
            return segment
        if self.language == options.to:
            return replace(segment, translation=segment.text)
        if options.to != "en" or not isinstance(first, Recognizer):
            return segment  # Whisper knows English alone; a warning tells that this one is missing
        part = chunk.cut(segment.start_s, segment.end_s)
        return replace(segment, translation=first.translation(part, self.language))


def share_changed(draft: str, text: str) -> float:
    """Edits from one to the other over the characters of the longer, marks and case left out.

    >>> share_changed("Hello, world", "hello word.")
    0.1
    """
    one, other = ([c for c in said.lower() if c.isalnum()] for said in (draft, text))
    edits = sum(op != "=" for op in align(one, other).ops)
    return edits / max(1, len(one), len(other))


def retimed(words: Sequence[Word], text: str, language: str) -> tuple[Word, ...]:
    """The words of another text at the times of these, which it differs little from.

    >>> before = [Word(0.0, 0.4, "good", 0.9), Word(0.5, 1.0, "knight", 0.4)]
    >>> [(w.text, w.start_s, w.end_s) for w in retimed(before, "Good night.", "en")]
    [('Good', 0.0, 0.4), ('night.', 0.5, 1.0)]
    """
    words = [part for word in words for part in _parts(word, language)]
    pieces = timed_pieces(text, language)
    ops = align([_bare(w.text) for w in words], [_bare(p) for p in pieces]).ops
    found: list[Word] = []
    place = 0  # of the word before which nothing is left
    rest = iter(pieces)
    for op in ops:
        here = words[min(place, len(words) - 1)]
        if op in "=S":
            found.append(replace(here, text=next(rest)))
        elif op == "I":  # between two words: no time is known but that of the seam
            start_s = found[-1].end_s if found else here.start_s
            found.append(Word(start_s, start_s, next(rest), here.probability))
        place += op != "I"
    return tuple(found)


def timed_pieces(text: str, language: str) -> list[str]:
    """A text as the words that are timed: characters of Chinese with the marks after them.

    >>> timed_pieces("你好，world。", "zh")
    ['你', '好，', 'world。']
    """
    if language not in ("zh", "yue"):
        return text.split()
    return _PIECE.findall(text)


def _parts(word: Word, language: str) -> list[Word]:
    """A word that holds several pieces as these, its time divided among them."""
    pieces = timed_pieces(word.text, language)
    step_s = (word.end_s - word.start_s) / max(1, len(pieces))
    times = [round(word.start_s + i * step_s, 3) for i in range(len(pieces))]
    return [
        Word(t, round(t + step_s, 3), p, word.probability)
        for t, p in zip(times, pieces, strict=True)
    ]


def _bare(word: str) -> str:
    return "".join(c for c in word.lower() if c.isalnum())
