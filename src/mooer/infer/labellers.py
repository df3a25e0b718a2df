"""The models behind pseudo-labels, each as the plain function that `infer.label` asks for."""

from __future__ import annotations

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.engines.dnsmos import Dnsmos
from mooer.errors import ConfigError
from mooer.infer.label import Hear, Judge, Labellers, Recognise, Translate
from mooer.infer.model import Model, load
from mooer.infer.utterances import Samples
from mooer.store import fetch
from mooer.text import find_language
from mooer.transcript import Segment, Transcript

SLOWER = 0.9  # at which rate the same model hears a clip again
_MAX_WINDOWS = 3  # of 9 s each, that DNSMOS hears of a clip


def load_labellers(
    model: str = "default",
    *,
    second: str | None = "same",
    llm: str | None = "qwen2.5-0.5b",
    to: str = "en",
    language: str | None = None,
    quality: bool = True,
    num_threads: int | None = None,
) -> Labellers:
    """Load what is asked for; None (or False) leaves a measurement out.

    `second`: another recogniser, or "same": the same one, which hears the speech a tenth slower
    and decodes greedily. StoreError or ModelError if a model cannot be had.
    """
    target = find_language(to)
    first = load(model, llm=llm or "qwen2.5-0.5b", num_threads=num_threads)
    names = {"recogniser": first.recognizer.name, "language": language or "detected"}
    hear_again, judge, translate = None, None, None
    if second == "same":
        hear_again = another_decoding(first)
    elif second is not None:
        hear_again = another_model(load(second, num_threads=num_threads))
    if second is not None:
        names["second"] = second
    if quality:
        judge = judge_by(Dnsmos(fetch("dnsmos"), num_threads=num_threads or 1))
        names["quality"] = "dnsmos"
    if llm is not None:
        translate = translate_by(first, target)
        names["translator"] = llm
    return Labellers(recognise_by(first, language), judge, hear_again, translate, target, names)


def recognise_by(model: Model, language: str | None) -> Recognise:
    """All of a recording; the language is detected if it is None."""

    def recognise(path: str) -> Transcript:
        return model.transcribe(path, language=language)

    return recognise


def another_decoding(model: Model) -> Hear:
    """The same model on slower speech, greedily: what it is sure of, it hears again."""

    def hear(samples: Samples, language: str) -> str:
        rate_hz = round(SLOWER * SAMPLE_RATE_HZ)
        return model.transcribe(samples, rate_hz=rate_hz, language=language, beam_size=1).text

    return hear


def another_model(model: Model) -> Hear:
    """A second recogniser, in its own way."""

    def hear(samples: Samples, language: str) -> str:
        return model.transcribe(samples, rate_hz=SAMPLE_RATE_HZ, language=language).text

    return hear


def judge_by(dnsmos: Dnsmos) -> Judge:
    """The overall score of a clip."""

    def judge(samples: Samples) -> float:
        return dnsmos(samples, _MAX_WINDOWS).overall

    return judge


def translate_by(model: Model, target: str) -> Translate:
    """By the LLM of the model, which is loaded at the first text.

    A language that it cannot translate gives an empty text, which the tests doubt.
    """

    def translate(text: str, language: str) -> str:
        segment = Segment(start_s=0.0, end_s=0.0, text=text, language=language)
        try:
            transcript = model.translate(Transcript((segment,), language, 0.0), to=target)
        except ConfigError:  # no such pair
            return ""
        return transcript.translation or ""

    return translate
