"""A speaker by its name, or by the address of a server."""

from __future__ import annotations

import logging
from pathlib import Path

from mooer.errors import StoreError
from mooer.registry import Table
from mooer.speak.base import Speaker
from mooer.store import catalog, fetch

logger = logging.getLogger(__name__)

SPEAKERS = Table(
    "speaker",
    {
        "kokoro-82m": "mooer.speak.kokoro:Kokoro",
        "piper-joe": "mooer.speak.piper:Piper",
        "espeak": "mooer.speak.espeak_speaker:Espeak",
    },
)


def load_speaker(name: str, *, num_threads: int = 1, key: str = "") -> Speaker:
    """A speaker of `SPEAKERS`, its weights fetched if need be; or a server, at http…/v1#model.

    ConfigError for an unknown name, StoreError or ModelError if it cannot be had. `key` is for a
    server.
    """
    if name.startswith(("http://", "https://")):
        from mooer.speak.http import SpeechServer

        return SpeechServer(name, key=key)
    kind = SPEAKERS.load(name)
    if name == "kokoro-82m":
        speaker: Speaker = kind(fetch(name), voices=_more_voices(), num_threads=num_threads)
    elif name in catalog():
        speaker = kind(fetch(name), num_threads=num_threads)
    else:
        speaker = kind(num_threads=num_threads)
    return speaker


def _more_voices() -> list[Path]:
    """Kokoro's native voices, which come from elsewhere than itself: it speaks without them too."""
    try:
        return [fetch("kokoro-voices")]
    except StoreError:
        logger.warning(
            "Kokoro speaks with its Japanese voices alone, as those native in Mandarin and English "
            "are not here: `mooer models fetch kokoro-voices` brings them, or says what to mend"
        )
        return []
