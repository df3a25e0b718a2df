"""The page in Chromium, with a file and with a microphone that plays one, over a live server.

It needs `pip install playwright`, and a browser: Debian's `chromium`, or `playwright install
chromium`. Without either these tests are left out.
"""

import io
import json
import shutil
import wave
from contextlib import contextmanager

import numpy as np
import pytest
from tests.fakes import speech
from tests.serve import stand
from tests.serve.stand import running, wav

from mooer.transcript import Transcript

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@contextmanager
def browser(*arguments):
    with playwright.sync_playwright() as kit:
        try:
            one = kit.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", *arguments], headless=True
            )
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {error}"[:200])
        yield one
        one.close()


@contextmanager
def page_of(one, url, **options):
    """The page, which must not complain to the console, nor break its policy."""
    context = one.new_context(locale="en-US", accept_downloads=True, **options)
    page = context.new_page()
    complaints = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    page.wait_for_function("document.getElementById('model').options.length > 0")
    yield page
    assert complaints == []
    context.close()


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(wav(0.4, 3.0))
    return path


def test_a_file_is_shown_played_and_saved(clip):
    with running() as server, browser() as one, page_of(one, server.url) as page:
        page.set_input_files("#file", clip)
        page.wait_for_selector("#transcript li")
        page.wait_for_function("document.getElementById('status').textContent.startsWith('Done')")
        words = page.locator(".word")
        assert words.count() >= 3
        assert words.first.inner_text() == "four"
        words.nth(1).click()
        assert page.evaluate("document.getElementById('audio').currentTime") > 0.5
        page.keyboard.press("Space")
        page.wait_for_selector(".word.now")
        first = page.locator(".word.now").bounding_box()
        page.wait_for_function(
            "x => { const w = document.querySelector('.word.now');"
            " return w && w.getBoundingClientRect().x !== x; }",
            arg=first["x"],
        )
        page.keyboard.press("Space")
        assert page.evaluate("document.getElementById('audio').paused")
        drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"
        assert page.locator("#waveform").evaluate(drawn)
        found = {}
        for format in ("txt", "srt", "vtt", "json"):
            with page.expect_download() as download:
                page.click(f"[data-format={format}]")
            assert download.value.suggested_filename == f"talk.{format}"
            found[format] = download.value.path().read_text("utf-8")
        assert found["txt"].startswith("four four")
        assert "-->" in found["srt"]
        assert found["vtt"].startswith("WEBVTT")
        assert Transcript.from_json(found["json"]).text.startswith("four four")


@pytest.fixture
def microphone(tmp_path):
    """What Chromium plays, again and again, as if it were spoken."""
    path = tmp_path / "microphone.wav"
    samples = speech((1.0, 0), (3.0, 0.4), (2.0, 0), rate_hz=48_000)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48_000)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    )


def test_what_is_spoken_is_shown_while_it_is_said(microphone):
    with running() as server, browser(*microphone) as one, page_of(one, server.url) as page:
        page.click("#talk")
        page.wait_for_function("document.getElementById('open').textContent.trim().length > 0")
        page.wait_for_selector("#transcript li", timeout=20_000)
        assert page.locator("#talk").inner_text() == "Stop"
        page.keyboard.press("r")
        page.wait_for_function("document.getElementById('status').textContent.startsWith('Done')")
        assert page.locator("#save-sound").is_visible()
        assert page.locator("#audio").is_visible()
        assert page.evaluate("document.getElementById('audio').src").startswith("blob:")
        assert server.state.limits.num_sessions == 0


def test_a_server_that_goes_away_is_told(microphone):
    with browser(*microphone) as one, running() as server:
        context = one.new_context(locale="en-US")
        page = context.new_page()
        page.goto(server.url)
        page.click("#talk")
        page.wait_for_function(
            "document.getElementById('status').textContent.includes('Listening')"
        )
        server.server.should_exit = True
        page.wait_for_selector("#problem:not([hidden])", timeout=15_000)
        assert page.locator("#talk").inner_text() == "Talk"


def test_a_wrong_file_is_told_in_a_sentence(tmp_path):
    path = tmp_path / "talk.mp3"
    path.write_bytes(b"<html>" * 100)
    with running() as server, browser() as one:
        context = one.new_context(locale="en-US")
        page = context.new_page()
        page.goto(server.url)
        page.set_input_files("#file", path)
        page.wait_for_selector("#problem:not([hidden])")
        assert "web page" in page.locator("#problem").inner_text()
        assert page.locator("#choose").is_enabled()


def test_a_server_with_keys_asks_for_one(clip):
    with running(api_key="secret") as server, browser() as one:
        context = one.new_context(locale="en-US")
        page = context.new_page()
        page.goto(server.url)
        page.wait_for_selector("#key-row:not([hidden])")
        page.fill("#key", "secret")
        page.keyboard.press("Tab")
        page.wait_for_function("document.getElementById('model').options.length > 0")
        page.set_input_files("#file", clip)
        page.wait_for_selector("#transcript li")


def test_what_the_server_says_is_text(clip, monkeypatch):
    markup = "<img src=x onerror=alert(1)>"
    monkeypatch.setattr(stand, "WORDS", (markup,) * 10)
    with running() as server, browser() as one, page_of(one, server.url) as page:
        page.on("dialog", lambda dialog: pytest.fail("a script ran"))
        page.set_input_files("#file", clip)
        page.wait_for_selector("#transcript li")
        assert markup in page.locator("#transcript").inner_text()
        assert page.locator("#transcript img").count() == 0


def test_languages_themes_keys_and_a_telephone(clip):
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    with running() as server, browser() as one, page_of(one, server.url, **phone) as page:
        page.set_input_files("#file", clip)
        page.wait_for_selector("#transcript li")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.click("#speak-zh")
        assert page.locator("#choose").inner_text() == "选择文件"
        assert page.evaluate("document.documentElement.lang") == "zh-CN"
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.click("#theme")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        page.keyboard.press("?")
        assert page.locator("#keys").is_visible()
        page.keyboard.press("Escape")
        page.reload()
        assert page.locator("#choose").inner_text() == "选择文件"  # it is remembered


def test_samples_of_the_worklet_are_those_of_the_file():
    """The wav that the page writes is read by the house."""
    from mooer.audio.wave import read_wave

    with running() as server, browser() as one, page_of(one, server.url) as page:
        data = page.evaluate(
            """async () => {
                const { wav } = await import("/static/exports.js");
                const block = new Int16Array(1600).map((_, i) => (i % 100) * 100);
                return [...new Uint8Array(await wav([block, block], 16000).arrayBuffer())];
            }"""
        )
    samples = read_wave(io.BytesIO(bytes(data)))
    assert len(samples) == 3200
    assert json.dumps(round(float(samples.max()), 3)) == "0.302"
