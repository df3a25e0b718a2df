import numpy as np

from mooer.decoding.turns import Stretch, Window, overlay, stretches


def window(first, *columns):
    """A window whose speakers are heard in the frames named by text: "..xx"."""
    rows = np.array([[255 * (mark == "x") for mark in column] for column in columns], np.uint8)
    return Window(first, rows.T)


def drawn(heard):
    return ["".join("x" if now else "." for now in column) for column in heard.T]


def test_speakers_of_windows_become_those_of_the_recording():
    windows = [window(0, "xxx...", "...xxx"), window(3, "xxxxx.", "......")]
    heard = overlay(windows, [(0, 1), (1, -1)], 2, 0.5)
    assert drawn(heard) == ["xxx......", "...xxxxx."]


def test_two_at_once():
    heard = overlay([window(0, "xxxx..", ".xxxxx")], [(1, 0)], 2, 0.5)
    assert drawn(heard) == [".xxxxx", "xxxx.."]


def test_windows_that_disagree_are_settled_by_the_one_that_knows_more():
    # Frame 2 is in the middle of the first window, frame 5 in that of the second.
    first, second = window(0, "xxxxxx"), window(2, "....xx")
    heard = overlay([first, second], [(0,), (0,)], 1, 0.5)
    assert heard[2, 0]
    assert not heard[5, 0]


def test_who_is_nobody_is_not_heard():
    assert not overlay([window(0, "xxxx")], [(-1,)], 1, 0.5).any()
    assert overlay([], [], 0, 0.5).shape == (0, 0)


def test_two_of_a_window_who_are_one_person_are_heard_once():
    assert drawn(overlay([window(0, "xx..", ".xx.")], [(0, 0)], 1, 0.5)) == ["xxx."]


def test_many_frames_are_settled_in_blocks(monkeypatch):
    from mooer.decoding import turns

    windows = [window(3 * i, "x..", ".x.", "..x") for i in range(40)]
    speakers = [(0, 1, 2)] * 40
    whole = overlay(windows, speakers, 3, 0.5)
    monkeypatch.setattr(turns, "_BLOCK_FRAMES", 7)
    np.testing.assert_array_equal(overlay(windows, speakers, 3, 0.5), whole)
    assert whole.sum() == 120


def test_stretches_are_closed_and_dropped():
    heard = np.array([[mark == "x" for mark in "xx.xx....x..xxxx"], [False] * 16]).T
    assert stretches(heard, 2, 2) == [Stretch(0, 5, 0), Stretch(12, 16, 0)]
    assert stretches(heard, 1, 1) == [
        Stretch(0, 2, 0), Stretch(3, 5, 0), Stretch(9, 10, 0), Stretch(12, 16, 0),
    ]  # fmt: skip
    assert stretches(np.zeros((0, 2), bool), 1, 1) == []
