"""What a model is asked to do: the wording of requests, and the reading of answers."""

from mooer.tasks.answers import WARNINGS, check, parse, severity
from mooer.tasks.prompts import Message, answer_grammar, occurring_terms, translation_request

__all__ = [
    "WARNINGS",
    "Message",
    "answer_grammar",
    "check",
    "occurring_terms",
    "parse",
    "severity",
    "translation_request",
]
