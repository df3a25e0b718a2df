"""A speech server under load, for an hour, and in trouble; tables as Markdown.

    mooer serve --model whisper-base &
    python bench/serve.py load --url http://127.0.0.1:8000 --shared ../shared
    python bench/serve.py load --url http://127.0.0.1:8001 --name rival      # bench/rival_server.py
    python bench/serve.py soak --minutes 60
    python bench/serve.py faults --workers 2

- load: so many callers, each sending one clip after the other as soon as it has its answer.
  Throughput is seconds of sound answered a second; latency is from the first byte sent to the last
  byte read.
- soak: good clients beside those that vanish in mid-upload or mid-answer, stall, or send garbage.
  Memory, descriptors and threads are the server's own numbers (/metrics); every request that was
  accepted must have exactly one answer, and a good clip always the same text.
- faults: servers of its own in trouble: see bench/faults.py.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from captions import play
from tables import table

from mooer.audio.wave import SAMPLE_RATE_HZ, read_wave

PATH = "/v1/audio/transcriptions"
CALLERS = (1, 4, 16, 64)
Args = argparse.Namespace


@dataclass(frozen=True)
class Clip:
    """A recording to send."""

    name: str
    data: bytes
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--sets", nargs="+", default=["timit_sample", "aishell"])
    parser.add_argument("--clips", type=int, default=40, help="different ones")
    parser.add_argument("--model", default="", help="as the server calls it")
    parser.add_argument("--key", default=os.environ.get("MOOER_API_KEY", "none"))
    commands = parser.add_subparsers(dest="command", required=True)
    load = commands.add_parser("load")
    load.add_argument("--callers", type=int, nargs="+", default=CALLERS)
    load.add_argument("--seconds", type=float, default=60.0, help="for each number of callers")
    load.add_argument("--name", default="mooer")
    soak = commands.add_parser("soak")
    soak.add_argument("--minutes", type=float, default=60.0)
    soak.add_argument("--good", type=int, default=6, help="well-behaved callers")
    soak.add_argument("--bad", type=int, default=4, help="others")
    soak.add_argument("--streams", type=int, default=2, help="live captions")
    faults = commands.add_parser("faults")
    faults.add_argument("--workers", type=int, default=2)
    faults.add_argument("--small-disk", type=Path, help="folder on a file system of some 150 MB")
    faults.add_argument("--only", default="", help="words in the name of a fault")
    faults.add_argument("--port", type=int, default=8099)
    args = parser.parse_args()
    if args.command == "faults":
        from faults import run_faults

        asyncio.run(run_faults(args))
        return
    asyncio.run({"load": run_load, "soak": run_soak}[args.command](args))


def clips_of(args: Args) -> list[Clip]:
    """Recordings of the shared sets, or, where there are none, of the examples."""
    paths: list[Path] = []
    for name in args.sets:
        folder = args.shared / "data" / name
        paths += sorted(p for p in folder.rglob("*") if p.suffix in (".wav", ".flac", ".mp3"))
    if not paths:
        paths = sorted((Path(__file__).parents[1] / "examples").glob("*.flac"))
    random.Random(0).shuffle(paths)
    found = []
    for path in paths[: args.clips]:
        seconds = len(read_wave(path)) / SAMPLE_RATE_HZ
        found.append(Clip(path.name, path.read_bytes(), seconds))
    return found


def client_of(args: Args, url: str = "") -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=256)
    headers = {"Authorization": f"Bearer {args.key}"}
    return httpx.AsyncClient(base_url=url or args.url, timeout=300, limits=limits, headers=headers)


async def send(client: httpx.AsyncClient, clip: Clip, model: str) -> httpx.Response:
    form = {"response_format": "json", **({"model": model} if model else {"model": "whisper-1"})}
    return await client.post(PATH, files={"file": (clip.name, clip.data)}, data=form)


# --- load -----------------------------------------------------------------------------------------


async def run_load(args: Args) -> None:
    clips = clips_of(args)
    rows = []
    async with client_of(args) as client:
        for clip in clips[:3]:  # what is loaded at the first request
            (await send(client, clip, args.model)).raise_for_status()
        for num in args.callers:
            rows.append([args.name, num, *await loaded(client, clips, num, args)])
    header = [
        "server",
        "callers",
        "audio s / s",
        "requests / s",
        "latency, s (50 / 95 %)",
        "refused",
    ]
    table(header, rows)


async def loaded(client: httpx.AsyncClient, clips: list[Clip], num: int, args: Args) -> list[str]:
    latencies: list[float] = []
    heard_s, refused = 0.0, 0
    began = time.perf_counter()
    ends_at = began + args.seconds

    async def caller(place: int) -> None:
        nonlocal heard_s, refused
        order = random.Random(place)
        while time.perf_counter() < ends_at:
            clip = order.choice(clips)
            sent = time.perf_counter()
            answer = await send(client, clip, args.model)
            if answer.status_code == 429:
                refused += 1
                await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
                continue
            answer.raise_for_status()
            latencies.append(time.perf_counter() - sent)
            heard_s += clip.seconds

    await asyncio.gather(*(caller(i) for i in range(num)))
    took_s = time.perf_counter() - began
    return [
        f"{heard_s / took_s:.2f}",
        f"{len(latencies) / took_s:.2f}",
        f"{statistics.median(latencies):.2f} / {np.percentile(latencies, 95):.2f}",
        str(refused),
    ]


# --- soak -----------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What happened."""

    sent: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    numbers: list[dict[str, float]] = field(default_factory=list)


