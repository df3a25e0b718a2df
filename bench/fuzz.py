"""A speech server among people who send nonsense; tables as Markdown.

    mooer serve --model whisper-base --chat mini --set limits.idle_s=3 &
    python bench/fuzz.py uploads --count 5000
    python bench/fuzz.py frames --count 5000
    python bench/fuzz.py schema --count 300      # by schemathesis: pip install it

- uploads: requests that were good until something was done to them: the bytes of a recording (wav,
  flac, mp3, opus, m4a, webm), the form around it, its fields and length, JSON bodies of speech and
  chat.
- frames: messages of live streams on /v1/captions and /v1/realtime, some of them good, in sessions
  that end in many ways.
- schema: schemathesis on the server's own description, all its checks.

The case of a number is always the same for a --seed; --from goes on at one. What may not be: a 5xx
that is not meant (503, 504, 507), a case that takes more than --patience seconds, a good request
that is not answered as before, memory or descriptors that grow. The exit code says whether it was.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from mooer.audio.wave import SAMPLE_RATE_HZ, read_wave

EXAMPLES = Path(__file__).parents[1] / "examples"
HEARS = ("/v1/audio/transcriptions", "/v1/audio/translations")
MEANT = ("503", "504", "507")
CONTAINERS = {  # name -> FFmpeg's container and codec
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "m4a": ("mp4", "aac"),
    "webm": ("webm", "libopus"),
}
NASTY: tuple[Any, ...] = (
    "", " ", "\0", "\n", "null", "true", "-1", "0", "1e999", "nan", "9" * 5000, "a" * 9000,
    "../../etc/passwd", "http://169.254.169.254/", "file:///etc/passwd", "%s%n", "'; --", "😀" * 50,
    "\ud800", "{" * 5000, "[", "zh", "en", "auto", "whisper-1", "json", "verbose_json", "srt",
    None, True, -1, 0, 0.5, 10**400, 1e308, [], {}, [[]], [{}] * 50, {"type": "text"}, {"id": 1},
)  # fmt: skip
FIELDS = (
    "model", "language", "prompt", "temperature", "response_format", "stream", "keywords[]", "to",
    "timestamp_granularities[]", "chunking_strategy", "speakers", "align", "rich", "gender", "itn",
    "punctuate", "script", "url", "include[]", "file", "", "chunking_strategy[type]",
)  # fmt: skip
SPEECH = ("input", "model", "voice", "response_format", "speed", "stream_format", "instructions")
CHAT = (
    "model", "messages", "stream", "temperature", "max_tokens", "modalities", "audio", "n",
    "tools", "stop", "stream_options", "max_completion_tokens",
)  # fmt: skip
Args = argparse.Namespace


@dataclass
class Tally:
    """What came of it."""

    statuses: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def note(self, number: int, kind: str, status: str, took_s: float) -> None:
        """Count a case that ended so."""
        self.statuses[status] += 1
        self.slowest_s = max(self.slowest_s, took_s)
        code = status[-3:]
        if status in ("hangs", "none") or (code.isdigit() and code >= "500" and code not in MEANT):
            self.bad.append(f"{number} ({kind}): {status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("uploads", "frames", "schema"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("MOOER_API_KEY", "none"))
    parser.add_argument("--count", type=int, default=1000, help="cases; of schema, of an address")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds for a case")
    args = parser.parse_args()
    if args.command == "schema":
        asyncio.run(warmed(args))
        sys.exit(run_schema(args))
    sys.exit(asyncio.run(run(args)))


async def run(args: Args) -> int:
    """Cases by several callers, a good clip before and after, and the server's numbers."""
    tally = Tally()
    case = {"uploads": upload, "frames": session}[args.command]
    good = (EXAMPLES / "en.flac").read_bytes()
    files = containers()
    numbers = iter(range(args.first, args.first + args.count))
    headers = {"Authorization": f"Bearer {args.key}"}
    async with httpx.AsyncClient(base_url=args.url, timeout=300, headers=headers) as client:
        await warmed(args)
        text = await heard(client, good)
        await several(min(args.callers, args.count), numbers, args, case, files, tally, 0.1)
        before = await settled(client)
        await several(args.callers, numbers, args, case, files, tally, 1.0)
        after = await settled(client)
        is_well = await heard(client, good) == text
    rows: list[list[Any]] = [["cases", args.count], ["by status", shown(tally.statuses)]]
    rows += [["5xx that are not meant, no answers, and hangs", len(tally.bad)]]
    rows += [["slowest", f"{tally.slowest_s:.1f} s"]]
    for name in before:
        rows.append(
            [f"{name}, after a tenth of them and at the end", f"{before[name]} -> {after[name]}"]
        )
    rows.append(["a good clip at the end", "as before" if is_well else "WRONG"])
    table([f"{args.command}, seed {args.seed}, from {args.first}", ""], rows)
    print(*tally.bad[:20], sep="\n", file=sys.stderr)
    return int(bool(tally.bad) or not is_well)


