"""A CTC model that spells, as a recogniser: rich-mini or mini's head, or with a language model.

    recognizer = CtcRecognizer(load_rich(), vad, name="rich-mini", versions={})
    recognizer.transcribe("talk.mp3", RecognizeOptions(fusion=fusion))

It knows neither capitals nor marks. What it says by itself is what `mooer listen` shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mooer.audio.vad import Samples, SpeechModel
from mooer.engines.device import AUTO
from mooer.engines.whisper import TimedWord
from mooer.errors import ModelError
from mooer.infer.aligners import load_speller
from mooer.infer.answering import language_of
from mooer.infer.boosted import boost_units
from mooer.infer.ctc_ear import Speller, words_of
from mooer.infer.ctc_search import CtcSearch, Spelling
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk
from mooer.infer.one_pass import OnePassOptions, OnePassRecognizer, OnePassRun, held, refuse
from mooer.text import find_language
from mooer.transcript import Segment


@dataclass(frozen=True)
class CtcHeard:
    """The words of an utterance."""

    words: tuple[TimedWord, ...]
    avg_logprob: float  # natural log, mean over the words
    language: str


class CtcRecognizer(OnePassRecognizer[CtcHeard]):
    """A speller with a VAD before it; use one from one thread. ModelError if it spells nothing."""

    def __init__(
        self, model: Speller, vad: SpeechModel, *, name: str, versions: dict[str, str]
    ) -> None:
        super().__init__(vad, OnePassOptions(), name=name, versions=versions)
        if model.units is None:
            raise ModelError(f"{name} has no speller, and so hears no words: take another")
        self.model = model
        self.units = model.units

    def check(self, options: RecognizeOptions) -> None:
        """ConfigError for what it cannot do."""
        refuse(options, self.name or "a CTC head", "prompt")
        self.search(options)

    @property
    def spelling(self) -> Spelling:
        """Its classes."""
        return Spelling.of_units(self.units, self.model.change_cost)

    def search(self, options: RecognizeOptions) -> CtcSearch:
        """What the options look for."""
        return CtcSearch(
            self.spelling,
            fusion=options.fusion,
            boost=boost_units(options.expected, self.model) if options.expected else None,
            beam_size=options.beam_size,
        )

    def hear(self, utterances: Sequence[Samples], language: str | None = None) -> list[CtcHeard]:
        """The words of each utterance [T] at 16 kHz, by its own path."""
        return self.hear_as(utterances, RecognizeOptions(language=language))

    def hear_as(self, utterances: Sequence[Samples], options: RecognizeOptions) -> list[CtcHeard]:
        """The words of each utterance [T], found as the options say."""
        search = self.search(options)
        known = find_language(options.language) if options.language else None
        found = []
        for samples in utterances:
            log_probs = self.model.log_probs(samples)
            heard = search.heard(log_probs, self.model.frame_s)
            words = words_of(heard, self.units, self.model.frame_s)
            mean = sum(one.logprob for one in heard) / len(heard) if heard else 0.0
            text = "".join(word.text for word in words)
            language = known or (language_of(text) if text else "und")
            found.append(CtcHeard(tuple(held(words)), mean, language))
        return found

    def to_segments(
        self, run: OnePassRun[CtcHeard], chunk: Chunk, heard: CtcHeard
    ) -> Iterator[Segment]:
        """The sentences of a chunk, cut at pauses."""
        blank = Segment(
            chunk.input_time_s(0.0),
            chunk.end_s,
            "",
            heard.language,
            avg_logprob=round(heard.avg_logprob, 4),
        )
        yield from run.sentences(chunk, heard.words, blank)


def load_ctc(
    folder: Path,
    vad: SpeechModel,
    *,
    device: str = AUTO,
    num_threads: int | None = None,
    offline: bool | None = None,
) -> CtcRecognizer:
    """The speller of a folder on its encoder. ModelError if it has none."""
    model = load_speller(folder, device=device, num_threads=num_threads, offline=offline)
    versions = {name: version(name) for name in ("mooer", "ctranslate2")}
    return CtcRecognizer(model, vad, name=folder.resolve().name, versions=versions)
