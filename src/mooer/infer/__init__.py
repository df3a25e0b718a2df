"""Where the rooms meet: sound in, transcripts out."""

from __future__ import annotations

from mooer.infer.enriched import Enricher
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.model import DEFAULT_LLM, DEFAULT_MODEL, Model, load
from mooer.infer.recognizer import Recognizer
from mooer.infer.run import Run
from mooer.infer.translator import Translator, load_glossary

__all__ = [
    "DEFAULT_LLM",
    "DEFAULT_MODEL",
    "Enricher",
    "Model",
    "RecognizeOptions",
    "Recognizer",
    "Run",
    "Translator",
    "load",
    "load_glossary",
]
