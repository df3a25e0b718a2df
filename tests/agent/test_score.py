"""What came of scenarios, with a session whose manners are known."""

import numpy as np
import pytest
from tests.agent.parrot import Parrot, tone

from mooer.agent.scenarios import Cue, Scenario
from mooer.agent.score import audible, draw, outcome_of, perform, summary, table_rows, to_markdown

TURN = Cue("turn", tone(1.0), 0.3, start_s=0.0, end_s=1.0)


def scenario(kind, *cues):
    return Scenario(f"en-{kind}", kind, "en", cues or (TURN,), tail_s=2.0)


def over(role, seconds=0.8, delay_s=1.0):
    return Cue(role, tone(seconds), delay_s, "answer", end_s=seconds)


def outcome(kind, *cues, **manners):
    return outcome_of(perform(Parrot(**manners), scenario(kind, *cues)))


def test_the_latency_is_from_the_true_end_to_what_is_heard():
    found = outcome("turn_taking", silence_s=0.4, think_s=0.3)
    assert found.took_over
    assert not found.cut_in
    assert found.latency_s == pytest.approx(0.7, abs=0.05)


def test_an_answer_that_never_comes_is_no_latency():
    found = outcome("turn_taking", think_s=100.0)
    assert not found.took_over
    assert found.latency_s is None


@pytest.mark.parametrize(("pause_s", "taken"), [(0.3, False), (1.2, True)])
def test_a_pause_is_taken_by_who_cannot_wait(pause_s, taken):
    samples = np.concatenate([tone(1.0), np.zeros(round(16_000 * pause_s), "f4"), tone(1.0)])
    cue = Cue("turn", samples, 0.3, end_s=2.0 + pause_s, pause=(1.0, 1.0 + pause_s))
    found = outcome("pause", cue, silence_s=0.4, think_s=0.2)
    assert found.took_over is taken
    assert found.cut_in is taken


def test_an_interruption_is_measured_from_its_onset():
    found = outcome("interruption", TURN, over("interruption"), stop_s=0.1)
    assert (found.paused, found.ended) == (False, True)
    assert found.stop_s == pytest.approx(0.1, abs=0.05)
    assert found.took_over  # it was answered
    assert found.latency_s == pytest.approx(0.7, abs=0.06)


def test_who_does_not_stop_goes_on():
    found = outcome("back_channel", TURN, over("back_channel", 0.3), stop_s=None)
    assert (found.paused, found.ended, found.took_over) == (False, False, False)
    assert found.stop_s is None


def test_who_resumes_has_paused():
    manners = {"stop_s": 0.1, "resume_s": 0.2}
    found = outcome("back_channel", TURN, over("back_channel", 0.3), **manners)
    assert (found.paused, found.ended, found.took_over) == (True, False, False)
    assert found.pause_s == pytest.approx(0.2 + 0.2, abs=0.05)


def test_an_answer_that_is_over_before_cannot_be_interrupted():
    late = over("interruption", delay_s=2.9)
    assert not outcome("interruption", TURN, over("interruption", delay_s=9.0)).is_tested
    assert not outcome("interruption", TURN, late, answer_s=3.0, stop_s=None).is_tested
    assert outcome("interruption", TURN, late, answer_s=4.0).is_tested


def test_noise_alone_is_not_to_be_answered():
    noise = Cue("idle_noise", tone(1.0), 0.5, end_s=1.0)
    assert outcome("idle_noise", noise).took_over
    quiet = Cue("idle_noise", tone(1.0, loudness=0.002), 0.5, end_s=1.0)
    assert not outcome("idle_noise", quiet).took_over


def test_rates_are_over_those_that_were_tested():
    found = [
        outcome("interruption", TURN, over("interruption"), stop_s=0.1),
        outcome("interruption", TURN, over("interruption"), stop_s=0.4),
        outcome("interruption", TURN, over("interruption", delay_s=9.0)),
        outcome("turn_taking"),
    ]
    first, second = summary(found)
    assert first["kind"] == "turn_taking"
    assert (second["num"], second["tested"], second["stopped_in_time_rate"]) == (3, 2, 0.5)
    assert second["stop_s"]["num"] == 2
    rows = table_rows(found)
    assert rows[1][:4] == ["interruption", "en", "2 of 3", "100"]
    assert to_markdown(found).count("\n") == 4


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    found = [outcome("turn_taking"), outcome("interruption", TURN, over("interruption"))]
    assert draw(found, tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_too_soft_is_not_heard():
    assert not len(audible(tone(1.0, loudness=0.001)))
    assert len(audible(tone(1.0))) == 100
