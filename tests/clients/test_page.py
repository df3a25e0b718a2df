"""The page of clients/javascript in Chromium, from another port than the server's.

It needs `pip install playwright`, and a browser: Debian's `chromium`, or `playwright install
chromium`. Without either these tests are left out.
"""

import os
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.clients.programs import CLIENTS
from tests.serve.stand import WORDS, running, wav

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def origin():
    """Where the page is, served as the README says."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=CLIENTS / "javascript")
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def page_of(origin, url, clip):
    """The page, with a microphone that plays a file again and again."""
    with playwright.sync_playwright() as kit:
        try:
            browser = kit.chromium.launch(
                executable_path=CHROMIUM,
                headless=True,
                args=[
                    "--no-sandbox",
                    "--use-fake-device-for-media-stream",
                    "--use-fake-ui-for-media-stream",
                    f"--use-file-for-fake-audio-capture={clip}",
                ],
            )
        except playwright.Error as error:
            missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            missing(f"no Chromium: {error}"[:200])
        page = browser.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.goto(origin)
        page.fill("#url", url)
        yield page
        browser.close()


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "四.wav"
    path.write_bytes(wav(0.4, 2.0, rate_hz=16_000))
    return path


def test_a_file_and_the_microphone(origin, clip):
    with (
        running(cors=(origin,), api_key="secret") as server,
        page_of(origin, server.url, clip) as page,
    ):
        page.set_input_files("#file", clip)
        page.wait_for_function("document.getElementById('problem').textContent.includes('API key')")
        page.fill("#key", "secret")
        page.set_input_files("#file", clip)
        page.wait_for_selector("#said p")
        assert page.locator("#said p").inner_text() == "four four four"
        assert page.locator("#problem").inner_text() == ""
        page.click("#talk")
        page.wait_for_function("document.getElementById('partial').textContent.trim().length")
        page.wait_for_selector("#said p:nth-child(2)")
        page.click("#talk")
        page.wait_for_function("document.getElementById('talk').textContent === 'Talk'")
        words = page.locator("#said p").nth(1).inner_text().split()
        assert set(words) <= set(WORDS)  # which of them is up to the browser's control of gain
        assert page.locator("#problem").inner_text() == ""
        assert server.state.limits.num_sessions == 0


def test_what_goes_wrong_is_told(origin, clip):
    with running() as server, page_of(origin, server.url, clip) as page:
        page.set_input_files("#file", clip)
        page.wait_for_function("document.getElementById('problem').textContent.includes('cors')")
        page.fill("#url", "http://127.0.0.1:9")
        page.click("#talk")
        page.wait_for_function("document.getElementById('problem').textContent.includes(':9')")
        assert page.locator("#talk").inner_text() == "Talk"
    with running(cors=(origin,)) as server, page_of(origin, server.url, clip) as page:
        page.fill("#language", "klingon")
        page.click("#talk")
        page.wait_for_function("document.getElementById('problem').textContent.includes('klingon')")
        assert page.locator("#talk").inner_text() == "Talk"
