"""Use every model of a conversation once: the first use is slow, and would delay the first answer.

Weights are mapped and read then, and dictionaries loaded; the beginning of all prompts is read too.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from mooer.agent.jobs import Tell, Work
from mooer.agent.mind import Turn
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Parts
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.speak.voicing import SpeakerVoicing

_GREETINGS = {"zh": "你好。", "en": "Hello."}


def warming(parts: Parts, options: AgentOptions, *, asks: bool = True) -> Work:
    """Work that tells nothing; `asks`: the mind too, which one elsewhere need not be.

    A MooerError if a model fails.
    """
    told = options.language
    languages = [told] if told in _GREETINGS else list(_GREETINGS)

    def work(_: Tell) -> Generator[None, None, None]:
        noise = np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)
        parts.hear.hear(noise, language=told)
        yield
        if parts.turn is not None:
            parts.turn.complete(noise)
        for language in languages:
            greeting = _GREETINGS[language]
            said = Turn("user", greeting, noise if parts.mind.hears else None, language)
            if asks:
                for _piece in parts.mind.answer([said], system=options.instructions, max_tokens=1):
                    yield
            if options.speaks and _speaks(parts, language):
                for _clause in parts.voicing.voice([greeting]):
                    yield

    return work


def _speaks(parts: Parts, language: str) -> bool:
    voicing = parts.voicing
    return not isinstance(voicing, SpeakerVoicing) or language in voicing.speaker.languages


def warm_up(parts: Parts, options: AgentOptions, *, asks: bool = True) -> None:
    """The same, here and now."""
    for _ in warming(parts, options, asks=asks)(lambda _: None):
        pass