async def run_soak(args: Args) -> None:
    clips = clips_of(args)
    tally = Tally()
    async with client_of(args) as client:
        texts = {}
        for clip in clips:
            texts[clip.name] = (await send(client, clip, args.model)).json()["text"]
        ends_at = time.monotonic() + 60 * args.minutes
        work = [good(client, clips, texts, tally, i, ends_at, args) for i in range(args.good)]
        work += [bad(client, clips, tally, i, ends_at, args) for i in range(args.bad)]
        work += [streaming(clips, tally, i, ends_at, args) for i in range(args.streams)]
        work.append(measure(client, tally, ends_at))
        await asyncio.gather(*work)
        await asyncio.sleep(10)
        tally.numbers.append(await numbers_of(client))
    report(args, tally)


async def good(
    client: httpx.AsyncClient,
    clips: list[Clip],
    texts: dict[str, str],
    tally: Tally,
    place: int,
    ends_at: float,
    args: Args,
) -> None:
    order = random.Random(place)
    while time.monotonic() < ends_at:
        clip = order.choice(clips)
        tally.sent["good"] += 1
        answer = await send(client, clip, args.model)
        tally.answers[f"good {answer.status_code}"] += 1
        if answer.status_code == 200 and answer.json()["text"] != texts[clip.name]:
            tally.wrong.append(clip.name)
        if answer.status_code == 429:
            await asyncio.sleep(float(answer.headers["retry-after"]))


async def streaming(
    clips: list[Clip], tally: Tally, place: int, ends_at: float, args: Args
) -> None:
    """A live stream after the other at real speed, of which every fourth breaks off."""
    url = args.url.replace("http", "ws", 1) + "/v1/captions"
    order = random.Random(2000 + place)
    start = {"model": args.model} if args.model else {}
    while time.monotonic() < ends_at:
        clip = order.choice(clips)
        samples = read_wave(clip.data)
        if order.random() < 0.25:
            tally.sent["broken stream"] += 1
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(play(url, args.key, samples, start), 0.7 * clip.seconds)
        else:
            tally.sent["stream"] += 1
            await play(url, args.key, samples, start)
            tally.answers["stream done"] += 1


