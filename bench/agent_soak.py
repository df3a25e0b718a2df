"""Many spoken conversations with a server at once, some of which vanish, for half an hour.

Each conversation has a word of its own, which it says again and again. Its transcripts must hold
that word and none of the others': else conversations are mixed. Clients vanish in the midst of
what they say or hear, and others take their places. Memory, descriptors and threads are the
server's own numbers (/metrics).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soxr
import websockets
from tables import table

from mooer.agent.staging import Clip, spoken
from mooer.speak import load_speaker
from serve import client_of, numbers_of

Args = argparse.Namespace

WORDS = ["elephant", "banana", "mountain", "orange", "window", "guitar", "hospital", "dragon"]
WORDS += ["umbrella", "tomato", "airplane", "kitchen", "computer", "garden", "dolphin", "pyramid"]
RATE_HZ = 24_000
_FRAME_S = 0.1
_VANISH = 0.25  # share of turns after which a client is gone without a word


@dataclass
class Tally:
    """What happened."""

    turns: Counter[str] = field(default_factory=Counter)  # said, heard, answered, vanished
    right: Counter[str] = field(default_factory=Counter)  # transcripts with the word
    mixed: list[str] = field(default_factory=list)  # with another's
    errors: Counter[str] = field(default_factory=Counter)
    numbers: list[dict[str, float]] = field(default_factory=list)


async def run_soak(args: Args) -> None:
    speaker = load_speaker(args.speaker)
    words = WORDS[: args.sessions]
    if len(words) < args.sessions:
        raise SystemExit(f"agent.py: at most {len(WORDS)} sessions have a word of their own")
    texts = [f"My favourite word is {word}." for word in words]
    clips = list(spoken(speaker, texts, "en", speaker.voices[:3]))
    tally = Tally()
    ends_at = time.monotonic() + 60 * args.minutes
    async with client_of(args) as client:
        work = [
            visitor(args, word, clip, tally, ends_at, place)
            for place, (word, clip) in enumerate(zip(words, clips, strict=True))
        ]
        await asyncio.gather(*work, measure(client, tally, ends_at))
        await asyncio.sleep(min(30, 6 * args.minutes))  # what is left of those who vanished
        tally.numbers.append(await numbers_of(client))
    report(args, tally)


async def measure(client: Any, tally: Tally, ends_at: float) -> None:
    while time.monotonic() < ends_at:
        tally.numbers.append(await numbers_of(client))
        await asyncio.sleep(5)


async def visitor(
    args: Args, word: str, clip: Clip, tally: Tally, ends_at: float, place: int
) -> None:
    """One conversation after the other with the same word."""
    order = random.Random(place)
    url = args.url.replace("http", "ws", 1) + "/v1/realtime"
    url += f"?model={args.model}" if args.model else ""
    headers = {"Authorization": f"Bearer {args.key}"}
    while time.monotonic() < ends_at:
        try:
            async with websockets.connect(url, additional_headers=headers, max_size=None) as socket:
                await converse(args, socket, word, clip, tally, ends_at, order)
        except (OSError, websockets.WebSocketException) as error:
            tally.errors[type(error).__name__] += 1
            await asyncio.sleep(1.0)


async def converse(
    args: Args,
    socket: Any,
    word: str,
    clip: Clip,
    tally: Tally,
    ends_at: float,
    order: random.Random,
) -> None:
    """Turns until the time is over or the client vanishes."""
    settings = {
        "type": "realtime",
        "instructions": "Answer in one short sentence.",
        "audio": {"input": {"transcription": {"model": "whisper-1"}}},  # else none are told
    }
    await socket.send(json.dumps({"type": "session.update", "session": settings}))
    reading = asyncio.create_task(read(socket, word, tally))
    try:
        while time.monotonic() < ends_at:
            tally.turns["said"] += 1
            leaves = order.random() < _VANISH
            quiet_s = order.uniform(*args.pause)
            await say(socket, clip, 0.3 * quiet_s if leaves else quiet_s)
            if leaves:
                tally.turns["vanished"] += 1
                socket.transport.abort()
                return
            if reading.done():
                return
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, websockets.WebSocketException):
            await reading


async def say(socket: Any, clip: Clip, quiet_s: float) -> None:
    """The sentence and silence behind it, at the speed of life."""
    samples = np.concatenate([clip.samples, np.zeros(round(16_000 * quiet_s), np.float32)])
    sound = (32767 * np.clip(soxr.resample(samples, 16_000, RATE_HZ), -1, 1)).astype("<i2")
    size = round(RATE_HZ * _FRAME_S)
    began = time.monotonic()
    for start in range(0, len(sound), size):
        audio = base64.b64encode(sound[start : start + size].tobytes()).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        await asyncio.sleep(max(0.0, began + (start + size) / RATE_HZ - time.monotonic()))


async def read(socket: Any, word: str, tally: Tally) -> None:
    """Every transcript is looked at."""
    async for message in socket:
        event = json.loads(message)
        kind = event["type"]
        if kind == "error":
            tally.errors[str(event["error"].get("code") or event["error"]["message"])[:60]] += 1
        elif kind == "conversation.item.input_audio_transcription.completed":
            tally.turns["heard"] += 1
            said = event["transcript"].lower()
            tally.right[word] += word in said
            tally.mixed += [f"{word}: {said}" for other in WORDS if other != word and other in said]
        elif kind == "response.done":
            tally.turns["answered"] += 1


def report(args: Args, tally: Tally) -> None:
    began = tally.numbers[0]["at"]
    warm_s = min(600.0, 20 * args.minutes)
    settled = next((n for n in tally.numbers if n["at"] - began >= warm_s), tally.numbers[-1])
    last = tally.numbers[-1]
    growth = 100 * (last["resident_bytes"] / max(1.0, settled["resident_bytes"]) - 1)
    rows = [["turns", json.dumps(tally.turns)]]
    rows.append(["transcripts with their own word", f"{tally.right.total()}"])
    rows.append(["transcripts with the word of another", str(len(tally.mixed))])
    rows.append(["errors", json.dumps(tally.errors)])
    rows.append(
        [f"memory after {warm_s / 60:.0f} minutes", f"{settled['resident_bytes'] / 1e6:.0f} MB"]
    )
    rows.append(["memory at the end", f"{last['resident_bytes'] / 1e6:.0f} MB ({growth:+.1f} %)"])
    for name in ("open_files", "threads", "running", "waiting"):
        rows.append([name, f"{settled[name]:.0f} -> {last[name]:.0f}"])
    table([f"{args.minutes:g} minutes, {args.sessions} conversations", ""], rows)
    for line in tally.mixed[:20]:
        print(f"mixed: {line}")
