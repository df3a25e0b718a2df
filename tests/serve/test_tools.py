"""What some requests borrow: loaded once, kept while it is used, let go of when it is idle."""

import threading

import pytest
from tests.serve.stand import running, until, wav

from mooer.errors import StoreError
from mooer.serve.settings import Settings
from mooer.serve.tools import ALIGNER, DIARIZER, READER, Tools


class Makers:
    """Makes things by the name, and counts them."""

    def __init__(self):
        self.made = []
        self.error = None

    def __call__(self, settings):
        if self.error:
            raise self.error
        self.made.append(object())
        return self.made[-1]


def tools(**options):
    make = Makers()
    return Tools(Settings(**options), {DIARIZER: make}), make


def test_one_is_made_for_all_who_come_at_once():
    found, make = tools()
    seen = []

    def use():
        with found.borrow(DIARIZER) as one:
            seen.append(one)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert seen == make.made * 8


def test_it_is_let_go_of_when_it_is_idle_and_not_while_it_is_used():
    found, make = tools(unload_after_s=0.0)
    with found.borrow(DIARIZER) as one:
        found.tidy()
        with found.borrow(DIARIZER) as same:
            assert same is one
    found.tidy()
    with found.borrow(DIARIZER) as other:
        assert other is not one
    assert len(make.made) == 2


@pytest.mark.parametrize("after_s", [None, 600.0])
def test_it_stays_as_long_as_the_settings_say(after_s):
    found, make = tools(unload_after_s=after_s)
    for _ in range(2):
        with found.borrow(DIARIZER):
            pass
        found.tidy()
    assert len(make.made) == 1


def test_what_could_not_be_made_is_tried_again():
    found, make = tools(unload_after_s=0.0)
    make.error = StoreError("no network")
    with pytest.raises(StoreError), found.borrow(DIARIZER):
        pass
    make.error = None
    with found.borrow(DIARIZER) as one:
        assert one is make.made[0]


def test_settings_reach_what_is_made(monkeypatch):
    told = []
    monkeypatch.setattr("mooer.infer.aligners.load_aligner", lambda **given: told.append(given))
    monkeypatch.setattr("mooer.infer.attended.load_reader", lambda **given: told.append(given))
    found = Tools(Settings(device="cpu", threads=3))
    for name in (ALIGNER, READER):
        with found.borrow(name):
            pass
    assert told == [{"device": "cpu", "num_threads": 3}] * 2


def test_a_server_lets_go_of_what_its_requests_used():
    with running(unload_after_s=0.2) as server:
        tool = server.state.tools._tools[DIARIZER]
        tool.make = NobodySpeaks
        answer = server.transcribe(wav(), response_format="diarized_json")
        assert answer.status_code == 200, answer.text
        assert tool.used_at
        until(lambda: tool.made is None)


class NobodySpeaks:
    """A diarizer that hears no speaker."""

    turns, warnings = (), ()

    def listen(self):
        return self

    def push(self, samples):
        pass

    def finish(self, num_speakers):
        return self