async def bad(
    client: httpx.AsyncClient,
    clips: list[Clip],
    tally: Tally,
    place: int,
    ends_at: float,
    args: Args,
) -> None:
    order = random.Random(1000 + place)
    kinds = ("vanish", "half", "stall", "garbage", "mutated")
    while time.monotonic() < ends_at:
        kind = order.choice(kinds)
        clip = order.choice(clips)
        tally.sent[kind] += 1
        if kind in ("garbage", "mutated"):
            data = order.randbytes(5000) if kind == "garbage" else mutated(clip.data, order)
            answer = await send(client, Clip("x", data, 0), args.model)
            tally.answers[f"{kind} {answer.status_code}"] += 1
            if answer.status_code >= 500 and answer.status_code != 503:
                tally.wrong.append(f"{kind}: {answer.status_code}")
        else:
            await misbehave(args, clip, kind, order)
        await asyncio.sleep(order.random())


async def misbehave(args: Args, clip: Clip, kind: str, order: random.Random) -> None:
    """A raw connection: leave while the answer is made, send a half, or send it by drops."""
    url = httpx.URL(args.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body += clip.data + b"\r\n--x--\r\n"
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nAuthorization: Bearer {args.key}"
        f"\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode())
    try:
        if kind == "vanish":
            writer.write(body)
            await writer.drain()
            await asyncio.sleep(order.random())
        elif kind == "half":
            writer.write(body[: len(body) // 2])
            await writer.drain()
        else:
            for start in range(0, 50):
                writer.write(body[start : start + 1])
                await writer.drain()
                await asyncio.sleep(0.2)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


def mutated(data: bytes, order: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(order.randint(1, 30)):
        found[order.randrange(len(found))] = order.randrange(256)
    return bytes(found[: order.randint(1, len(found))])


async def measure(client: httpx.AsyncClient, tally: Tally, ends_at: float) -> None:
    while time.monotonic() < ends_at:
        tally.numbers.append(await numbers_of(client))
        await asyncio.sleep(10)


async def numbers_of(client: httpx.AsyncClient) -> dict[str, float]:
    text = (await client.get("/metrics")).text
    found = {"at": time.monotonic()}
    names = ("resident_bytes", "open_files", "threads", "running", "waiting")
    for name in names:
        values = re.findall(rf"^mooer_{name}\{{[^}}]*\}} ([0-9.e+]+)", text, re.M)
        found[name] = sum(map(float, values))
    return found


def report(args: Args, tally: Tally) -> None:
    began = tally.numbers[0]["at"]
    settled = next(
        (n for n in tally.numbers if n["at"] - began > min(600, 10 * args.minutes)),
        tally.numbers[0],
    )
    last = tally.numbers[-1]
    early, late = (memory(tally.numbers, n["at"]) for n in (settled, last))
    rows = [["requests sent", json.dumps(tally.sent)], ["answers", json.dumps(tally.answers)]]
    rows.append(["answers missing or doubled", str(missing(tally))])
    rows.append(["wrong answers", str(len(tally.wrong))])
    rows.append(["memory after 10 minutes", f"{early / 1e6:.0f} MB"])
    growth = 100 * (late / max(1.0, early) - 1)
    rows.append(["memory at the end", f"{late / 1e6:.0f} MB ({growth:+.1f} %)"])
    for name in ("open_files", "threads", "running", "waiting"):
        rows.append([name, f"{settled[name]:.0f} -> {last[name]:.0f}"])
    table([f"{args.minutes:g} minutes", ""], rows)
    Path("soak.json").write_text(json.dumps(tally.numbers), "utf-8")


def memory(numbers: list[dict[str, float]], at: float) -> float:
    """Median of the five minutes before: what is being worked on at one moment is worth 100 MB."""
    return statistics.median(n["resident_bytes"] for n in numbers if at - 300 <= n["at"] <= at)


def missing(tally: Tally) -> int:
    answered = Counter[str]()
    for name, num in tally.answers.items():
        answered[name.split()[0]] += num
    return sum(abs(tally.sent[k] - answered[k]) for k in ("good", "garbage", "mutated", "stream"))


async def ready(client: httpx.AsyncClient) -> None:
    for _ in range(600):
        try:
            if (await client.get("/ready")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.2)
    raise SystemExit("the server does not start")


if __name__ == "__main__":
    main()
