"""Live captions under load: how many streams at real speed until words come late; as a table.

    mooer serve --model whisper-base --speaker none &
    python bench/captions.py --streams 1 2 4 8 --shared ../shared
    python bench/captions.py --streams 8 16      # a server with --model rich-mini
                                                 # and --set limits.max_sessions_each=32

Every stream plays clips one after the other over a WebSocket, in blocks of 0.1 s as a microphone
would, each beginning at another moment. Latency is from the end of a word in the sound (by its
label) to when it was first received as it stays; columns are those of bench/stream.py. Client and
server share the machine, as its processor time tells.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import websockets
from stream import Played, Show, Timed, Total, rows_of, seen_at_once
from tables import table

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.decoding.commit import bare
from mooer.text import join_text

Args = argparse.Namespace
Row = dict[str, Any]
BLOCK_S = 0.1
PAUSE_S = 1.2  # of silence behind a clip, as a person leaves it
TOGETHER_S = 0.03  # messages that come so close are of one step, and seen as one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:8000/v1/captions")
    parser.add_argument("--key", default=os.environ.get("MOOER_API_KEY", "none"))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--set", default="timit_sample", help="clips whose words have times")
    parser.add_argument("--model", help="as the server calls it")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 6, 8])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each number of streams")
    args = parser.parse_args()
    args.limit = args.max_s = None
    rows = rows_of(args, args.set)
    lines = ([num, *asyncio.run(at_once(args, rows, num))] for num in args.streams)
    header = ["streams", "words", "first, s (50 / 95 %)", "last, s (50 / 95 %)", "changed, %"]
    table([*header, "error, %"], lines)


async def at_once(args: Args, rows: list[Row], num: int) -> list[Any]:
    """So many streams side by side."""
    total = Total()
    ends_at = time.monotonic() + args.seconds

    async def person(place: int) -> None:
        order = random.Random(place)
        await asyncio.sleep(order.random() * 3)
        while time.monotonic() < ends_at:
            row = order.choice(rows)
            start = {"model": args.model, "language": row["language"]}
            played = await play(args.url, args.key, row["samples"], start)
            total.add(row, played, ())

    await asyncio.gather(*(person(i) for i in range(num)))
    return total.cells()[:5]


async def play(
    url: str, key: str, samples: np.ndarray, start: Row, *, is_live: bool = True
) -> Played:
    """One clip through one connection; as fast as it is taken if it is not live."""
    shows: list[Show] = []
    finals: list[Timed] = []
    texts: list[str] = []
    headers = {"Authorization": f"Bearer {key}"}
    async with websockets.connect(url, additional_headers=headers) as socket:
        await socket.send(json.dumps({"type": "start", **start}))
        _check(json.loads(await socket.recv()))
        began = time.monotonic()
        sending = asyncio.create_task(_send(socket, samples, began, is_live=is_live))
        try:
            await _read(socket, began, shows, finals, texts)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    sound_s = len(samples) / SAMPLE_RATE_HZ
    return Played(seen_at_once(shows), finals, join_text(texts), 0.0, sound_s, False)


async def _read(
    socket: Any, began: float, shows: list[Show], finals: list[Timed], texts: list[str]
) -> None:
    async for data in socket:
        message = json.loads(data)
        now_s = time.monotonic() - began
        kind = message["type"]
        if kind == "said":
            texts.append(message["segment"]["text"])
        elif kind in ("partial", "final"):
            words = message["words"]
            if shows and now_s - shows[-1][0] < TOGETHER_S:
                now_s = shows[-1][0]
            shows.append((now_s, len(finals), tuple(bare(w["text"]) for w in words)))
            if kind == "final":
                finals += [(w["text"], w["start_s"], w["end_s"]) for w in words]
        _check(message)


def _check(message: Row) -> None:
    if message["type"] == "error":
        raise SystemExit(f"the server says: {message['error']['message']}")


async def _send(socket: Any, samples: np.ndarray, began: float, *, is_live: bool) -> None:
    size = round(BLOCK_S * SAMPLE_RATE_HZ)
    tail = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
    pcm = (np.concatenate([samples, tail]) * 32767).astype("<i2")
    for place in range(0, len(pcm), size):
        block = pcm[place : place + size]
        spoken_at = began + (place + len(block)) / SAMPLE_RATE_HZ
        if is_live:
            await asyncio.sleep(spoken_at - time.monotonic())
        await socket.send(block.tobytes())
    await socket.send(json.dumps({"type": "end"}))


if __name__ == "__main__":
    main()
