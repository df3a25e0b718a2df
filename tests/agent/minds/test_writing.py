"""What a mind writes: calls, marks, loops; and what it is shown."""

import logging

import pytest

from mooer.agent.mind import Tool, ToolCall, Turn
from mooer.agent.minds.calls import as_text, parsed
from mooer.agent.minds.history import STEP_TURNS, fitting
from mooer.agent.minds.spoken_text import loops, spoken_text, without_loops
from mooer.agent.minds.wording import language_of, spoken, with_tools

CALL = '{"name": "add", "arguments": {"a": 1}}'
ADD = ToolCall("call_0", "add", '{"a": 1}')


def read(text, by=1, names=("add",)):
    found = list(parsed([text[i : i + by] for i in range(0, len(text), by)], names))
    said = "".join(one for one in found if isinstance(one, str))
    return said, [one for one in found if isinstance(one, ToolCall)]


@pytest.mark.parametrize("by", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>", "", [ADD]),
        (f"Let me see. <tool_call>{CALL}</tool_call>", "Let me see. ", [ADD]),
        (f"<tool_call>{CALL}</tool_call>Done.", "Done.", [ADD]),
        (f"```json\n{CALL}\n```", "", [ADD]),
        (CALL, "", [ADD]),
        (f"[{CALL}]", "", [ADD]),
        ('<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}', "", [ADD]),
        ('{"name": "add", "parameters": {"a": 1}}', "", [ADD]),
        (f"{CALL}\n{CALL}", "", [ADD, ToolCall("call_1", "add", '{"a": 1}')]),
        ("1 < 2, and [3] {4}.", "1 < 2, and [3] {4}.", []),
        ("<tool", "<tool", []),
    ],
)
def test_calls_are_told_from_text(by, text, said, calls):
    assert read(text, by) == (said, calls)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "subtract", "arguments": {}}', ""),
        ("<tool_call>{broken</tool_call>Fine.", "Fine."),
        ('<tool_call>{"name": "add", "argu', ""),
        ('{"name": "add", "arguments": [1]}', ""),
        ("<tool_call>" + "x" * 5000, ""),
        ("{" * 5000, ""),
    ],
)
def test_a_broken_call_is_not_spoken(text, said, caplog):
    with caplog.at_level(logging.WARNING):
        assert read(text, 5) == (said, [])
    assert "left out" in caplog.text


def test_without_tools_nothing_is_held_back():
    assert list(parsed(["{", "a}"], ())) == ["{", "a}"]


def test_calls_go_back_as_they_were_written():
    assert read(as_text([ADD]), 4)[1] == [ADD]


@pytest.mark.parametrize("by", [1, 4, 1000])
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("**你好**，我是`小摩`。", "你好，我是小摩。"),
        ("# Title\n- one\n* two\n1. three", "Title\none\ntwo\n1. three"),
        ("See [the page](https://a.b/c_d) now.", "See the page now."),
        ("Nice 😀👍🏽 day!", "Nice  day!"),
        ("<think>\nHm, 5 < 6.\n</think>\n\nYes.", "Yes."),
        ("<think>never ends", ""),
        ("3 * 4 is 12, snake_case stays.", "3 * 4 is 12, snake_case stays."),
        ("Go<|im_end|>", "Go"),
        ("a\x00b\ufffd\ufffd", "ab"),
        ("```python\nprint(1)\n```", "\nprint(1)\n"),
    ],
)
def test_marks_are_not_spoken(written, said, by):
    pieces = [written[i : i + by] for i in range(0, len(written), by)]
    if "*" in written and "3 *" in written:
        said = said.replace("3 * 4", "3  4")  # an asterisk alone may be either: it is not said
    assert "".join(spoken_text(pieces)) == said


def test_text_is_not_held_to_the_end():
    pieces = iter("This is a sentence. And this ")
    first = next(iter(spoken_text(pieces)))
    assert first
    assert "".join(pieces)  # some is left


def test_chinese_is_not_held_to_the_next_mark():
    pieces = iter("好的，我来看看")
    found = spoken_text(pieces)
    assert next(found) + next(found) + next(found) == "好的，我"
    assert "".join(pieces) == "来看看"


def test_calls_pass_in_their_place():
    assert list(spoken_text(["One. ", ADD, "**Two.**"])) == ["One. ", ADD, "Two."]


@pytest.mark.parametrize(
    "text",
    ["我不知道。" * 6, "the wall of the wall " * 8, "I am here to help you. " * 3, "哈" * 40],
)
def test_loops_are_seen(text):
    assert loops("Well. " + text)


@pytest.mark.parametrize(
    "text", ["No, no, no, no!", "一二三四五六七八九十", "Ha ha. It is 1000000."]
)
def test_emphasis_is_no_loop(text):
    assert not loops(text)


def test_a_loop_is_broken_off_and_its_source_closed(caplog):
    closed = []

    def endless():
        try:
            while True:
                yield "I do not know. "
        finally:
            closed.append(True)

    with caplog.at_level(logging.WARNING):
        said = "".join(without_loops(endless()))
    assert said.count("know") <= 8
    assert closed
    assert "repeats itself" in caplog.text


def turns(num, size=30):
    return [Turn("assistant" if i % 2 else "user", f"{i} " + "x" * size) for i in range(num)]


def test_the_oldest_turns_go_first_and_in_steps():
    talk = turns(41)
    starts = [fitting(talk[: n + 1], 300)[0] for n in range(0, 41, 2)]
    assert starts == sorted(starts)
    assert len(set(starts)) <= 1 + 41 // STEP_TURNS  # the beginning is stable for some turns
    num, shown = fitting(talk, 300)
    assert num > 0
    assert shown[0].role == "user"
    assert shown[-1] is talk[-1]


def test_the_last_turn_is_always_shown_with_what_it_answers():
    assert fitting(turns(9), 1)[1] == turns(9)[-1:] or len(fitting(turns(9), 1)[1]) == 1
    talk = [*turns(2), Turn("assistant", "", calls=(ADD,)), Turn("tool", "3", call="call_0")]
    assert fitting(talk, 1)[1][-1].role == "tool"
    assert fitting([*turns(2), *talk[2:]], 1)[1][0].calls == (ADD,)
    assert fitting([], 100) == (0, [])


@pytest.mark.parametrize(
    ("talk", "language"),
    [
        ([Turn("user", "你好")], "zh"),
        ([Turn("user", "你好"), Turn("assistant", "嗨"), Turn("user", "Hello")], "en"),
        ([Turn("user", "你好"), Turn("user", "42?")], "zh"),
        ([Turn("user", "hola", language="es")], "es"),
        ([], "en"),
    ],
)
def test_the_language_is_the_users(talk, language):
    assert language_of(talk) == language


def test_what_a_mind_is_told_is_stable_and_in_the_language():
    assert "口语" in spoken("你是小摩。", "zh")
    assert "Answer in the language that the user speaks" in spoken("", "fr")
    tools = [Tool("now", "The time.")]
    assert '"name": "now"' in with_tools("x", tools)
    assert with_tools("x", ()) == "x"
