"""What a model is asked to do: the wording of requests, and the reading of answers."""

from mooer.tasks.answers import WARNINGS, check, parse, severity
from mooer.tasks.prompts import Message, occurring_terms, translation_messages

__all__ = [
    "WARNINGS",
    "Message",
    "check",
    "occurring_terms",
    "parse",
    "severity",
    "translation_messages",
]
