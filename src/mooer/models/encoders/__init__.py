"""Speech encoders by name. Each declares its front end, its width and its frame rate."""

from __future__ import annotations

from mooer.registry import Table

ENCODERS = Table(
    "encoder",
    {
        "sanm": "mooer.models.encoders.sanm:SanmEncoder",
        "whisper": "mooer.models.encoders.whisper:WhisperEncoder",
        "hub": "mooer.models.encoders.hub:HubEncoder",
    },
)
