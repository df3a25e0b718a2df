"""The settings of a realtime session as OpenAI's clients send them, and what is told of them.

Both shapes are read: `audio.input.…` as it is now, and the flat `input_audio_…` before it. What
this server has no use for (noise reduction) is taken and not done; what it cannot do is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mooer.audio.endpoint import EndpointOptions
from mooer.audio.vad import VadOptions
from mooer.errors import ConfigError
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.utterance import LiveOptions
from mooer.serve.errors import wrong
from mooer.serve.fields import number_at, object_at, refuse_unknown
from mooer.serve.realtime_sound import SoundFormat, read_format
from mooer.text import find_language

_LOGPROBS = "item.input_audio_transcription.logprobs"
_UNUSED = ("id", "object", "expires_at", "client_secret", "noise_reduction")
_MAX_TEXT = 2000


@dataclass(frozen=True)
class TurnDetection:
    """`server_vad`: when an item ends by itself."""

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500


@dataclass(frozen=True)
class TranscriptionSession:
    """What a caller wants of a session; `changed` makes another of it."""

    model: str = ""
    language: str | None = None
    prompt: str = ""
    format: SoundFormat = field(default_factory=SoundFormat)
    turns: TurnDetection | None = TurnDetection()  # None: the caller commits
    logprobs: bool = False

    def options(self) -> RecognizeOptions:
        """As recognisers take them."""
        turns = self.turns or TurnDetection()
        vad = VadOptions(
            threshold=turns.threshold,
            release=max(0.01, turns.threshold - 0.15),
            pad_s=max(0.1, turns.prefix_padding_ms / 1000),
        )
        return RecognizeOptions(language=self.language, prompt=self.prompt, words=True, vad=vad)

    def live(self) -> LiveOptions:
        """How the stream is heard."""
        end_s = (self.turns or TurnDetection()).silence_duration_ms / 1000
        return LiveOptions(endpoint=EndpointOptions(pause_s=min(0.3, end_s / 2), end_s=end_s))

    def describe(self, session_id: str, expires_at: int) -> dict[str, Any]:
        """The session object of OpenAI's events."""
        turns = self.turns
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session_id,
            "expires_at": expires_at,
            "audio": {
                "input": {
                    "format": self.format.describe(),
                    "transcription": {
                        "model": self.model,
                        "language": self.language,
                        "prompt": self.prompt,
                    },
                    "noise_reduction": None,
                    "turn_detection": None
                    if turns is None
                    else {
                        "type": "server_vad",
                        "threshold": turns.threshold,
                        "prefix_padding_ms": turns.prefix_padding_ms,
                        "silence_duration_ms": turns.silence_duration_ms,
                    },
                }
            },
            "include": [_LOGPROBS] if self.logprobs else None,
        }

    def changed(self, session: Any) -> TranscriptionSession:
        """With what `session` of an update names. ApiError 400 for what cannot be."""
        found = object_at(session, "session")
        kind = found.get("type", "transcription")
        if kind != "transcription":
            raise wrong(
                "session.type",
                f"sessions here transcribe: type must be 'transcription', not {str(kind)[:50]!r}",
            )
        flat = {
            "format": found.get("input_audio_format"),
            "transcription": found.get("input_audio_transcription"),
        }
        given = {key: value for key, value in flat.items() if value is not None}
        if "turn_detection" in found:
            given["turn_detection"] = found["turn_detection"]
        known: tuple[str, ...] = (
            "type",
            "audio",
            "include",
            "turn_detection",
            "input_audio_format",
            *_UNUSED,
        )
        known += ("input_audio_transcription", "input_audio_noise_reduction")
        refuse_unknown(found, known, "session")
        audio = object_at(found.get("audio", {}), "session.audio")
        refuse_unknown(audio, ("input",), "session.audio")
        given |= object_at(audio.get("input", {}), "session.audio.input")
        known = ("format", "transcription", "turn_detection", *_UNUSED)
        refuse_unknown(given, known, "session.audio.input")
        return self._with(given, found.get("include", [_LOGPROBS] if self.logprobs else []))

    def _with(self, given: Mapping[str, Any], include: Any) -> TranscriptionSession:
        place = "session.audio.input"
        session = self
        if given.get("format") is not None:
            format = read_format(given["format"], f"{place}.format", self.format)
            session = replace(session, format=format)
        if given.get("transcription") is not None:
            said = object_at(given["transcription"], f"{place}.transcription")
            session = session._with_transcription(said)
        if "turn_detection" in given:
            session = replace(session, turns=_turns(given["turn_detection"]))
        if include is not None and not isinstance(include, list):
            raise wrong("session.include", "session.include must be a list")
        for name in include or ():
            if name != _LOGPROBS:
                raise wrong("session.include", f"nothing but {_LOGPROBS} can be included")
        return replace(session, logprobs=bool(include))

    def _with_transcription(self, given: Mapping[str, Any]) -> TranscriptionSession:
        place = "session.audio.input.transcription"
        refuse_unknown(given, ("model", "language", "prompt", "delay"), place)
        for key, value in given.items():
            if value is not None and not isinstance(value, str):
                raise wrong(f"{place}.{key}", f"{key} must be a string")
            if value is not None and len(value) > _MAX_TEXT:
                raise wrong(f"{place}.{key}", f"{key} has more than {_MAX_TEXT} letters")
        language = given.get("language", self.language)
        try:
            language = find_language(language) if language else None
        except ConfigError as error:
            raise wrong(f"{place}.language", str(error)) from None
        return replace(
            self,
            model=given.get("model") or self.model,
            language=language,
            prompt=given.get("prompt", self.prompt) or "",
        )


def _turns(given: Any) -> TurnDetection | None:
    place = "session.audio.input.turn_detection"
    if given is None:
        return None
    found = object_at(given, place)
    kind = found.get("type", "server_vad")
    if kind != "server_vad":
        raise wrong(
            f"{place}.type",
            f"turns are found by 'server_vad', or by nobody (null), not by {str(kind)[:50]!r}",
        )
    usual = TurnDetection()
    return TurnDetection(
        number_at(found.get("threshold", usual.threshold), f"{place}.threshold", 0.05, 0.95),
        round(
            number_at(
                found.get("prefix_padding_ms", usual.prefix_padding_ms),
                f"{place}.prefix_padding_ms",
                0,
                2_000,
            )
        ),
        round(
            number_at(
                found.get("silence_duration_ms", usual.silence_duration_ms),
                f"{place}.silence_duration_ms",
                100,
                10_000,
            )
        ),
    )
