"""The page in Chromium, with files and with a microphone that plays one, over live servers.

It needs `pip install playwright`, which drives Debian's `chromium` (or `playwright install
chromium`). Without either these tests are left out, but in continuous integration they fail.
"""

import base64
import io
import json
import os
import re
import shutil
import wave
from contextlib import contextmanager

import numpy as np
import pytest
from tests.fakes import speech
from tests.serve import stand
from tests.serve.stand import running, wav

from mooer.serve.settings import LimitOptions
from mooer.transcript import Transcript

try:
    from playwright import sync_api
    from playwright.sync_api import expect
except ImportError:
    sync_api = None

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
IS_CI = os.environ.get("CI") == "true"
FOREIGN = "speech.example"  # a name that is not this machine's to a browser

pytestmark = [
    pytest.mark.skipif(sync_api is None and not IS_CI, reason="needs playwright"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium; its microphone is a file, again and again: a second of silence, three of speech."""
    assert sync_api is not None, "playwright is not installed: pip install playwright"
    path = tmp_path_factory.mktemp("microphone") / "talk.wav"
    samples = speech((1.0, 0), (3.0, 0.4), (2.0, 0), rate_hz=48_000)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48_000)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    arguments = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
        f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1",
    ]
    with sync_api.sync_playwright() as kit:
        try:
            one = kit.chromium.launch(executable_path=CHROMIUM, args=arguments)
        except sync_api.Error as error:
            (pytest.fail if IS_CI else pytest.skip)(f"no Chromium: {error}"[:200])
        yield one
        one.close()


@contextmanager
def page_of(browser, url, *allowed, **options):
    """The page. It may call nobody but its server, and complain of nothing but what is allowed."""
    context = browser.new_context(locale="en-US", **options)
    context.set_default_timeout(10_000)
    page = context.new_page()
    complaints, elsewhere = [], []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: elsewhere.append(asked.url))
    page.goto(url)
    yield page
    context.close()
    assert [one for one in complaints if not any(word in one for word in allowed)] == []
    assert [one for one in elsewhere if not one.startswith((url, "blob:"))] == []


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(wav(0.4, 3.0))
    return path


def status(page):
    return expect(page.locator("#status"))


def drop(page, name, data):
    """What a person does with a file and a mouse."""
    files = page.evaluate_handle(
        """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
            const found = new DataTransfer();
            found.items.add(new File([bytes], name));
            return found;
        }""",
        [name, base64.b64encode(data).decode()],
    )
    page.dispatch_event("#drop", "dragover", {"dataTransfer": files})
    expect(page.locator("#drop")).to_have_class("drop over")
    page.dispatch_event("#drop", "drop", {"dataTransfer": files})


def test_a_file_is_dropped_played_and_saved(browser):
    with running() as server, page_of(browser, server.url) as page:
        page.uncheck("#itn")
        drop(page, "talk.wav", wav(0.4, 3.0))
        status(page).to_have_text("Done: one sentence in 0:04.")
        words = page.locator(".word")
        assert words.count() >= 3
        assert words.first.inner_text() == "four"
        words.nth(1).click()
        assert page.evaluate("document.getElementById('audio').currentTime") > 0.5
        expect(words.nth(1)).to_have_class("word now")
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        expect(words.nth(2)).to_have_class("word now")  # the mark went on by itself
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


def test_keys_seek_and_the_slider_is_one(browser, clip):
    where = "document.getElementById('audio').currentTime"
    with running() as server, page_of(browser, server.url) as page:
        page.set_input_files("#file", clip)
        status(page).to_contain_text("Done")
        expect(page.locator("#clock")).to_have_text("0:00 / 0:04")
        page.locator("body").press("ArrowRight")
        assert page.evaluate(where) > 3.9
        page.locator("body").press("ArrowLeft")
        assert page.evaluate(where) == 0
        page.locator("body").press("ArrowDown")
        assert page.evaluate(where) > 0.1
        slider = page.get_by_role("slider", name="Position in the sound")
        slider.press("End")
        assert float(slider.get_attribute("aria-valuenow")) > 3.9
        assert slider.get_attribute("aria-valuetext") == "0:03 of 0:04"
        slider.press("Home")
        slider.click(position={"x": slider.bounding_box()["width"] / 2, "y": 10})
        assert page.evaluate(where) == pytest.approx(2.0, abs=0.1)
        expect(page.locator("#clock")).to_contain_text(re.compile("0:0[12] / 0:04"))


def test_what_can_be_pressed_has_a_name_and_shows_that_it_is_focused(browser, clip):
    with running() as server, page_of(browser, server.url) as page:
        page.set_input_files("#file", clip)
        status(page).to_contain_text("Done")
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, canvas, progress")]
                .filter((one) => one.type !== "file" && !(one.getAttribute("aria-label") ||
                    one.textContent.trim() || one.labels?.[0]?.textContent.trim()))
                .map((one) => one.outerHTML)"""
        )
        assert nameless == []
        page.locator("body").press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        for _ in range(3):
            page.keyboard.press("Tab")
            style = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(style) == "solid"
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#keys")).to_be_hidden()


