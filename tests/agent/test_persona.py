"""Persona files, and what the agent does of its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from mooer.agent.mind import Turn
from mooer.agent.persona import Persona, read_persona
from mooer.agent.policy import (
    BACK_CHANNELS,
    Moment,
    PolicyOptions,
    Say,
    Speak,
    decide,
    follow_up,
    wants_lookup,
)
from mooer.errors import ConfigError

PERSONAS = sorted((Path(__file__).parents[2] / "recipes" / "personas").glob("*.yaml"))


@pytest.mark.parametrize("path", PERSONAS, ids=lambda path: path.stem)
def test_the_shipped_ones_are_read(path):
    persona = read_persona(path)
    assert persona.name
    assert persona.greeting
    assert set(persona.languages) == {"zh", "en"}


def test_there_are_three():
    assert len(PERSONAS) == 3


def write(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_knowledge_lies_beside_the_file(tmp_path):
    path = write(tmp_path, "instructions: Be kind.\nlanguages: [Chinese]\nknowledge: notes\n")
    with pytest.raises(ConfigError, match=r"p\.yaml: knowledge: .*notes is no folder"):
        read_persona(path)
    (tmp_path / "notes").mkdir()
    persona = read_persona(path)
    assert persona.knowledge == tmp_path / "notes"
    assert persona.language == "zh"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("instruction: Be kind.", "unknown key instruction: did you mean instructions"),
        ("name: x", "instructions is missing"),
        ("instructions: ' '", "instructions are empty"),
        ("instructions: x\nspeed: 5", "speed is 5"),
        ("instructions: x\ntools: [clock]", "unknown tool 'clock'"),
        ("instructions: x\nlanguages: [klingon]", "klingon"),
        ("instructions: x\npolicy: {proactive: 5}", "unknown key policy.proactive"),
        ("instructions: x\npolicy: {proactive_s: 0.1}", "policy: proactive_s is 0.1"),
        ("instructions: x\npolicy: {back_channel_after_s: 0.0}", "give one above 0"),
        ("instructions: " + "x" * 9000, "knowledge folder"),
        ("- a", "write `key: value`"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path, text, words):
    with pytest.raises(ConfigError) as caught:
        read_persona(write(tmp_path, text))
    assert words in str(caught.value)
    assert "p.yaml" in str(caught.value)


ALL = PolicyOptions(back_channels=True, follow_up=True, proactive_s=10.0)
TALKING = Moment(20.0, user_speaks=True, speech_s=7.0, pause_s=0.4)
QUIET = Moment(60.0, quiet_s=11.0)
TALK = [Turn("user", "I like tea."), Turn("assistant", "Tea is fine.")]


def test_nothing_is_done_unasked():
    assert decide(TALKING, [], PolicyOptions()) is None
    assert decide(replace(QUIET, quiet_s=1e6), [], PolicyOptions()) is None
    assert follow_up([Turn("user", "Hi")], PolicyOptions(), "en") == ""


def test_back_channels_come_in_pauses_of_long_speech():
    assert decide(TALKING, [], ALL) == Say(BACK_CHANNELS["en"][1])
    assert decide(replace(TALKING, language="zh"), [], ALL).text in BACK_CHANNELS["zh"]
    assert decide(replace(TALKING, language="fr"), [], ALL).text in BACK_CHANNELS["en"]


@pytest.mark.parametrize(
    "change",
    [
        {"pause_s": 0.1},
        {"speech_s": 3.0},
        {"since_back_channel_s": 2.0},
        {"agent_speaks": True},
        {"user_speaks": False},
    ],
)
def test_back_channels_do_not_come(change):
    assert decide(replace(TALKING, **change), [], ALL) is None


def test_back_channels_vary_and_are_the_same_in_a_replay():
    said = [decide(replace(TALKING, speech_s=6.5 * i), [], ALL).text for i in range(1, 5)]
    assert len(set(said)) > 1
    assert said == [decide(replace(TALKING, speech_s=6.5 * i), [], ALL).text for i in range(1, 5)]


def test_a_proactive_turn_after_a_silence():
    assert isinstance(decide(QUIET, TALK, ALL), Speak)
    assert decide(replace(QUIET, quiet_s=9.0), TALK, ALL) is None
    assert decide(replace(QUIET, agent_speaks=True), TALK, ALL) is None
    assert "Greet" in decide(QUIET, [], ALL).request
    assert "打招呼" in decide(replace(QUIET, language="zh"), [], ALL).request


def test_it_waits_longer_each_time_and_then_is_still():
    again = replace(QUIET, num_proactive=1)
    assert decide(again, TALK, ALL) is None
    assert "still" in decide(replace(again, quiet_s=21.0), TALK, ALL).request
    assert decide(replace(QUIET, num_proactive=2, quiet_s=1e6), TALK, ALL) is None


@pytest.mark.parametrize("text", ["好的，再见", "Thanks, bye!", "那就这样，谢谢", "Good night"])
def test_it_lets_go_of_who_takes_leave(text):
    talk = [Turn("user", text), Turn("assistant", "Bye.")]
    assert decide(QUIET, talk, ALL) is None
    assert follow_up(talk[:1], ALL, "en") == ""


def test_a_follow_up_question_not_every_time():
    user = Turn("user", "And coffee?")
    assert "short question" in follow_up([*TALK, user], ALL, "en")
    assert "简短问题" in follow_up([user], ALL, "zh")
    asked = [Turn("user", "I like tea."), Turn("assistant", "Green or black?")]
    assert follow_up([*asked, user], ALL, "en") == ""
    assert follow_up([*asked, *TALK, user], ALL, "en")
    assert follow_up([*asked, user], replace(ALL, follow_up_every=1), "en")
    assert follow_up(TALK, ALL, "en") == ""  # the last turn is not the user's


def test_a_persona_needs_no_file():
    assert Persona("Be kind.").policy == PolicyOptions()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", False),
        ("嗯嗯", False),
        ("谢谢你，再见", False),
        ("Thank you, good night", False),
        ("Yes please", False),
        ("会议室怎么预订", True),
        ("What does the contract say about rent?", True),
        ("GGUF 是什么", True),
    ],
)
def test_small_talk_is_not_looked_up(text, wanted):
    assert wants_lookup(text) is wanted
