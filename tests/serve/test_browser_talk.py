"""Talk on the page, in Chromium: its microphone plays a file, its answers come by a script."""

import re

import pytest
from tests.serve.stand import Models, running, until
from tests.serve.test_browser import FOREIGN, browser, expect, page_of, pytestmark

__all__ = ["browser", "pytestmark"]  # a fixture, and the marks of all tests here

TEXT = "Good morning."


def serving(**wanted):
    """A server whose agent answers as it is told to."""
    models = Models()
    models.agent.wanted = wanted
    return running(models)


def session_of(server):
    [session] = server.models.agent.sessions
    return session


def begin(page, state="Listening"):
    page.get_by_role("button", name="Talk", exact=True).click()
    expect(page.locator("#state")).to_have_text(state)


def test_a_spoken_turn_and_its_answer(browser):
    with serving() as server, page_of(browser, server.url) as page:
        begin(page)
        expect(page.locator(".turn.user .heard").first).to_have_text("turn 1", timeout=20_000)
        answer = page.locator(".turn.agent").first
        expect(answer.locator(".heard")).to_have_text(TEXT)
        expect(page.locator("#state")).to_have_text("Speaking")
        expect(page.locator("#state")).to_have_text("Listening")
        session = session_of(server)
        until(lambda: session.reports and max(session.reports) == 24_000)  # to the sample
        assert session.reports == sorted(session.reports)
        assert session.options.barge_in == "pause"
        page.keyboard.press("t")
        expect(page.locator("#status")).to_contain_text("is over")
        until(lambda: session.is_closed)
        until(lambda: server.state.limits.num_sessions == 0)
        expect(answer).to_be_visible()


def test_where_the_time_went_is_drawn(browser):
    moments = {"speech_end": 1.0, "vad": 1.2, "asr_final": 1.5, "first_token": 1.9, "played": 2.4}
    with serving(moments=moments, is_deaf=True) as server, page_of(browser, server.url) as page:
        begin(page)
        page.locator("#say").fill("Hello?")
        page.locator("#say").press("Enter")
        times = page.locator(".turn.agent .times").first
        expect(times.locator("summary")).to_have_text("Answered in 1400 ms", timeout=15_000)
        times.locator("summary").click()
        bars = times.locator("rect")
        expect(bars).to_have_count(4)
        starts = [float(bar.get_attribute("x")) for bar in bars.all()]
        assert starts == sorted(starts)
        widths = [float(bar.get_attribute("width")) for bar in bars.all()]
        assert widths[3] == pytest.approx(max(widths))  # 500 of 1400 ms
        expect(times.locator("svg title")).to_contain_text("1400 ms")
        page.click("#speak-zh")
        expect(times.locator("summary")).to_have_text("1400 ms 后回答")
        expect(times.locator("rect")).to_have_count(4)


def test_an_answer_is_interrupted_by_voice(browser):
    with serving(answer_s=8.0) as server, page_of(browser, server.url) as page:
        begin(page)
        answer = page.locator(".turn.agent").first
        expect(answer).to_have_class(re.compile("is-cut"), timeout=25_000)
        expect(answer.locator(".heard")).to_have_text("Good ")
        expect(answer.locator(".unheard")).to_have_text("morning.")
        session = session_of(server)
        assert 0 < max(session.reports) < 8 * 24_000


@pytest.mark.parametrize("by", ["Escape", "Space", "button"])
def test_an_answer_is_interrupted_by_hand(browser, by):
    with serving(answer_s=30.0, is_deaf=True) as server, page_of(browser, server.url) as page:
        begin(page)
        page.locator("#say").fill("Hello?")
        page.locator("#say").press("Enter")
        expect(page.locator("#state")).to_have_text("Speaking")
        session = session_of(server)
        until(lambda: session.reports)
        if by == "button":
            page.get_by_role("button", name="Interrupt").click()
        elif by == "Escape":
            page.locator("#say").press(by)  # even where something is typed
        else:
            page.locator("#say").blur()
            page.keyboard.press(by)
        expect(page.locator(".turn.agent").first).to_have_class(re.compile("is-cut"))
        until(lambda: [call for call in session.calls if call[0] == "truncate"])
        [(_, answer, samples)] = [call for call in session.calls if call[0] == "truncate"]
        assert answer == 1
        assert 0 < samples < 30 * 24_000


def test_a_page_over_plain_http_converses_in_writing(browser):
    with running(hosts=(FOREIGN,)) as server:
        port = server.url.rpartition(":")[2]
        with page_of(browser, f"http://{FOREIGN}:{port}") as page:
            begin(page)
            expect(page.locator("#problem")).to_contain_text("needs https")
            page.get_by_label("Type instead of speaking").fill("Hello?")
            page.get_by_role("button", name="Send").click()
            expect(page.locator(".turn.user .heard")).to_have_text("Hello?")
            expect(page.locator(".turn.agent .heard")).to_have_text(TEXT)
            assert not session_of(server).options.speaks


def test_a_telephone_is_wide_enough_in_both_languages_and_in_the_dark(browser):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}
    with serving() as server, page_of(browser, server.url, **phone) as page:
        begin(page)
        page.locator("#say").fill("word " * 60)
        page.locator("#say").press("Enter")
        expect(page.locator(".turn.agent .heard")).to_have_text(TEXT)
        for code, name in (("zh", "对话"), ("en", "Conversation")):
            page.click(f"#speak-{code}")
            expect(page.locator("#conversation-title")).to_have_text(name)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        ground = page.locator(".turn.agent").evaluate("e => getComputedStyle(e).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", ground)[:3])) < 200


def test_a_server_without_an_agent_has_no_talk(browser):
    with running(agent=None) as server, page_of(browser, server.url) as page:
        expect(page.locator("#model option")).to_have_count(1)
        expect(page.locator("#converse")).to_be_hidden()


def test_a_server_that_goes_away_ends_the_conversation(browser):
    with serving() as server, page_of(browser, server.url, "WebSocket") as page:
        begin(page)
        server.server.should_exit = True
        expect(page.locator("#problem")).to_be_visible(timeout=15_000)
        expect(page.locator("#converse-name")).to_have_text("Talk")
