"""A speaker that hums: a tone as long as the text, so that nothing needs weights."""

from __future__ import annotations

import os

import numpy as np

from mooer.errors import DecodeError


class ToneSpeaker:
    rate_hz = 24_000
    voices = ("low", "mid", "high")
    languages = ("zh", "en")

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str, float]] = []

    def speak(self, text, language, voice, *, speed=1.0):
        if not any(c.isalnum() for c in text):
            raise DecodeError(f"there is nothing to say in {text!r}")
        self.said.append((text, language, str(voice), speed))
        pitches = {"low": 110.0, "mid": 220.0, "high": 440.0}
        pitch = sum(weight * pitches[name] for name, weight in voice.parts)
        time_s = np.arange(int(0.1 * len(text) / speed * self.rate_hz)) / self.rate_hz
        return (0.3 * np.sin(2 * np.pi * pitch * time_s)).astype(np.float32)


class NativeSpeaker(ToneSpeaker):
    """One whose voices have languages of their own."""

    def native_voices(self, language):
        return {"zh": ("high",), "en": ("low", "mid")}.get(language, ())


class DyingSpeaker(ToneSpeaker):
    """Takes its process with it at the word DIE, as an out-of-memory kill does."""

    def speak(self, text, language, voice, *, speed=1.0):
        if "DIE" in text:
            os._exit(9)
        return super().speak(text, language, voice, speed=speed)
