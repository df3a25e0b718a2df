"""Sessions for the recognisers of the house, by model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mooer.audio.vad import SpeechModel
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.engines.device import AUTO
from mooer.engines.llm import usable_cores
from mooer.engines.whisper import TimedWord
from mooer.errors import ConfigError
from mooer.infer.aligners import holds, load_speller
from mooer.infer.answering import Answerer
from mooer.infer.ctc_ear import Speller, ctc_ear
from mooer.infer.drafted import LANGUAGES, DraftedRecognizer
from mooer.infer.ear import Ear, OnePassEar, Samples
from mooer.infer.enriched import Enrichment
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk
from mooer.infer.recognizer import Recognizer
from mooer.infer.run import Listener
from mooer.infer.sense_voice import SenseVoiceRecognizer, words_of
from mooer.infer.speech_llm import by_length
from mooer.infer.stream import Session, Translate
from mooer.infer.translator import check_pair
from mooer.infer.utterance import LiveOptions
from mooer.infer.whisper_ear import WhisperEar
from mooer.store import fetch
from mooer.text import find_language
from mooer.transcript import Segment

logger = logging.getLogger(__name__)


def listen_by(
    recognizer: Listener,
    options: RecognizeOptions | None = None,
    live: LiveOptions | None = None,
    *,
    instead: Callable[[Translate | None], Translate] | None = None,
) -> Session:
    """A session that hears by a recogniser: Whisper or CTC, with or without an LLM, or SenseVoice.

    `instead` is given what would translate each sentence while nothing else is heard (None, if
    nothing would), and returns what is called in its place. ConfigError for another recogniser, and
    for what cannot be done while somebody speaks.
    """
    options = options or RecognizeOptions()
    ear: Ear
    translate: Translate | None = None
    if isinstance(recognizer, DraftedRecognizer):
        first = recognizer.first
        if isinstance(first, Recognizer):
            ear = WhisperEar(first.engine, options)
        else:
            first.check(replace(options, task="asr"))
            ear = _ctc_ear(first.model, options)
        if options.task != "asr":
            translate = DraftTranslation(recognizer, options)
    elif isinstance(recognizer, Recognizer):
        ear = WhisperEar(recognizer.engine, options)
        if options.task != "asr":
            translate = WhisperTranslation(recognizer, options)
    elif isinstance(recognizer, SenseVoiceRecognizer):
        _refuse_labels(options, recognizer.name)
        recognizer.check(options)
        ear = sense_voice_ear(recognizer, options.language)
    else:
        raise ConfigError(
            f"{recognizer.name or 'this model'} cannot hear a stream: take whisper-base, mini, "
            "rich-mini or SenseVoice"
        )
    if instead is not None:
        translate = instead(translate)
    if enrichment := recognizer.enrichment(options):
        translate = Labelling(enrichment, translate)
    return Session(
        ear,
        recognizer.vad,
        options,
        live,
        name=recognizer.name,
        versions=recognizer.versions,
        translate=translate,
    )


def holds_ctc(folder: Path) -> bool:
    """Whether a folder is of a CTC model that spells: rich-mini."""
    return holds(folder, "rich.yaml")


def listen_by_ctc(
    folder: Path,
    options: RecognizeOptions | None = None,
    live: LiveOptions | None = None,
    *,
    device: str = AUTO,
    num_threads: int | None = None,
    offline: bool | None = None,
) -> Session:
    """A session that hears by the CTC head of a folder. ModelError if it has none."""
    options = options or RecognizeOptions()
    check_ctc(options, folder.name)
    threads = num_threads or usable_cores()
    model = load_speller(folder, device=device, num_threads=threads, offline=offline)
    vad = SpeechModel(next(fetch("silero-vad", offline=offline).glob("*.onnx")))
    return listen_by_speller(model, vad, folder.name, options, live)


def listen_by_speller(
    model: Speller,
    vad: SpeechModel,
    name: str,
    options: RecognizeOptions,
    live: LiveOptions | None = None,
) -> Session:
    """The same by a model that is loaded."""
    check_ctc(options, name)
    return Session(
        _ctc_ear(model, options),
        vad,
        options,
        live,
        name=name,
        versions={name: version(name) for name in ("mooer", "ctranslate2")},
    )


def _ctc_ear(model: Speller, options: RecognizeOptions) -> OnePassEar:
    return ctc_ear(
        model, language=options.language, hotwords=options.expected, fusion=options.fusion
    )


def check_ctc(options: RecognizeOptions, name: str) -> None:
    """ConfigError for what a CTC head cannot do."""
    _refuse_labels(options, name)
    if options.task != "asr":
        raise ConfigError(f"{name} transcribes and does not translate: take mini")
    if options.prompt:
        raise ConfigError(f"{name} has no use for prompt: leave it out")


def sense_voice_ear(recognizer: SenseVoiceRecognizer, language: str | None) -> OnePassEar:
    """SenseVoice as an ear; its words are where its CTC is surest of them."""
    known = find_language(language) if language else None

    def listen(samples: Samples) -> tuple[list[TimedWord], str]:
        [heard] = recognizer.hear([samples], language)
        words = words_of(heard, len(samples) / SAMPLE_RATE_HZ)
        return words, known or (heard.language.name if heard.language else "und")

    return OnePassEar(listen)


class Labelling:
    """Labels of a sentence by its sound when it is said, and then its translation."""

    def __init__(self, enrichment: Enrichment, translate: Translate | None) -> None:
        self._enrichment = enrichment
        self._translate = translate

    def __call__(self, chunk: Chunk, segment: Segment) -> Segment:
        """The segment with both."""
        labelled = self._enrichment.segments(chunk, [segment])
        segment = next(one for one in labelled if one.text == segment.text)
        return segment if self._translate is None else self._translate(chunk, segment)


class WhisperTranslation:
    """Whisper's own English of a sentence, heard once more when it is said."""

    def __init__(self, recognizer: Recognizer, options: RecognizeOptions) -> None:
        if options.to != "en":
            raise ConfigError(
                f"Whisper translates into English alone, not {options.to!r}: take mini"
            )
        self._recognizer = recognizer

    def __call__(self, chunk: Chunk, segment: Segment) -> Segment:
        """The segment with its translation."""
        if segment.language == "en":
            return replace(segment, translation=segment.text)
        return replace(segment, translation=self._recognizer.translation(chunk, segment.language))


