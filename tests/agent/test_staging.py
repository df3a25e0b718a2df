"""Scenarios are made of recordings whose true times are known, kept in a folder, and acted."""

import json

import numpy as np
import pytest
from tests.agent.parrot import tone

from mooer.agent.playout import Playout
from mooer.agent.scenarios import KINDS, Actor, Cue, Scenario, read_scenarios, write_scenarios
from mooer.agent.staging import (
    Clip,
    Sounds,
    clips_of,
    noises_of,
    speech_bounds,
    spoken,
    stage,
    with_pause,
)
from mooer.audio.wave import write_wave
from mooer.data.manifest import Item
from mooer.errors import ConfigError, ManifestError


def sentence(before=0.5, said=2.0, after=0.7, noise=0.001):
    samples = np.concatenate([np.zeros(round(16_000 * before)), tone(said)])
    samples = np.concatenate([samples, np.zeros(round(16_000 * after))])
    return (samples + noise * np.random.default_rng(0).standard_normal(len(samples))).astype("f4")


def clip(name="a", **fields):
    return Clip(name, sentence(), "en", "so it is", 0.5, 2.5, **fields)


SOUNDS = Sounds([clip("a"), clip("b")], [clip("c")], [clip("d")], [clip("e")], [clip("f")])


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01])
def test_the_level_tells_where_speech_begins_and_ends(noise):
    start_s, end_s = speech_bounds(sentence(noise=noise))
    assert start_s == pytest.approx(0.5, abs=0.03)
    assert end_s == pytest.approx(2.5, abs=0.03)


def test_a_click_is_no_speech():
    samples = sentence()
    samples[1000:1080] = 0.9
    assert speech_bounds(samples)[0] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("samples", [np.zeros(0, "f4"), np.zeros(16_000, "f4"), np.ones(300, "f4")])
def test_where_nothing_is_louder_than_the_rest_all_of_it_counts(samples):
    assert speech_bounds(samples) == (0.0, len(samples) / 16_000)


def test_words_with_times_are_believed_before_the_level(tmp_path):
    write_wave(tmp_path / "a.wav", sentence())
    fields = {"language": "en", "text": "so it is", "duration": 3.2}
    words = [["so", 0.6, 1.0], ["it", 1.2, 1.5], ["is", 1.5, 2.4]]
    path = str(tmp_path / "a.wav")
    with_words = Item("a", path, {**fields, "words": words})
    others = [
        Item("b", path, {**fields, "language": "zh"}),
        Item("c", path, {**fields, "text": None}),
        Item("d", path, {**fields, "duration": 60}),
    ]
    [first, second] = clips_of([with_words, *others, Item("e", path, fields)], "en")
    assert (first.name, first.start_s, first.end_s) == ("a", 0.6, 2.4)
    assert first.gaps == ((1.0, 1.2), (1.5, 1.5))
    assert second.start_s == pytest.approx(0.5, abs=0.03)


def test_noises_are_labelled_and_hold_no_text(tmp_path):
    write_wave(tmp_path / "a.wav", sentence())
    path = str(tmp_path / "a.wav")
    items = [Item("a", path, {"event": "rain"}), Item("b", path, {"text": "so", "event": None})]
    assert [noise.name for noise in noises_of(items)] == ["a"]


def test_a_pause_is_put_between_words():
    longer, (begin, end) = with_pause(clip(gaps=((0.7, 0.9), (1.2, 1.3), (1.5, 1.9))), 0.8)
    assert (begin, end) == (1.5, pytest.approx(2.7))  # the longest gap in the middle
    assert longer.end_s == pytest.approx(3.3)
    cut = round(1.7 * 16_000)
    assert not longer.samples[cut : cut + 12_800].any()
    np.testing.assert_array_equal(longer.samples[: cut - 80], clip().samples[: cut - 80])
    np.testing.assert_array_equal(longer.samples[cut + 12_880 :], clip().samples[cut + 80 :])


def test_without_word_times_it_is_put_where_it_is_quietest():
    samples = sentence()
    samples[25_000:26_600] *= 0.01
    longer, (begin, end) = with_pause(Clip("a", samples, start_s=0.5, end_s=2.5), 1.0)
    assert 25_000 <= begin * 16_000 <= 26_600
    assert end - begin == pytest.approx(1.0)
    assert len(longer.samples) == len(samples) + 16_000


