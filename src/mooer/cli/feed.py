"""Sound as it comes: from a microphone, or from a file as if it were spoken now."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import Wave
from mooer.errors import AudioError, MissingExtra, first_line

BLOCK_S = 0.1
_PATIENCE_S = 1.0
_GONE_S = 5  # without a sample from a microphone: it is not there any more
_AHEAD = 100  # blocks of a file that are read before they are heard

Block = NDArray[Any]


@dataclass(frozen=True)
class _Failed:
    error: BaseException


class Feed:
    """Blocks that a thread reads, so that one who waits for them can do other things.

    `ahead` blocks are held at most; 0 holds all, since a microphone does not wait. The thread alone
    touches what it reads from, and lets go of it when the feed, a context manager, is left.
    """

    def __init__(self, blocks: Generator[Block, None, None], *, ahead: int = _AHEAD) -> None:
        self._queue: queue.Queue[Block | _Failed | None] = queue.Queue(ahead)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(blocks,), daemon=True)
        self._thread.start()
        self.is_over = False

    def get(self, timeout_s: float) -> Block | None:
        """The next block; None if none came in time, or if it `is_over`. Errors of the reader."""
        if self.is_over:
            return None
        try:
            found = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if found is None or isinstance(found, _Failed):
            self.is_over = True
            if found is not None:
                raise found.error
            return None
        return found

    def stop(self) -> None:
        """Read no more; what was read can still be had."""
        self._left.set()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_reason: object) -> None:
        self.stop()
        self._thread.join(_PATIENCE_S)  # it may wait for standard input

    def _read(self, blocks: Generator[Block, None, None]) -> None:
        try:
            with contextlib.closing(blocks):
                for block in blocks:
                    self._put(block)
                    if self._left.is_set():
                        return
        except BaseException as error:  # told by the thread that asks
            self._put(_Failed(error))
        else:
            self._put(None)

    def _put(self, what: Block | _Failed | None) -> None:
        while not self._left.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(what, timeout=0.1)
                return


def paced(
    blocks: Iterable[Block],
    speed: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[Block, None, None]:
    """Blocks at 16 kHz, each when its last sample would be spoken, at so many times real speed."""
    began = clock()
    spoken_s = 0.0
    for block in blocks:
        spoken_s += len(block) / 16_000
        ahead_s = spoken_s / speed - (clock() - began)
        if ahead_s > 0:
            sleep(ahead_s)
        yield block


def played(
    wave: Wave, speed: float | None, *, block_s: float = BLOCK_S
) -> Generator[Block, None, None]:
    """The blocks of a file; with a speed, paced."""
    with wave:
        blocks = wave.blocks(block_s)
        yield from blocks if speed is None else paced(blocks, speed)


def raw_blocks(rate_hz: int) -> Generator[Block, None, None]:
    """16-bit little-endian mono samples [T] of standard input, as they come."""
    rest = b""
    size = 2 * max(1, round(rate_hz * BLOCK_S))
    stream = sys.stdin.buffer
    read = getattr(stream, "read1", stream.read)  # what is there, without waiting for more
    while data := read(size):
        whole = rest + data
        rest = whole[len(whole) // 2 * 2 :]
        if len(whole) > 1:
            yield np.frombuffer(whole[: len(whole) // 2 * 2], "<i2")


def sound_card(instead: str) -> Any:
    """The package sounddevice; MissingExtra, or AudioError that names what to do `instead`."""
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtra("sounddevice", "listen") from error
    except OSError as error:
        raise AudioError(
            "the PortAudio library, by which the sound card is reached, is not installed "
            f"({first_line(error)}): install it (apt install libportaudio2), or {instead}"
        ) from error
    return sounddevice


def device_of(name: str | None) -> int | str | None:
    """A number, or a part of a name, as the sound card takes it."""
    return int(name) if name and name.isdigit() else name


class Microphone:
    """An input of the sound card, [T] float32 at its own rate.

    MissingExtra without the package sounddevice, AudioError without a sound card, which says what
    to do `instead`.
    """

    def __init__(
        self, device: str | None = None, *, block_s: float = BLOCK_S, instead: str = "give a FILE"
    ) -> None:
        self._sounddevice = sound_card(instead)
        self._device = device_of(device)
        self._block_s = block_s
        try:
            found = self._sounddevice.query_devices(self._device, "input")
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(
                f"no microphone was found ({first_line(error)}): connect one, name one by "
                f"--device, or {instead}"
            ) from error
        self.rate_hz = round(found["default_samplerate"])
        self.name = str(found["name"])

    def blocks(self) -> Generator[Block, None, None]:
        """What is heard from now on, without end; AudioError if the microphone vanishes."""
        heard: queue.Queue[Block] = queue.Queue()

        def callback(indata: Block, _frames: int, _time: Any, _status: Any) -> None:
            heard.put(indata[:, 0].copy())

        try:
            with self._sounddevice.InputStream(
                samplerate=self.rate_hz,
                blocksize=round(self.rate_hz * self._block_s),
                device=self._device,
                channels=1,
                dtype="float32",
                callback=callback,
            ) as stream:
                num_missed = 0
                while True:
                    try:
                        yield heard.get(timeout=1.0)
                        num_missed = 0
                    except queue.Empty:  # so that one who leaves is noticed
                        num_missed += 1
                        if num_missed >= _GONE_S or not stream.active:
                            raise AudioError(
                                f"the microphone {self.name} gives no sound any more: connect it "
                                "again, or name another by --device"
                            ) from None
                        yield np.zeros(0, np.float32)
        except self._sounddevice.PortAudioError as error:
            raise AudioError(
                f"the microphone {self.name} cannot be read ({first_line(error)}): let go of it "
                "in other programs, allow this one to use it, or name another by --device"
            ) from error