def word(text, start, end):
    return {"word": text, "start": start, "end": end, "probability": 0.9}


TALK = [
    {
        "type": "transcript.text.segment",
        "start": 0.5,
        "end": 2.0,
        "language": "en",
        "original": "Good morning.",
        "text": "早上好。",
        "speaker": "S1",
        "emotion": {"name": "happy", "probability": 0.91},
        "words": [word("Good", 0.5, 1.0), word("morning.", 1.0, 2.0)],
    },
    {
        "type": "transcript.text.segment",
        "start": 2.0,
        "end": 3.5,
        "language": "en",
        "original": "It is 25.",
        "text": "二十五。",
        "speaker": "S2",
        "events": [{"name": "laughter", "start": 3.0, "end": 3.5, "probability": 0.8}],
        "words": [
            word("It", 2.0, 2.2),
            word("is", 2.2, 2.5),
            word("twenty", 2.5, 3.0),
            word("five.", 3.0, 3.5),
        ],
    },
    {"type": "transcript.text.done", "text": "", "language": "en", "duration": 4.0},
]


def test_translations_speakers_and_labels_stand_beside_the_words(browser, clip):
    events = "".join(f"data: {json.dumps(event)}\n\n" for event in TALK)
    with running() as server, page_of(browser, server.url) as page:
        page.route(
            "**/v1/audio/translations",
            lambda route: route.fulfill(body=events, content_type="text/event-stream"),
        )
        page.select_option("#to", "zh")
        for name in ("#labels", "#speakers"):
            page.check(name)
        with page.expect_request("**/v1/audio/translations") as asked:
            page.set_input_files("#file", clip)
        form = asked.value.post_data_buffer.decode("latin1")
        for field in ("speakers", "rich", "to", "timestamp_granularities[]"):
            assert f'name="{field}"' in form
        status(page).to_contain_text("Done: 2 sentences")
        rows = page.locator("#transcript li")
        said, translation = (rows.first.locator(one) for one in (".words", ".translation"))
        assert said.bounding_box()["x"] < translation.bounding_box()["x"]
        assert said.inner_text() == "Good morning."
        assert translation.inner_text() == "早上好。"
        colour = "one => getComputedStyle(one).color"
        colours = [one.evaluate(colour) for one in page.locator(".speaker").all()]
        assert len(set(colours)) == 2
        assert rows.first.locator(".chip").inner_text() == "😊 happy"
        assert rows.nth(1).locator(".chip").inner_text() == "😄 laughter"
        number = rows.nth(1).locator(".word", has_text="25.")  # one word for two
        assert number.get_attribute("data-at") == "2.5"
        with page.expect_download() as download:
            page.click("[data-format=srt]")
        assert "S1: Good morning.\n早上好。\n" in download.value.path().read_text("utf-8")
        page.click("#speak-zh")
        assert rows.first.locator(".marks").inner_text().split() == ["说话人", "1", "😊", "高兴"]


def test_a_model_without_times_of_words_is_asked_once_more(browser, clip):
    problem = {"message": "no times", "code": "no_word_times", "type": "", "param": None}
    with running() as server, page_of(browser, server.url, "400") as page:
        forms = []

        def answer(route):
            forms.append(route.request.post_data_buffer.decode("latin1"))
            if len(forms) == 1:
                route.fulfill(status=400, json={"error": problem})
            else:
                route.continue_()

        page.route("**/v1/audio/transcriptions", answer)
        page.set_input_files("#file", clip)
        status(page).to_contain_text("Done")
    assert [form.count("\r\nword\r\n") for form in forms] == [1, 0]


def test_progress_is_shown_and_work_can_be_stopped(browser, clip):
    with running() as server, page_of(browser, server.url) as page:
        server.models.whisper.gate.clear()
        page.set_input_files("#file", clip)
        status(page).to_have_text("Listening to talk.wav …")
        expect(page.get_by_role("progressbar")).to_be_visible()
        expect(page.locator("#choose")).to_be_disabled()
        page.click("#stop")
        status(page).to_contain_text("Stopped")
        server.models.whisper.gate.set()
        expect(page.locator("#progress")).to_be_hidden()
        stand.until(lambda: server.state.limits.num_running == 0)


def test_what_is_spoken_is_shown_while_it_is_said(browser):
    with running() as server, page_of(browser, server.url) as page:
        page.click("#talk")
        partial = page.locator("#open .partial")
        expect(partial).to_contain_text(re.compile("three|four"))  # the browser sets the level
        shade = "one => [getComputedStyle(one).color, getComputedStyle(one).opacity].join()"
        assert partial.evaluate(shade) != page.locator("#open .final").evaluate(shade)
        expect(page.locator("#talk")).to_have_text("Stop")
        expect(page.locator("#transcript li")).not_to_have_count(0, timeout=20_000)
        status(page).to_have_text("Listening.")
        page.keyboard.press("r")
        status(page).to_contain_text("Done")
        expect(page.locator("#save-sound")).to_be_visible()
        expect(page.locator("#play")).to_be_enabled()
        with page.expect_download() as download:
            page.click("#save-sound")
        assert download.value.path().read_bytes()[:4] == b"RIFF"
        stand.until(lambda: server.state.limits.num_sessions == 0)


