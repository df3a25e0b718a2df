"""Transcripts as the bodies that OpenAI's clients read."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any

from mooer.subtitles import SubtitleOptions
from mooer.text import join_text, language_name
from mooer.transcript import Segment, Transcript

FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
MEDIA_TYPES = {"text": "text/plain", "srt": "text/plain", "vtt": "text/plain"}
_SPEAKER = re.compile(r"(?:speaker\D*)?(\d+)", re.IGNORECASE)


def body_of(
    transcript: Transcript, format: str, granularities: Sequence[str] = ("segment",)
) -> str | dict[str, Any]:
    """A text, or a JSON object, in one of `FORMATS`."""
    if format == "text":
        return shown_text(transcript) + "\n"
    if format in ("srt", "vtt"):
        look = SubtitleOptions(translation=transcript.task == "ast")
        return transcript.render(format, look)
    if format == "verbose_json":
        return verbose(transcript, granularities)
    if format == "diarized_json":
        return diarized(transcript)
    return {"text": shown_text(transcript), "usage": usage(transcript)}


def shown_text(transcript: Transcript) -> str:
    """What was asked for: the translation, or else what was said."""
    if transcript.task == "ast" and transcript.translation is not None:
        return transcript.translation
    return transcript.text


def usage(transcript: Transcript) -> dict[str, Any]:
    """What a client counts: seconds of sound."""
    return {"type": "duration", "seconds": round(transcript.duration_s)}


def verbose(transcript: Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    """Segments, and words if asked for; beside OpenAI's fields those of the house."""
    is_translation = transcript.task == "ast"
    language = transcript.translation_language if is_translation else transcript.language
    found: dict[str, Any] = {
        "task": "translate" if is_translation else "transcribe",
        "language": language_name(language or "und").lower(),
        "duration": transcript.duration_s,
        "text": shown_text(transcript),
        "usage": usage(transcript),
    }
    if "segment" in granularities:
        said = [one for one in transcript.segments if one.text or one.events]
        found["segments"] = [segment_of(i, one, is_translation) for i, one in enumerate(said)]
    if "word" in granularities:
        found["words"] = [
            {"word": word.text, "start": word.start_s, "end": word.end_s}
            for segment in transcript.segments
            for word in segment.words or ()
        ]
    if transcript.warnings:
        found["warnings"] = list(transcript.warnings)
    return found


def segment_of(number: int, segment: Segment, is_translation: bool = False) -> dict[str, Any]:
    """A segment with OpenAI's fields; what is not known here (tokens) is empty."""
    text = segment.text
    if is_translation and segment.translation is not None:
        text = segment.translation
    found: dict[str, Any] = {
        "id": number,
        "seek": round(segment.start_s * 100),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": text,
        "tokens": [],
        "temperature": segment.temperature or 0.0,
        "avg_logprob": segment.avg_logprob or 0.0,
        "compression_ratio": compression_ratio(text),
        "no_speech_prob": segment.no_speech_prob or 0.0,
    }
    if segment.speaker is not None:
        found["speaker"] = segment.speaker
    for name in ("emotion", "gender", "age"):
        label = getattr(segment, name)
        if label is not None:
            found[name] = {"name": label.name, "probability": label.probability}
    if segment.events:
        found["events"] = [
            {"name": e.name, "start": e.start_s, "end": e.end_s, "probability": e.probability}
            for e in segment.events
        ]
    if is_translation:
        found["original"] = segment.text
    if segment.warnings:
        found["warnings"] = list(segment.warnings)
    return found


def streamed_segment(number: int, segment: Segment, is_translation: bool) -> dict[str, Any]:
    """A segment as an event of a streamed verbose_json: with its language, and any words."""
    found = segment_of(number, segment, is_translation)
    found |= {"type": "transcript.text.segment", "language": segment.language}
    if segment.words is not None:
        found["words"] = [
            {"word": w.text, "start": w.start_s, "end": w.end_s, "probability": w.probability}
            for w in segment.words
        ]
    return found


def diarized(transcript: Transcript) -> dict[str, Any]:
    """Segments with their speakers."""
    said = [segment for segment in transcript.segments if segment.text]
    return {
        "task": "transcribe",
        "duration": transcript.duration_s,
        "text": transcript.text,
        "segments": [diarized_segment(i, one) for i, one in enumerate(said)],
        "usage": usage(transcript),
    }


def diarized_segment(number: int, segment: Segment) -> dict[str, Any]:
    """One of them; also an event of a stream."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number:04d}",
        "speaker": speaker_letter(segment.speaker),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
    }


def speaker_letter(speaker: str | None) -> str:
    """A speaker as OpenAI names them: A, B, C … by number.

    >>> speaker_letter("speaker 2"), speaker_letter("Anna"), speaker_letter(None)
    ('B', 'Anna', 'A')
    """
    if speaker is None:
        return "A"
    match = _SPEAKER.fullmatch(speaker.strip())
    number = int(match[1]) if match else 0
    return chr(ord("A") + number - 1) if 1 <= number <= 26 else speaker


def compression_ratio(text: str) -> float:
    """Bytes over compressed bytes: above 2.4 a text repeats itself."""
    data = text.encode()
    return round(len(data) / len(zlib.compress(data)), 3) if data else 0.0


def addition(before: str, after: str) -> str:
    """What a delta adds so that all of them joined are the text: a space where the script has one.

    >>> addition("Good morning.", "How are you?"), addition("你好。", "再见。")
    (' How are you?', '再见。')
    """
    if not before:
        return after
    return join_text([before, after])[len(before) :]