class Tone:
    rate_hz = 24_000
    voices = ("low", "high")
    languages = ("en",)

    def __init__(self):
        self.asked = []

    def speak(self, text, language, voice, *, speed=1.0):
        self.asked.append((text, str(voice)))
        return np.concatenate([np.zeros(2400, "f4"), tone(1.0, 24_000), np.zeros(2400, "f4")])


def test_what_no_recording_holds_is_spoken_by_several_voices():
    speaker = Tone()
    said = list(spoken(speaker, ["one", "two", "three"], "en", speaker.voices))
    assert speaker.asked == [("one", "low:1.0"), ("two", "high:1.0"), ("three", "low:1.0")]
    assert said[0].start_s == pytest.approx(0.1, abs=0.02)
    assert said[0].end_s == pytest.approx(1.1, abs=0.02)
    assert len(said[0].samples) == pytest.approx(19_200, abs=2)


def test_every_kind_is_made_and_comes_back_from_its_folder(tmp_path):
    made = list(stage(SOUNDS, "en", num=2))
    assert [one.kind for one in made[::2]] == list(KINDS)
    path = write_scenarios(tmp_path / "all", made)
    read = list(read_scenarios(path.parent))
    assert [one.name for one in read] == [one.name for one in made]
    for before, after in zip(made, read, strict=True):
        for one, other in zip(before.cues, after.cues, strict=True):
            assert (one.role, one.delay_s, one.after) == (other.role, other.delay_s, other.after)
            assert (one.start_s, one.end_s) == (other.start_s, other.end_s)
            assert other.pause == (None if one.pause is None else pytest.approx(one.pause))
            np.testing.assert_allclose(one.samples, other.samples, atol=1e-4)
    again = list(stage(SOUNDS, "en", num=2))
    assert [one.cues[0].delay_s for one in again] == [one.cues[0].delay_s for one in made]


def test_somebody_farther_away_is_softer_than_the_user():
    [talk] = stage(SOUNDS, "en", num=1, kinds=["side_talk"])
    [words] = stage(SOUNDS, "en", num=1, kinds=["interruption"])
    loud = [np.sqrt(np.mean(one.cues[1].samples ** 2)) for one in (talk, words)]
    assert loud[0] < 0.3 * loud[1]


def test_what_is_lacking_is_named():
    with pytest.raises(ConfigError, match=r"no back-channels.*--kinds"):
        list(stage(Sounds([clip()], [clip()]), "en", num=1))


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "{}",
        '{"schema": "other", "scenarios": []}',
        '{"schema": "mooer.scenarios/1", "scenarios": [{"kind": "party", "cues": []}]}',
        '{"schema": "mooer.scenarios/1", "scenarios": [{"cues": [{"audio": "no.wav"}]}]}',
    ],
)
def test_a_folder_that_holds_something_else_is_told(tmp_path, data):
    (tmp_path / "scenarios.json").write_text(data)
    with pytest.raises(ManifestError, match="is no list of scenarios"):
        list(read_scenarios(tmp_path))


def test_a_scenario_list_is_plain_json(tmp_path):
    path = write_scenarios(tmp_path, stage(SOUNDS, "en", num=1, kinds=["pause"]))
    [row] = json.loads(path.read_text())["scenarios"]
    assert row["cues"][0]["audio"] == "en-pause-0-0.wav"


def test_a_cue_waits_for_the_answer_to_be_heard():
    asked, over = Cue("turn", tone(0.5), 0.2, end_s=0.5), Cue("noise", tone(0.2), 0.3, "answer")
    actor = Actor(Scenario("a", "noise", "en", (asked, over)), patience_s=2.0)
    playout = Playout(16_000)

    class Answering(Playout):
        is_playing = True

    for _ in range(50):  # 1 s
        actor.speak(320, playout)
    assert actor.begun_s == [pytest.approx(0.2), None]
    for _ in range(20):
        actor.speak(320, Answering(16_000))
    assert actor.begun_s[1] == pytest.approx(1.3, abs=0.021)


def test_an_answer_that_never_comes_ends_it_after_a_while():
    asked, over = Cue("turn", tone(0.5), 0.2, end_s=0.5), Cue("noise", tone(0.2), 0.3, "answer")
    actor = Actor(Scenario("a", "noise", "en", (asked, over)), patience_s=2.0)
    frames = 0
    while actor.speak(320, Playout(16_000)) is not None:
        frames += 1
    assert frames * 0.02 == pytest.approx(2.7, abs=0.06)
    assert actor.begun_s[1] is None
