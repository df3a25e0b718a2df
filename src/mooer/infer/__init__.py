"""Where the rooms meet: sound in, transcripts out."""

from __future__ import annotations

from mooer.infer.converter import Converter
from mooer.infer.enriched import Enricher
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.model import DEFAULT_LLM, Model, listen, load
from mooer.infer.recognizer import Recognizer
from mooer.infer.run import Run
from mooer.infer.stream import EndPoint, Final, Partial, Said, Session
from mooer.infer.translator import Translator, load_glossary
from mooer.infer.utterance import LiveOptions

__all__ = [
    "DEFAULT_LLM",
    "Converter",
    "EndPoint",
    "Enricher",
    "Final",
    "LiveOptions",
    "Model",
    "Partial",
    "RecognizeOptions",
    "Recognizer",
    "Run",
    "Said",
    "Session",
    "Translator",
    "listen",
    "load",
    "load_glossary",
]
