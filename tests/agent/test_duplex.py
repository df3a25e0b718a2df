"""A user, a session and an ear on one clock."""

import numpy as np
import pytest
from tests.agent.parrot import Parrot, tone

from mooer.agent.duplex import Recorded, converse
from mooer.agent.events import AnswerStarted, TurnEnded
from mooer.agent.playout import Playout

QUIET = np.zeros(8000, np.float32)


def test_a_recording_is_answered_and_the_answer_heard_out():
    session, playout = Parrot(silence_s=0.4, think_s=0.3, answer_s=2.0), Playout(16_000)
    user = Recorded([QUIET, tone(1.0), QUIET[:5000]], tail_s=1.5)
    frames = list(converse(session, user, playout))
    assert all(len(frame.user) == len(frame.agent) for frame in frames)
    [stretch] = playout.stretches
    assert stretch.start_s == pytest.approx(0.5 + 1.0 + 0.4 + 0.3, abs=0.06)
    assert session.reports[-1] == (1, 48_000)  # all of it
    assert session.reports[0][1] == 480  # from the first frame on
    assert frames[-1].time_s == pytest.approx(stretch.end_s + 1.5, abs=0.06)
    told = [event for frame in frames for event in frame.events]
    assert sum(isinstance(event, TurnEnded) for event in told) == 1


def test_what_is_told_at_the_end_of_a_frame_is_heard_in_the_next():
    frames = list(converse(Parrot(), Recorded([tone(1.0)], tail_s=1.0)))
    [told] = [
        place
        for place, frame in enumerate(frames)
        if any(isinstance(event, AnswerStarted) for event in frame.events)
    ]
    assert not frames[told].agent.any()
    assert frames[told + 1].agent.any()


def test_a_recording_without_speech_is_over_after_the_tail():
    frames = list(converse(Parrot(), Recorded([QUIET], tail_s=1.0)))
    assert frames[-1].time_s == pytest.approx(1.5, abs=0.02)
    assert not any(frame.events for frame in frames)


def test_blocks_of_any_length_give_the_same_sound():
    whole = tone(0.7)
    blocks = [whole[:100], whole[100:101], whole[101:9000], whole[9000:]]
    said = np.concatenate([f.user for f in converse(Parrot(), Recorded(blocks, tail_s=0.1))])
    np.testing.assert_array_equal(said[: len(whole)], whole)


def test_a_session_that_thinks_is_waited_for():
    session, playout = Parrot(think_s=5.0, answer_s=1.0), Playout(16_000)
    user = Recorded([tone(1.0)], tail_s=0.5, is_quiet=lambda: session.is_quiet)
    frames = list(converse(session, user, playout))
    assert playout.stretches[0].start_s == pytest.approx(1.0 + 0.4 + 5.0, abs=0.06)
    assert frames[-1].time_s == pytest.approx(playout.stretches[0].end_s + 0.5, abs=0.06)


def test_a_session_that_is_never_done_is_left_after_a_minute():
    user = Recorded([tone(0.1)], tail_s=0.5, is_quiet=lambda: False)
    *_, last = converse(Parrot(think_s=1000.0), user)
    assert last.time_s == pytest.approx(60.1 + 0.5, abs=0.1)
