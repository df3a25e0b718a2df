"""Text to speech: speakers by name, and voicings of a text that is still being written."""

from __future__ import annotations

from mooer.speak.base import Speaker, Voice, blend
from mooer.speak.load import SPEAKERS, load_speaker
from mooer.speak.spoken import Spoken, SpokenWord, Voicing
from mooer.speak.voicing import SpeakerVoicing, voicing_of

__all__ = [
    "SPEAKERS",
    "Speaker",
    "SpeakerVoicing",
    "Spoken",
    "SpokenWord",
    "Voice",
    "Voicing",
    "blend",
    "load_speaker",
    "voicing_of",
]
