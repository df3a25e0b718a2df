"""A speech server with OpenAI's interface as a speaker: `POST …/audio/speech`, wav or pcm back.

Nothing of it is trusted: its answer is bounded in size and time, redirects are not followed, and
the key goes to the named server alone.
"""

from __future__ import annotations

import http.client
import json
import ssl
import struct
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np

from mooer.audio.resample import Resampler
from mooer.errors import ConfigError, DecodeError, ModelError, first_line
from mooer.speak.base import Samples, Voice, check_speed, only_voice
from mooer.text import LANGUAGES

RATE_HZ = 24_000  # of OpenAI's pcm, and of what is given here
MIN_SPEED, MAX_SPEED = 0.25, 4.0
_VOICES = ("alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer")
_MODEL = "tts-1"
_MAX_BYTES = 64 << 20  # about 20 minutes at 24 kHz
_MAX_HEAD = 1 << 16  # of a wav file, before its samples
_BLOCK = 1 << 15


class SpeechServer:
    """Speaks through `url`, an address such as https://host/v1 or https://host/v1#name-of-model.

    A server may have other voices than OpenAI's: any name is sent as it is.
    """

    rate_hz = RATE_HZ
    voices: tuple[str, ...] = _VOICES
    languages: tuple[str, ...] = tuple(LANGUAGES)

    def __init__(self, url: str, *, key: str = "", timeout_s: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ConfigError(
                f"{url!r} is no address of a speech server: write https://HOST/v1, and give the "
                "key apart from it"
            )
        try:
            self._port = parts.port
        except ValueError as error:
            raise ConfigError(f"{url!r} has no usable port: write https://HOST:8000/v1") from error
        if any(c in key for c in "\r\n"):
            raise ConfigError("the key of the speech server has a line break in it: give one line")
        self._host, self._is_safe = parts.hostname, parts.scheme == "https"
        self._path = parts.path.rstrip("/") + "/audio/speech"
        self._model = parts.fragment or _MODEL
        self._key, self._timeout_s = key, timeout_s
        self._name = f"{parts.scheme}://{parts.netloc}{self._path}"

    def speak(self, text: str, language: str, voice: Voice, *, speed: float = 1.0) -> Samples:
        """Samples [T] at 24 kHz. ModelError if the server cannot be reached, or refuses the key."""
        parts = list(self.stream(text, language, voice, speed=speed))
        if not parts:
            raise DecodeError(f"{self._name} sent no sound for {text[:64]!r}")
        return np.concatenate(parts)

    def stream(
        self, text: str, language: str, voice: Voice, *, speed: float = 1.0
    ) -> Iterator[Samples]:
        """The same in pieces as they arrive; closing it ends the connection."""
        del language  # the interface has none: servers hear it in the text
        check_speed(speed, MIN_SPEED, MAX_SPEED)
        if not any(c.isalnum() for c in text):
            raise DecodeError(f"there is nothing to say in {text!r}")
        name = only_voice(voice, [name for name, _ in voice.parts])
        body = json.dumps(
            {
                "model": self._model,
                "input": text,
                "voice": name,
                "speed": speed,
                "response_format": "wav",
            }
        )
        ends_at = time.monotonic() + self._timeout_s
        connection = self._connect()
        try:
            self._ask(connection, body.encode())
            with connection.getresponse() as response:
                self._check(response)
                blocks = self._read(connection, response, ends_at)
                yield from _samples(blocks, response, self._name)
        except (OSError, http.client.HTTPException) as error:
            raise DecodeError(
                f"{self._name} broke off while it spoke ({first_line(error)}): try again"
            ) from error
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._is_safe:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)

    def _ask(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        headers = {"content-type": "application/json", "accept": "audio/wav, audio/pcm"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            raise ModelError(
                f"{self._name} cannot be reached ({first_line(error)}): check the address, and "
                "that the server runs"
            ) from error
        connection.request("POST", self._path, body, headers)

    def _check(self, response: http.client.HTTPResponse) -> None:
        if response.status in (401, 403):
            raise ModelError(
                f"{self._name} refuses the key ({response.status}): give the right one"
            )
        if response.status != 200:
            told = " ".join(response.read(2000).decode("utf-8", "replace").split())[:200]
            raise DecodeError(f"{self._name} answered {response.status}: {told or response.reason}")

    def _read(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        ends_at: float,
    ) -> Iterator[bytes]:
        num_bytes = 0
        while True:
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                raise DecodeError(
                    f"{self._name} was not done in {self._timeout_s:.0f} s: give it shorter texts"
                )
            if connection.sock is not None:
                connection.sock.settimeout(left_s)
            data = response.read1(_BLOCK)
            if not data:
                return
            num_bytes += len(data)
            if num_bytes > _MAX_BYTES:
                raise DecodeError(f"{self._name} sent more than {_MAX_BYTES >> 20} MB for one text")
            yield data


def _samples(
    blocks: Iterator[bytes], response: http.client.HTTPResponse, name: str
) -> Iterator[Samples]:
    """Float samples at 24 kHz of a wav file, or of OpenAI's bare pcm."""
    kind = (response.headers.get("content-type") or "").split(";")[0].strip().lower()
    held = b""
    rate_hz, num_channels, start = RATE_HZ, 1, 0
    for block in blocks:  # until the head is there
        held += block
        if not held.startswith(b"RIFF"[: len(held)]):
            break
        if found := _wav_head(held, name):
            rate_hz, num_channels, start = found
            break
        if len(held) > _MAX_HEAD:
            break
    if not start and not (kind in ("audio/pcm", "audio/l16", "audio/raw") and held):
        raise DecodeError(
            f"{name} sent {kind or 'something'} of {len(held)} bytes, which is neither wav nor pcm "
            "of 16 bits"
        )
    resampler = Resampler(rate_hz, RATE_HZ)
    rest = held[start:]
    size = 2 * num_channels
    while True:
        whole = len(rest) // size * size
        ready = np.frombuffer(rest[:whole], "<i2").reshape(-1, num_channels)
        samples = resampler.push((ready.mean(axis=1) / 32768).astype(np.float32))
        if len(samples):
            yield samples
        block = next(blocks, b"")
        if not block:
            break
        rest = rest[whole:] + block
    if len(samples := resampler.flush()):
        yield samples


def _wav_head(held: bytes, name: str) -> tuple[int, int, int] | None:
    """Rate, channels and the place of the samples; None if more must be read."""
    place, rate_hz, num_channels = 12, 0, 0
    while len(held) >= place + 8:
        kind, size = held[place : place + 4], struct.unpack_from("<I", held, place + 4)[0]
        place += 8
        if kind == b"data":
            if not rate_hz:
                break
            return rate_hz, num_channels, place
        if kind == b"fmt ":
            if len(held) < place + 16:
                return None
            code, num_channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", held, place)
            if code not in (1, 0xFFFE) or bits != 16 or not 1 <= num_channels <= 8:
                raise DecodeError(f"{name} sent wav of {bits} bits, code {code}: 16 are read")
            if not 8_000 <= rate_hz <= 192_000:
                raise DecodeError(f"{name} sent wav of {rate_hz} Hz, which no speech has")
        place += size + size % 2
        if size > _MAX_HEAD:
            break
    return None