Case = Callable[[int, Args, dict[str, bytes], Tally], Awaitable[None]]


async def several(
    num: int,
    numbers: Any,
    args: Args,
    case: Case,
    files: dict[str, bytes],
    tally: Tally,
    share: float,
) -> None:
    """So many at a time, up to a share of all."""
    ends = args.first + round(share * args.count)

    async def caller() -> None:
        for number in numbers:
            await case(number, args, files, tally)
            if number + num >= ends:
                return

    await asyncio.gather(*(caller() for _ in range(num)))


# --- uploads --------------------------------------------------------------------------------------


async def upload(number: int, args: Args, files: dict[str, bytes], tally: Tally) -> None:
    """One request, byte for byte as the case has it, on a connection of its own."""
    order = random.Random(f"{args.seed}/{number}")
    kind, data = request_of(order, files, args)
    began = time.perf_counter()
    try:
        status = await asyncio.wait_for(answered(args, data, order.random() < 0.1), args.patience)
    except asyncio.TimeoutError:
        status = "hangs"
    tally.note(number, kind, status, time.perf_counter() - began)


async def answered(args: Args, data: bytes, leaves: bool) -> str:
    """The status of the answer; of a stream whose last event is an error, that too."""
    url = httpx.URL(args.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(data)
        await writer.drain()
        if leaves:
            return "left"
        answer = await reader.read(1 << 20)
        while not reader.at_eof():
            answer = (answer + await reader.read(1 << 20))[-(1 << 20) :] if answer else b""
            answer = answer[:4096] + answer[-4096:]
    except (ConnectionError, OSError):
        return "cut off"
    finally:
        writer.transport.abort()
    if b'"internal_error"' in answer:
        return "500"
    return answer[9:12].decode("ascii", "replace") if answer else "none"


def request_of(order: random.Random, files: dict[str, bytes], args: Args) -> tuple[str, bytes]:
    """A request: a good one with one thing wrong, or several."""
    name = order.choice([*files])
    data = files[name]
    kind = order.choice(("bytes", "head", "cut", "mix", "form", "length", "fields", "json", "chat"))
    path, content_type = order.choice(HEARS), "multipart/form-data; boundary=xyz"
    if kind in ("json", "chat"):
        path = "/v1/audio/speech" if kind == "json" else "/v1/chat/completions"
        body, content_type = json_of(order, kind, files), "application/json"
    else:
        if kind in ("bytes", "head"):
            data = spoilt(data, order, 64 if kind == "head" else len(data))
        elif kind == "cut":
            data = data[: order.randrange(len(data))] * order.randint(1, 3)
        elif kind == "mix":
            other = files[order.choice([*files])]
            data = data[: order.randrange(len(data))] + other[order.randrange(len(other)) :]
        fields = [(f, order.choice(NASTY)) for f in order.choices(FIELDS, k=order.randint(1, 5))]
        body = form_of(data, fields if kind == "fields" else [("response_format", "json")])
        if kind == "form":
            body = spoilt(body, order, len(body) if order.random() < 0.5 else 120)
    length = str(len(body))
    if kind == "length":
        length = order.choice((str(len(body) // 2), str(2 * len(body)), "0", "-1", "9" * 30, "x"))
    if order.random() < 0.05:
        content_type = order.choice(("", "text/plain", "multipart/form-data", content_type[:-3]))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {httpx.URL(args.url).netloc.decode()}\r\n"
        f"Authorization: Bearer {args.key}\r\nConnection: close\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    return f"{kind} {name}", head.encode() + body


def spoilt(data: bytes, order: random.Random, among: int) -> bytes:
    """Some bytes of the first `among` changed, dropped, or doubled."""
    found = bytearray(data)
    for _ in range(order.choice((1, 2, 8, 64))):
        place = order.randrange(min(among, len(found)))
        what = order.random()
        if what < 0.7:
            found[place] = order.choice((0, 255, order.randrange(256)))
        elif what < 0.85:
            del found[place : place + order.randint(1, 16)]
        else:
            found[place:place] = found[place : place + order.randint(1, 16)]
        if not found:
            break
    return bytes(found)


def form_of(data: bytes, fields: list[tuple[str, Any]]) -> bytes:
    body = b""
    for name, value in fields:
        text = (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace")
        body += f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        body += text + b"\r\n"
    body += b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return body + data + b"\r\n--xyz--\r\n"


def json_of(order: random.Random, kind: str, files: dict[str, bytes]) -> bytes:
    """A body of speech or chat, with fields that make no sense."""
    if kind == "json":
        body: dict[str, Any] = {"input": "Good morning.", "voice": "alloy"}
        names = SPEECH
    else:
        sound = base64.b64encode(spoilt(files["mp3"], order, len(files["mp3"]))).decode()
        parts = [{"type": "input_audio", "input_audio": {"data": sound, "format": "mp3"}}]
        parts.append(
            order.choice(({"type": "text", "text": "What is said?"}, {}, None, {"type": 1}))
        )
        role = order.choice(("user", "user", "system", "assistant", None, 5))
        body = {"messages": [{"role": role, "content": parts}], "max_tokens": 8}
        names = CHAT
    for name in order.choices(names, k=order.randint(0, 3)):
        body[name] = order.choice(NASTY)
    data = json.dumps(body).encode()
    return spoilt(data, order, len(data)) if order.random() < 0.3 else data


def containers() -> dict[str, bytes]:
    """Three seconds of an example in each container."""
    import av

    samples = read_wave(EXAMPLES / "en.flac", max_s=3.0)
    pcm = np.round(samples * 32767).astype("<i2")
    found = {}
    for name, (container, codec) in CONTAINERS.items():
        data = io.BytesIO()
        with av.open(data, "w", format=container) as out:
            stream: Any = out.add_stream(
                codec, rate=48_000 if codec == "libopus" else SAMPLE_RATE_HZ
            )
            stream.layout = "mono"
            frame = av.AudioFrame.from_ndarray(pcm[None], "s16", "mono")
            frame.sample_rate = SAMPLE_RATE_HZ
            resampler = av.AudioResampler(stream.format, "mono", stream.rate)
            for one in (*resampler.resample(frame), *resampler.resample(None)):
                out.mux(stream.encode(one))
            out.mux(stream.encode(None))
        found[name] = data.getvalue()
    return found


# --- frames ---------------------------------------------------------------------------------------

STARTS = (
    "model", "encoding", "rate_hz", "channels", "language", "to", "labels", "itn", "punctuate",
    "hotwords", "prompt", "script", "step_s", "silence_s", "other",
)  # fmt: skip
EVENTS = (
    "session.update", "transcription_session.update", "input_audio_buffer.append",
    "input_audio_buffer.commit", "input_audio_buffer.clear", "response.create", "",
)  # fmt: skip
_FRAMES = 20  # of a session, at most


async def session(number: int, args: Args, files: dict[str, bytes], tally: Tally) -> None:
    """A session of up to twenty frames; each is a case. It ends well, ill, or not at all."""
    if number % _FRAMES:  # of the session that began before
        return
    order = random.Random(f"{args.seed}/{number}")
    path = order.choice(("/v1/captions", "/v1/realtime?intent=transcription"))
    began = time.perf_counter()
    try:
        status = await asyncio.wait_for(streamed(path, order, files, args), args.patience)
    except asyncio.TimeoutError:
        status = "hangs"
    tally.note(number, path, status, time.perf_counter() - began)
    if status == "closed 4429":  # those who left have their places until their last step is heard
        await asyncio.sleep(1)


async def streamed(path: str, order: random.Random, files: dict[str, bytes], args: Args) -> str:
    """How a session was closed."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, WebSocketException

    url = args.url.replace("http", "ws", 1) + path
    headers = {"Authorization": f"Bearer {args.key}"}
    try:
        async with connect(url, additional_headers=headers, close_timeout=2, proxy=None) as socket:
            reading = asyncio.create_task(swallow(socket))
            if "captions" in path and order.random() < 0.8:
                encoding = order.choice(("pcm16", "opus", "ogg", "pcmu"))
                await socket.send(json.dumps({"type": "start", "encoding": encoding}))
            for _ in range(_FRAMES):
                await push(socket, path, order, files)
            end = order.random()
            if end < 0.4:
                socket.transport.abort()
            elif end < 0.7:
                await socket.send(json.dumps({"type": "end"}))
                await asyncio.sleep(0.2)
            await socket.close()
            reading.cancel()
    except InvalidHandshake as error:
        return str(error)[-3:]
    except (WebSocketException, OSError, RuntimeError):  # closed, and who writes on is told so
        pass
    return f"closed {socket.close_code}"


async def swallow(socket: Any) -> None:
    with contextlib.suppress(Exception):
        async for _ in socket:
            pass


async def push(socket: Any, path: str, order: random.Random, files: dict[str, bytes]) -> None:
    """A frame: sound, garbage, or something between."""
    kind = order.choice(
        ("sound", "sound", "garbage", "opus", "json", "event", "pieces", "huge", "raw")
    )
    sound = files["wav"][44 + 2 * order.randrange(9000) :][: order.choice((1, 160, 3200, 32_000))]
    event = {"type": order.choice((*EVENTS, "start", "end", "flush", "ping", 5, None))}
    if kind == "sound" and "realtime" in path:
        audio = base64.b64encode(sound).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
    elif kind == "sound":
        await socket.send(sound)
    elif kind == "garbage":
        await socket.send(order.randbytes(order.choice((0, 1, 27, 500, 70_000))))
    elif kind == "opus":
        await socket.send(
            spoilt(files["opus"], order, len(files["opus"]))[: order.randint(1, 5000)]
        )
    elif kind == "json":
        text = json.dumps({"type": order.choice(EVENTS), "session": order.choice(NASTY)})
        await socket.send(spoilt(text.encode(), order, len(text)).decode("latin-1"))
    elif kind == "event":
        names = order.choices((*STARTS, "audio", "session", "event_id"), k=3)
        await socket.send(json.dumps(event | {name: order.choice(NASTY) for name in names}))
    elif kind == "pieces":
        await socket.send([sound[i : i + 100] for i in range(0, len(sound), 100)] or [b""])
    elif kind == "huge" and order.random() < 0.2:
        await socket.send(bytes(order.choice(((1 << 20) - 1, (1 << 20) + 1, 5 << 20))))
    elif kind == "raw" and order.random() < 0.2:
        socket.transport.write(order.randbytes(order.randint(1, 200)))
    await asyncio.sleep(0)


# --- schema ---------------------------------------------------------------------------------------

# Data that follows the description may still be no sound, no voice, or no question.
_CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 429, 503]
"""


def run_schema(args: Args) -> int:
    """The tool as a process; it prints for itself."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text(_CONFIG, "utf-8")
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"{args.url}/openapi.json", "--checks", "all", "--continue-on-failure"]
        command += ["--max-examples", str(args.count), "--seed", str(args.seed)]
        command += ["--request-timeout", str(args.patience), "--no-color"]
        command += ["--header", f"Authorization: Bearer {args.key}"]
        return subprocess.run(command, check=False).returncode


# --- numbers --------------------------------------------------------------------------------------


async def heard(client: httpx.AsyncClient, data: bytes) -> str:
    for _ in range(20):
        answer = await client.post(HEARS[0], files={"file": ("a.flac", data)})
        if answer.status_code != 429:
            break
        await asyncio.sleep(1)
    answer.raise_for_status()
    return str(answer.json()["text"])


async def warmed(args: Args) -> None:
    """Have all models loaded that a request may ask for."""
    headers = {"Authorization": f"Bearer {args.key}"}
    good = (EXAMPLES / "en.flac").read_bytes()
    async with httpx.AsyncClient(base_url=args.url, timeout=300, headers=headers) as client:
        for wish in ({"align": "true"}, {"speakers": "auto"}, {"rich": "true", "gender": "true"}):
            await client.post(HEARS[0], files={"file": good}, data=wish)
        await client.post("/v1/audio/speech", json={"input": "Good morning.", "voice": "alloy"})
        sound = {"data": base64.b64encode(good).decode(), "format": "flac"}
        content = [{"type": "input_audio", "input_audio": sound}]
        asked = {"messages": [{"role": "user", "content": content}], "max_tokens": 8}
        await client.post("/v1/chat/completions", json=asked)


async def settled(client: httpx.AsyncClient) -> dict[str, str]:
    """The server's numbers, when nothing runs any more."""
    for _ in range(120):
        found = await numbers_of(client)
        if not found["running"] + found["waiting"] + found["sessions"]:
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(2)
    found = await numbers_of(client)
    found["MB"] = round(found.pop("resident_bytes") / 1e6)
    return {name: f"{value:g}" for name, value in found.items()}


async def numbers_of(client: httpx.AsyncClient) -> dict[str, float]:
    text = (await client.get("/metrics")).text
    names = ("resident_bytes", "open_files", "threads", "running", "waiting", "sessions")
    values = {name: re.findall(rf"^mooer_{name}\{{[^}}]*\}} (\S+)", text, re.M) for name in names}
    return {name: sum(map(float, found)) for name, found in values.items()}


def shown(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {num}" for name, num in sorted(counts.items()))


def table(header: list[str], rows: list[list[Any]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
