"""How translations are voiced: by any speaker, in one language, recordings a sentence at a time."""

from __future__ import annotations

from mooer.errors import ConfigError, did_you_mean
from mooer.infer.verified import Hear, VerifiedVoicing
from mooer.speak import Speaker, Voice
from mooer.speak.clauses import ClauseOptions
from mooer.speak.http import SpeechServer
from mooer.speak.voicing import SpeakerVoicing, VoicingOptions

# Nobody waits for the first sound of a recording, and a whole sentence is said better.
_WHOLE = ClauseOptions(first_pause=60, first_sentence=8, pause=60, sentence=8, most=60)


def voicing_in(
    speaker: Speaker,
    language: str,
    voice: str | None = None,
    *,
    live: bool = False,
    hear: Hear | None = None,
) -> SpeakerVoicing:
    """The speaker as a voicing of texts in a language; `live` gives the first sound early.

    With `hear` what it does not understand is said again (`infer.verified`).
    ConfigError for a language or a voice that the speaker has not. A voice is "name", or a blend as
    "name:2+name"; the speaker's first, if none is named.
    """
    if language not in speaker.languages:
        raise ConfigError(
            f"this speaker speaks {', '.join(speaker.languages[:8])}, not {language!r}: take "
            "another by --speaker"
        )
    chosen = Voice.parse(voice) if voice else None
    for name, _ in chosen.parts if chosen else ():
        # What voices a server has it does not tell.
        if name not in speaker.voices and not isinstance(speaker, SpeechServer):
            raise ConfigError(f"unknown voice {name!r}: {did_you_mean(name, speaker.voices)}")
    options = VoicingOptions(chosen, language, ClauseOptions() if live else _WHOLE)
    return VerifiedVoicing(speaker, hear, options) if hear else SpeakerVoicing(speaker, options)
