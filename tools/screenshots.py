"""Pictures of the server's page for the README and docs: `docs/images/page-*.png`.

Everything in them is real: a server that this starts, the released models, speech that the server
itself spoke, `examples/zh.flac` into the microphone, and Chromium. Needs
`mooer[serve,speak]`, `pip install playwright`, and of Debian `chromium`, `pngquant`,
`fonts-noto-cjk` and `fonts-noto-color-emoji`:

    python tools/screenshots.py
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, expect, sync_playwright

from mooer.audio.resample import Resampler
from mooer.audio.wave import SAMPLE_RATE_HZ, read_wave

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 200_000
WAIT_MS = 180_000
PAUSE_S = 0.6
MICROPHONE_HZ = 48_000

# Two voices, a sentence at a time.
TALK = (
    ("jf_nezumi", "Good morning! Did you have time to read the report about our new office?"),
    ("jm_kumo", "Yes, I read it on the train this morning. It looks very good to me."),
    ("jf_nezumi", "I am glad to hear that. We can move in on the 25th of March."),
    ("jm_kumo", "Then let us tell everyone at the meeting on Friday."),
)


@contextmanager
def server() -> Iterator[str]:
    """A server of its own on a free port, and its address."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "mooer.cli.main", "serve", "--port", str(port)]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            time.sleep(0.5)
            if process.poll() is not None:
                raise SystemExit("the server ended before it was ready")
            try:
                urllib.request.urlopen(f"{url}/ready", timeout=5).close()
                break
            except OSError:
                continue
        yield url
    finally:
        process.terminate()
        process.wait(60)


def spoken(url: str) -> bytes:
    """The talk as a wav file, spoken by the server."""
    parts: list[bytes] = []
    for voice, text in TALK:
        body = {"model": "tts-1", "voice": voice, "input": text, "response_format": "wav"}
        headers = {"content-type": "application/json"}
        asked = urllib.request.Request(f"{url}/v1/audio/speech", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(asked, timeout=300) as answer:
            samples = read_wave(io.BytesIO(answer.read()))
        pause = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
        parts += [pcm16(samples), pcm16(pause)]
    return wav(b"".join(parts), SAMPLE_RATE_HZ)


def pcm16(samples: np.ndarray) -> bytes:
    """Float32 [T] as 16-bit samples."""
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def wav(data: bytes, rate_hz: int) -> bytes:
    """16-bit samples of one channel as a file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(data)
    return file.getvalue()


def microphone(path: Path) -> Path:
    """What Chromium takes for a microphone: `examples/zh.flac`, and silence behind it."""
    resampler = Resampler(SAMPLE_RATE_HZ, MICROPHONE_HZ)
    samples = read_wave(ROOT / "examples" / "zh.flac")
    heard = np.concatenate([resampler.push(samples), resampler.flush()])
    silence = np.zeros(30 * MICROPHONE_HZ, np.float32)
    path.write_bytes(wav(pcm16(np.concatenate([heard, silence])), MICROPHONE_HZ))
    return path


class Camera:
    """Takes pictures of the page of one server."""

    def __init__(self, browser: Browser, url: str, out: Path) -> None:
        self._browser, self._url, self._out = browser, url, out

    def page(self, width: int, height: int, language: str, scheme: str) -> Page:
        """A window; its language and whether it is dark are the browser's."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            locale=language,
            color_scheme="dark" if scheme == "dark" else "light",
            device_scale_factor=2 if width < 500 else 1.5,
            has_touch=width < 500,
        )
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.goto(self._url)
        page.wait_for_selector("#model option", state="attached")
        return page

    def take(self, page: Page, name: str) -> None:
        """`page-NAME.png`, with as few colours as it takes to be small."""
        path = self._out / f"page-{name}.png"
        page.screenshot(path=path)
        if shutil.which("pngquant"):
            command = ["pngquant", "--force", "--strip", "--speed", "1", "--ext", ".png", "128"]
            subprocess.run([*command, str(path)], check=True)
        size = path.stat().st_size
        print(f"{path}: {size / 1000:.0f} kB", file=sys.stderr)
        if size > MAX_BYTES:
            raise SystemExit(f"{path} is larger than {MAX_BYTES / 1000:.0f} kB: install pngquant")
        page.context.close()


def ask(page: Page, *ticks: str, to: str) -> None:
    """What the page is to do."""
    for name in ticks:
        page.check(f"#{name}")
    page.select_option("#to", to)


def played(page: Page, talk: bytes, word: int, done: str) -> None:
    """A transcript in the middle of playing."""
    page.set_input_files("#file", {"name": "office.wav", "mimeType": "audio/wav", "buffer": talk})
    expect(page.locator("#status")).to_contain_text(done, timeout=WAIT_MS)
    page.locator(".word").nth(word).click()
    page.mouse.move(0, 0)
    page.keyboard.press("Space")
    page.wait_for_timeout(300)


def conversed(page: Page) -> None:
    """A conversation: what the microphone says is answered, and where the time went is shown."""
    page.click("#converse")
    times = page.locator(".turn.agent .times summary").first
    times.wait_for()
    times.click()
    page.wait_for_timeout(500)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, server() as url, sync_playwright() as kit:
        arguments = [
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone(Path(folder) / 'talk.wav')}",
        ]
        browser = kit.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        camera = Camera(browser, url, out)
        talk = spoken(url)
        page = camera.page(1060, 1000, "en-US", "light")
        ask(page, "labels", "speakers", to="zh")
        played(page, talk, 20, "Done")
        camera.take(page, "recording")
        page = camera.page(390, 800, "zh-CN", "dark")
        ask(page, "labels", "speakers", to="zh")
        played(page, talk, 20, "完成")
        page.evaluate("document.getElementById('listening').scrollIntoView()")
        page.wait_for_timeout(800)
        camera.take(page, "phone")
        page = camera.page(1060, 700, "zh-CN", "light")
        page.click("#talk")
        expect(page.locator("#transcript li")).not_to_have_count(0, timeout=WAIT_MS)
        expect(page.locator("#open .partial")).not_to_be_empty(timeout=WAIT_MS)
        camera.take(page, "microphone")
        page = camera.page(1060, 760, "zh-CN", "light")
        conversed(page)
        camera.take(page, "conversation")
        browser.close()


if __name__ == "__main__":
    main()
