"""The library espeak-ng, called through ctypes: text to IPA, and text to sound.

It has one state a process, the voice among it; a lock lets one thread in at a time.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mooer.errors import ConfigError, DecodeError, MissingExtra, ModelError
from mooer.speak.base import Samples

_SYNCHRONOUS, _DONT_EXIT = 0x02, 0x8000
_UTF8, _IPA = 1, 0x02
_BY_CHARACTER = 1
_RATE = 1  # the parameter, in words a minute
_WORD, _END_OF_LIST = 1, 0
_MAX_SAMPLES_S = 600


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class _VoiceRecord(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # a byte of priority, a code, NUL, …
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True)
class WordHeard:
    """Where a word begins in the text, in characters, and when in the sound."""

    start: int
    time_s: float


class _Library:
    """One a process."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise MissingExtra("espeakng-loader", "speak") from error
        path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
        try:
            self._library: Any = ctypes.CDLL(path)
        except OSError as error:
            raise ModelError(
                f"cannot load {path} ({error}): install espeakng-loader again"
            ) from error
        library = self._library
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        library.espeak_TextToPhonemes.argtypes = [
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.c_int,
            ctypes.c_int,
        ]
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
        self.rate_hz = int(library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT))
        if self.rate_hz <= 0:
            raise ModelError(
                f"espeak-ng does not start with its data in {data}: install espeakng-loader again, "
                "in a folder with a shorter path if that one is very long"
            )
        self._voice = ""
        self._lock = threading.Lock()

    def phonemes(self, text: str, voice: str, tie: str) -> list[str]:
        with self._lock:
            self._choose(voice)
            pointer = ctypes.c_char_p(_clean(text).encode())
            mode = _IPA | (0x80 | ord(tie) << 8 if tie else 0)
            found = []
            while pointer.value:  # it reads one clause and moves on; at the end the pointer is NULL
                ipa = self._library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, mode)
                found.append((ipa or b"").decode())
            return found

    def synthesise(
        self, text: str, voice: str, words_per_minute: int
    ) -> tuple[Samples, list[WordHeard]]:
        parts: list[Any] = []
        words: list[WordHeard] = []
        num_samples = 0

        def take(samples: Any, count: int, events: Any) -> int:
            nonlocal num_samples
            if samples and count > 0:
                parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
                num_samples += count
            place = 0
            while events and events[place].type != _END_OF_LIST:
                event = events[place]
                if event.type == _WORD:
                    words.append(WordHeard(event.text_position - 1, event.audio_ms / 1000))
                place += 1
            return int(num_samples > _MAX_SAMPLES_S * self.rate_hz)  # 1 ends it

        callback = _Callback(take)
        data = _clean(text).encode()
        with self._lock:
            self._choose(voice)
            self._library.espeak_SetSynthCallback(callback)
            self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
            status = self._library.espeak_Synth(
                data, len(data) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None
            )
            self._library.espeak_Synchronize()
        if status != 0 or not parts:
            raise DecodeError(f"espeak-ng said nothing for {text[:64]!r} (status {status})")
        samples: Samples = np.concatenate(parts).astype(np.float32) / np.float32(32768)
        return samples, words

    def languages(self) -> dict[str, str]:
        """Codes of languages, and the names of their voices."""
        with self._lock:
            voices = self._library.espeak_ListVoices(None)
            found: dict[str, str] = {}
            place = 0
            while voices[place]:
                voice = voices[place].contents
                name = voice.identifier.decode().rpartition("/")[2]
                found.setdefault(voice.languages[1:].decode(), name)
                place += 1
        return found

    def _choose(self, voice: str) -> None:
        if voice != self._voice:
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                self._voice = ""
                raise ConfigError(f"espeak-ng has no voice {voice!r}")
            self._voice = voice


def to_ipa(text: str, voice: str = "en-us", *, tie: str = "") -> list[str]:
    """IPA of each clause of a text; `tie` stands between the letters of what is one sound.

    MissingExtra without espeakng-loader, ModelError if its library does not start, ConfigError for
    a voice that it does not have.
    """
    return library().phonemes(text, voice, tie)


def to_sound(
    text: str, voice: str, words_per_minute: int = 175
) -> tuple[Samples, int, Sequence[WordHeard]]:
    """Samples [T], their rate in Hz, and when words begin. DecodeError if nothing is said."""
    samples, words = library().synthesise(text, voice, words_per_minute)
    return samples, library().rate_hz, words


def library() -> _Library:
    """The library; errors as `to_ipa` has them."""
    with _starting:  # two of them in one process would spoil its state
        return _start()


_starting = threading.Lock()
_start = lru_cache(maxsize=1)(_Library)


def _clean(text: str) -> str:
    return text.replace("\0", " ").encode("utf-8", "replace").decode()
