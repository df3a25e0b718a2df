"""A speech server in trouble: what becomes of answers, and how long it takes to be well again.

    python bench/serve.py faults --workers 2

Each fault has a server of its own with real weights, under load or before and after:

- a worker is killed (SIGKILL) under load; callers of the others must not notice
- the disk of uploads is full: a small file system, made here by root, or --small-disk
- the model's files are gone between unloading and loading, and come back
- the clock is set an hour ahead and two back under load and live captions (libfaketime, of Debian's
  package `faketime`; --faketime says where it is)
- the parent of the workers is killed: they answer what runs, and end by themselves

A wrong answer is a text that differs from the one before the fault, or a status that says something
else than what is wrong. An answer is lost if the connection ends without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from serve import Args, Clip, client_of, clips_of, ready, send, table

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
_LOAD_S = 20.0


@dataclass
class Outcome:
    """What a fault did."""

    right: int = 0
    wrong: int = 0
    lost: int = 0
    well_s: float = 0.0  # from the fault to the end of the last request that went wrong
    note: str = ""


async def run_faults(args: Args) -> None:
    """All faults, one after the other."""
    rows = []
    for name, fault in FAULTS.items():
        if args.only not in name:
            continue
        try:
            found = await fault(args)
        except SkippedError as error:
            rows.append([name, "", "", "", "", f"not tried: {error}"])
            continue
        rows.append([name, found.right, found.wrong, found.lost, f"{found.well_s:.1f}", found.note])
    table(["fault", "right answers", "wrong", "lost", "s until all are right", ""], rows)


class SkippedError(Exception):
    """What a fault needs is not here."""


@contextlib.asynccontextmanager
async def served(
    args: Args, *more: str, env: dict[str, str] | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, subprocess.Popen[bytes]]]:
    """A server of its own that is ready, and a client."""
    command = [sys.executable, "-m", "mooer.cli.main", "serve", "--port", str(args.port)]
    command += ["--model", args.model or "whisper-base", "--speaker", "none", *more]
    process = subprocess.Popen(command, env={**os.environ, **(env or {})})
    try:
        async with client_of(args, f"http://127.0.0.1:{args.port}") as client:
            await ready(client)
            yield client, process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()


async def loaded(
    client: httpx.AsyncClient, clips: list[Clip], fault: Callable[[], Awaitable[None]]
) -> Outcome:
    """Four callers, the fault in their midst, and what became of their answers."""
    texts = [(await send(client, clip, "")).json()["text"] for clip in clips]
    found = Outcome()
    began = time.monotonic()
    hit_at = began + 3

    async def caller() -> None:
        while time.monotonic() < began + _LOAD_S:
            for clip, text in zip(clips, texts, strict=True):
                try:
                    answer = await send(client, clip, "")
                    is_right = answer.status_code == 200 and answer.json()["text"] == text
                    found.right += is_right
                    found.wrong += not is_right
                except httpx.TransportError:
                    is_right = False
                    found.lost += 1
                    await asyncio.sleep(0.05)
                if not is_right:
                    found.well_s = max(found.well_s, time.monotonic() - hit_at)

    async def strike() -> None:
        await asyncio.sleep(hit_at - time.monotonic())
        await fault()

    await asyncio.gather(strike(), *(caller() for _ in range(4)))
    return found


async def worker_killed(args: Args) -> Outcome:
    """One of several workers."""
    async with served(args, "--workers", str(args.workers)) as (client, _):
        before = await workers_of(client, args.workers)

        again_s = 0.0

        async def kill() -> None:
            nonlocal again_s
            began = time.monotonic()
            os.kill(min(before), signal.SIGKILL)
            while not await workers_of(client, args.workers) - before:
                await asyncio.sleep(0.1)
            again_s = time.monotonic() - began

        found = await loaded(client, clips_of(args)[:4], kill)
        after = await workers_of(client, args.workers)
        found.note = f"{len(after - before)} new worker answered after {again_s:.1f} s"
    return found


async def workers_of(client: httpx.AsyncClient, num: int) -> set[int]:
    """Pids, once there are so many."""
    found: set[int] = set()
    for _ in range(100):
        with contextlib.suppress(httpx.TransportError):
            text = (await client.get("/metrics")).text
            pids = {int(pid) for pid in re.findall(r'worker="(\d+)"', text)}
            found = {pid for pid in pids if not is_zombie(pid)}
        if len(found) == num:
            break
        await asyncio.sleep(0.2)
    return found


async def disk_full(args: Args) -> Outcome:
    """Uploads have no room; then they have."""
    with small_disk(args) as folder:
        async with served(args, "--set", f"upload_dir={folder}") as (client, _):
            return await _around(client, clips_of(args)[0], _filled(folder), (507,))


@contextlib.asynccontextmanager
async def _filled(folder: Path) -> AsyncIterator[None]:
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(1 << 20))
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def small_disk(args: Args) -> Iterator[Path]:
    """A file system of 160 MB."""
    if args.small_disk is not None:
        yield args.small_disk
        return
    with tempfile.TemporaryDirectory() as name:
        command = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", name]
        if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
            raise SkippedError("it needs root, or --small-disk")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


async def model_gone(args: Args) -> Outcome:
    """Unloaded, and its files moved away; then they come back."""
    name = args.model or "whisper-base"
    cache = Path(os.environ.get("MOOER_HOME", "~/.cache/mooer")).expanduser() / "models"
    if not (cache / name).is_dir():
        raise SkippedError(f"{cache / name} is not there")
    with tempfile.TemporaryDirectory() as home:
        for model in cache.iterdir():
            (Path(home) / "models").mkdir(exist_ok=True)
            if model.name in (name, "silero-vad"):
                shutil.copytree(model, Path(home) / "models" / model.name)
        place = Path(home) / "models" / name

        @contextlib.asynccontextmanager
        async def gone() -> AsyncIterator[None]:
            (await client.post(f"/v1/models/{name}/unload")).raise_for_status()
            place.rename(place.with_name("away"))
            try:
                yield
            finally:
                shutil.rmtree(place, ignore_errors=True)
                place.with_name("away").rename(place)

        env = {"MOOER_HOME": home, "MOOER_OFFLINE": "1", "MOOER_SOURCES": "local"}
        async with served(args, env=env) as (client, _):
            return await _around(client, clips_of(args)[0], gone(), (503,))


async def _around(
    client: httpx.AsyncClient,
    clip: Clip,
    fault: contextlib.AbstractAsyncContextManager[None],
    meant: tuple[int, ...],
) -> Outcome:
    """Answers before, in and after a fault; in it they are of the statuses that are meant."""
    found = Outcome()
    text = (await send(client, clip, "")).json()["text"]
    async with fault:
        for _ in range(20):
            answer = await send(client, clip, "")
            found.right += answer.status_code in meant
            found.wrong += answer.status_code not in meant
        found.note = (
            f"meanwhile {answer.status_code}, health {(await client.get('/health')).status_code}"
        )
    began = time.monotonic()
    for _ in range(20):
        answer = await send(client, clip, "")
        is_right = answer.status_code == 200 and answer.json()["text"] == text
        found.right += is_right
        if is_right:
            found.well_s = found.well_s or time.monotonic() - began
        else:
            found.wrong += 1
            await asyncio.sleep(1)
    return found


async def clock_set(args: Args) -> Outcome:
    """An hour ahead, and two back; a stream of captions goes on meanwhile."""
    if not FAKETIME.is_file():
        raise SkippedError("it needs libfaketime (apt install faketime)")
    with tempfile.TemporaryDirectory() as folder:
        clock = Path(folder) / "clock"
        clock.write_text("+0", "ascii")
        env = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock)}
        env |= {"FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
        limits = ("--set", "limits.deadline_s=60", "--set", "limits.requests_per_minute=6000")
        async with served(args, *limits, env=env) as (client, _):
            stream = asyncio.create_task(captions(args, _LOAD_S))

            async def set_clock() -> None:
                for offset in ("+3600", "-3600", "+0"):
                    clock.write_text(offset, "ascii")
                    await asyncio.sleep(3)

            found = await loaded(client, clips_of(args)[:4], set_clock)
            seconds, code = await stream
            found.note = f"captions of {seconds:.0f} s ended with {code}"
            found.wrong += code != 1000
    return found


async def captions(args: Args, seconds: float) -> tuple[float, int | None]:
    """A live stream of silence: how long it was heard, and how it ended."""
    from websockets.asyncio.client import connect

    url = f"ws://127.0.0.1:{args.port}/v1/captions"
    headers = {"Authorization": f"Bearer {args.key}"}
    heard_s = 0.0
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        await socket.send(json.dumps({"type": "start", "language": "en"}))
        for _ in range(round(10 * seconds)):
            await socket.send(bytes(3200))
            await asyncio.sleep(0.1)
        await socket.send(json.dumps({"type": "end"}))
        async for text in socket:
            heard_s = json.loads(text).get("duration_s", heard_s)
    return heard_s, socket.close_code


async def parent_killed(args: Args) -> Outcome:
    """Those who are left end by themselves, once they have answered."""
    async with served(args, "--workers", str(args.workers)) as (client, process):
        workers = await workers_of(client, args.workers)
        clips = clips_of(args)[:1]
        text = (await send(client, clips[0], "")).json()["text"]
        running = [asyncio.create_task(send(client, clips[0], "")) for _ in range(4)]
        await asyncio.sleep(0.3)
        process.kill()
        began = time.monotonic()
        found = Outcome()
        for answer in await asyncio.gather(*running, return_exceptions=True):
            is_right = isinstance(answer, httpx.Response) and answer.status_code == 200
            found.right += is_right and answer.json()["text"] == text
            found.wrong += is_right and answer.json()["text"] != text
            found.lost += isinstance(answer, BaseException)
        while any(not is_zombie(pid) for pid in workers):
            if time.monotonic() > began + 60:
                found.note = "they did NOT end"
                return found
            await asyncio.sleep(0.1)
        found.note = f"all had ended after {time.monotonic() - began:.1f} s"
    return found


def is_zombie(pid: int) -> bool:
    """Whether it has ended, and nobody has asked."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return True


FAULTS = {
    "a worker is killed": worker_killed,
    "the disk is full": disk_full,
    "the model's files are gone": model_gone,
    "the clock is set": clock_set,
    "the parent of workers is killed": parent_killed,
}
