"""Text to speech: speakers by name."""

from __future__ import annotations

from mooer.registry import Table
from mooer.speak.base import Speaker, Voice, blend

SPEAKERS = Table("speaker", {"kokoro-82m": "mooer.speak.kokoro:Kokoro"})

__all__ = ["SPEAKERS", "Speaker", "Voice", "blend"]
