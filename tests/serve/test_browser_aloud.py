"""Translations of what is dictated, spoken by the page, in Chromium over a speaker that hums."""

import json

import numpy as np
import pytest
from tests.serve.stand import Models, running, until
from tests.serve.test_browser import browser, expect, page_of, pytestmark, status
from tests.speak.tones import ToneSpeaker

__all__ = ["browser", "pytestmark"]  # a fixture, and the marks of all tests here

# What reaches a loudspeaker, at its loudest, and how many contexts play.
LISTEN = """
const connect = AudioNode.prototype.connect;
window.heard = { peak: 0, contexts: [] };
AudioNode.prototype.connect = function (to, ...more) {
  if (to instanceof AudioDestinationNode) {
    const ear = this.context.createAnalyser();
    connect.call(this, ear);
    heard.contexts.push(this.context);
    const values = new Float32Array(ear.fftSize);
    setInterval(() => {
      ear.getFloatTimeDomainData(values);
      heard.peak = Math.max(heard.peak, ...values.map(Math.abs));
    }, 20);
  }
  return connect.call(this, to, ...more);
};
"""


class LongTone(ToneSpeaker):
    """Hums so long that nobody waits for its end."""

    def speak(self, text, language, voice, *, speed=1.0):
        return np.tile(super().speak(text, language, voice), 10)


def listening(page):
    """The page anew, with an ear at its loudspeaker."""
    page.add_init_script(LISTEN)
    page.reload()
    expect(page.locator("#aloud")).to_be_visible()


def is_heard(page):
    return page.evaluate("heard.peak") > 0.05


def states(page):
    return page.evaluate("heard.contexts.map((one) => one.state)")


def dictate(page, to="en"):
    page.select_option("#language", "zh")
    page.select_option("#to", to)
    page.check("#aloud")
    page.click("#talk")


def test_the_translation_of_a_sentence_is_heard(browser):
    with running() as server, page_of(browser, server.url) as page:
        listening(page)
        dictate(page)
        expect(page.locator(".translation").first).not_to_be_empty(timeout=20_000)
        until(lambda: is_heard(page), 15)
        assert page.evaluate("heard.contexts.length") == 1
        assert page.evaluate("heard.contexts[0].sampleRate") == server.models.speaker.rate_hz
        page.keyboard.press("r")
        status(page).to_contain_text("Done", timeout=20_000)
        until(lambda: states(page) == ["closed"], 15)  # when all is played
        said = [text for text, *_ in server.models.speaker.said]
        shown = page.locator(".translation").all_inner_texts()
        assert "".join(said).split() == " ".join(shown).split()
        until(lambda: server.state.limits.num_sessions == 0)


def test_escape_silences_it_and_the_next_sentence_is_spoken(browser):
    models = Models()
    models.speaker = LongTone()
    with running(models) as server, page_of(browser, server.url) as page:
        listening(page)
        dictate(page)
        until(lambda: is_heard(page), 25)
        page.keyboard.press("Escape")
        page.wait_for_timeout(200)
        page.evaluate("heard.peak = 0")
        page.wait_for_timeout(300)
        assert page.evaluate("heard.peak") < 0.01
        until(lambda: is_heard(page), 25)
        page.click("#talk")
        status(page).to_contain_text("Done", timeout=20_000)
        assert states(page) == ["running"]  # what was translated is spoken to its end
        page.locator("body").press("Escape")
        until(lambda: states(page) == ["closed"])


def test_it_is_not_asked_for_unless_there_is_a_translation(browser):
    with running() as server, page_of(browser, server.url) as page:
        listening(page)
        sent = []

        def note(frame):
            sent.append(frame)

        page.on("websocket", lambda one: one.on("framesent", note))
        page.select_option("#to", "")
        expect(page.locator("#aloud")).to_be_disabled()
        page.select_option("#to", "en")
        expect(page.locator("#aloud")).to_be_enabled()
        page.check("#aloud")
        page.select_option("#to", "")
        page.click("#talk")
        status(page).to_have_text("Listening.")
        assert "speak" not in json.loads(sent[0])
        assert page.evaluate("heard.contexts.length") == 0
        page.click("#talk")
        status(page).not_to_have_text("Listening.")
        page.reload()
        expect(page.locator("#aloud")).to_be_checked()  # as it was left


@pytest.mark.parametrize(("code", "text"), [("zh", "朗读译文"), ("en", "Speak the translation")])
def test_it_is_said_in_both_languages(browser, code, text):
    with running() as server, page_of(browser, server.url) as page:
        page.click(f"#speak-{code}")
        expect(page.locator("label", has=page.locator("#aloud"))).to_contain_text(text)


def test_a_server_without_a_voice_does_not_offer_it(browser):
    with running(speaker=None) as server, page_of(browser, server.url) as page:
        expect(page.locator("#model option")).to_have_count(1)
        expect(page.locator("#aloud")).to_be_hidden()