def test_a_server_that_goes_away_is_told(browser):
    with running() as server, page_of(browser, server.url, "WebSocket") as page:
        page.click("#talk")
        status(page).to_contain_text("Listening")
        server.server.should_exit = True
        expect(page.locator("#problem")).to_be_visible(timeout=15_000)
        expect(page.locator("#talk")).to_have_text("Dictate")


def test_no_server_at_all_is_told(browser, clip):
    with running() as server, page_of(browser, server.url, "ERR_") as page:
        page.route("**/v1/**", lambda route: route.abort())
        page.set_input_files("#file", clip)
        expect(page.locator("#problem")).to_contain_text("is it still running?")
        page.click("#speak-zh")
        expect(page.locator("#problem")).to_contain_text("连不上服务器")


def test_a_wrong_file_is_told_in_a_sentence(browser, tmp_path):
    path = tmp_path / "talk.mp3"
    path.write_bytes(b"<html>" * 100)
    with running() as server, page_of(browser, server.url, "400") as page:
        page.set_input_files("#file", path)
        expect(page.get_by_role("alert")).to_contain_text("web page")
        expect(page.locator("#choose")).to_be_enabled()
        expect(page.locator("#mute")).to_be_hidden()  # nor does it say that a transcript will come


def test_a_file_that_is_too_large_is_told(browser, tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(bytes(8 << 20))
    limits = LimitOptions(max_upload_bytes=1 << 20)
    with running(limits=limits) as server, page_of(browser, server.url, "413", "ERR_") as page:
        page.set_input_files("#file", path)
        expect(page.get_by_role("alert")).to_contain_text("compressed format such as mp3")


def test_a_server_with_keys_asks_for_one_and_goes_on(browser, clip):
    with running(api_key="secret") as server, page_of(browser, server.url, "401") as page:
        field = page.get_by_label("This server asks for an API key.")
        expect(field).to_be_focused()
        page.set_input_files("#file", clip)  # it waits for the key
        expect(page.locator("#choose")).to_be_enabled()
        field.fill("guessed")
        field.press("Enter")
        field = page.get_by_label("The server does not know this key.")
        expect(field).to_be_focused()
        field.fill("secret")
        field.press("Enter")
        status(page).to_contain_text("Done")
        expect(page.locator("#key-row")).to_be_hidden()
        page.click("#talk")
        status(page).to_contain_text("Listening")
        page.click("#talk")
        page.reload()
        expect(page.locator("#model option")).to_have_count(1)  # the tab knows it still


def test_what_the_server_says_is_text(browser, clip, monkeypatch):
    markup = "<img src=x onerror=alert(1)>"
    monkeypatch.setattr(stand, "WORDS", (markup,) * 10)
    with running() as server, page_of(browser, server.url) as page:
        page.on("dialog", lambda dialog: pytest.fail("a script ran"))
        page.set_input_files("#file", clip)
        expect(page.locator("#transcript")).to_contain_text(markup)
        assert page.locator("#transcript img").count() == 0


def test_languages_and_colours_are_remembered_and_a_telephone_is_wide_enough(browser, clip):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    with running() as server, page_of(browser, server.url, **phone) as page:
        page.select_option("#to", "zh")
        page.set_input_files("#file", clip)
        status(page).to_contain_text("Done")
        for code, name in (("zh", "选择文件"), ("en", "Choose a file")):
            page.click(f"#speak-{code}")
            assert page.locator("#choose").inner_text() == name
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.click("#speak-zh")
        assert page.evaluate("document.documentElement.lang") == "zh-CN"
        status(page).to_contain_text("完成")
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.click("#theme")
        dark = page.evaluate(ground)
        assert light != dark
        page.reload()
        expect(page.locator("#choose")).to_have_text("选择文件")
        assert page.evaluate(ground) == dark
    with running() as server, page_of(browser, server.url, color_scheme="dark") as page:
        assert page.evaluate(ground) == dark


def test_the_microphone_over_plain_http_is_explained(browser):
    with running(hosts=(FOREIGN,)) as server:
        port = server.url.rpartition(":")[2]
        with page_of(browser, f"http://{FOREIGN}:{port}") as page:
            note = page.locator("#no-microphone")
            expect(note).to_contain_text(f"ssh -L {port}:localhost:{port} {FOREIGN}")
            page.click("#talk")
            expect(page.locator("#problem")).to_contain_text("needs https")


def test_samples_that_the_page_saves_are_read_by_the_house(browser):
    from mooer.audio.wave import read_wave

    with running() as server, page_of(browser, server.url) as page:
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