class DraftTranslation:
    """What the LLM behind Whisper makes of a sentence; its words stay Whisper's, which are final.

    Between other languages than Chinese and English the translation is Whisper's, into English.
    """

    def __init__(self, recognizer: DraftedRecognizer, options: RecognizeOptions) -> None:
        if options.language:
            check_pair(options.language, options.to)
        self._recognizer = recognizer
        self._options = options
        self._answerers: dict[str, Answerer[Any] | None] = {}

    def __call__(self, chunk: Chunk, segment: Segment) -> Segment:
        """The segment with its translation; without, where there is none between the two."""
        options, language = self._options, segment.language
        if language == options.to:
            return replace(segment, translation=segment.text)
        if language not in self._answerers:
            self._answerers[language] = self._answerer(language)
        answerer = self._answerers[language]
        if answerer is not None:
            [answered] = by_length(answerer, [chunk], 1, [segment.text])
            return replace(segment, translation=answered.answer.translation)
        whisper = self._recognizer.first
        if options.to != "en" or not isinstance(whisper, Recognizer):
            return segment
        return replace(segment, translation=whisper.translation(chunk, language))

    def _answerer(self, language: str) -> Answerer[Any] | None:
        try:
            check_pair(language, self._options.to)
        except ConfigError as error:
            logger.warning("%s", error)
            return None
        if language not in LANGUAGES:
            return None
        alone = self._recognizer.draft_alone
        asked = RecognizeOptions(
            task="ast",
            to=self._options.to,
            language=language,
            temperatures=(),
            hotwords="" if alone else self._options.hotwords,
        )
        return self._recognizer.second.answerer(asked)


def _refuse_labels(options: RecognizeOptions, name: str) -> None:
    for label in ("rich", "gender", "age"):
        if getattr(options, label):
            raise ConfigError(
                f"{name} tells no labels of a stream: leave {label} out, take whisper-base or "
                f"mini, or transcribe the recording (`mooer transcribe --{label}`)"
            )
