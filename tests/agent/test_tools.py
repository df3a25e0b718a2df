"""Functions as tools: their schemas, their bounds, and the ones that come with mooer."""

import json
import threading
from datetime import datetime, timezone
from typing import Literal

import pytest

from mooer.agent.events import Source
from mooer.agent.own_tools import NAMES, calculate, own_tools
from mooer.agent.tools import MAX_CHARS, Toolbox, tool_of
from mooer.errors import AgentError, ConfigError


def weather(city: str, days: int = 1, unit: Literal["C", "F"] = "C", raining: bool | None = None):
    """The weather of a city
    in the next days.

    city: its name
    days: how many
    """
    return {"city": city, "days": days, "unit": unit, "raining": raining}


def test_a_signature_becomes_a_schema():
    tool = tool_of(weather)
    assert (tool.name, tool.description) == ("weather", "The weather of a city in the next days.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "its name"},
            "days": {"type": "integer", "description": "how many"},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "raining": {"type": "boolean"},
        },
        "required": ["city"],
    }


def plain(x):
    """No types."""


def silent(x: str):
    pass


def many(*xs: str):
    """Many."""


@pytest.mark.parametrize(
    ("function", "words"),
    [(plain, "annotated"), (silent, "no docstring"), (many, "give each a name")],
)
def test_what_cannot_be_a_tool_is_refused(function, words):
    with pytest.raises(ConfigError, match=words):
        tool_of(function)


def test_two_of_one_name():
    with pytest.raises(ConfigError, match="two tools"):
        Toolbox([weather, weather])


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        (
            '{"city": "上海", "days": "2"}',
            '{"city": "上海", "days": 2, "unit": "C", "raining": null}',
        ),
        (
            '{"city": 5, "raining": "true"}',
            '{"city": "5", "days": 1, "unit": "C", "raining": true}',
        ),
        ("", "error: weather needs city"),
        ("{broken", "error: the arguments of weather are no JSON"),
        ("[1]", "error: the arguments of weather are no object"),
        ('{"citty": "x"}', "error: weather takes no 'citty': did you mean city?"),
        ('{"city": "x", "days": "soon"}', "error: days must be integer, got 'soon'"),
        ('{"city": "x", "days": 1.5}', "error: days must be integer"),
        ('{"city": "x", "unit": "K"}', "error: unit must be C or F, got 'K'"),
        ('{"city": {}}', "error: city must be string"),
        ('{"city": "x", "days": 1e999}', "error: days must be integer"),
    ],
)
def test_calls_are_checked_and_errors_are_results(arguments, result):
    assert Toolbox([weather]).run("weather", arguments).startswith(result)


def test_an_unknown_tool_is_a_result():
    found = Toolbox([weather]).run("wether", "{}")
    assert found.startswith("error: there is no tool 'wether': did you mean weather?")


def test_a_tool_that_fails_hangs_or_says_too_much(caplog):
    stop = threading.Event()

    def fails():
        """Fails."""
        raise KeyError("x")

    def hangs():
        """Hangs."""
        stop.wait(20)

    def shouts():
        """Says much."""
        return "a" * 10 * MAX_CHARS

    box = Toolbox([fails, hangs, shouts], timeout_s=0.1)
    assert box.run("fails", "{}") == "error: KeyError: 'x'"
    assert box.run("hangs", "{}") == "error: hangs takes more than 0.1 s"
    stop.set()
    assert len(box.run("shouts", "")) == MAX_CHARS


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("325 * 17", "5525"),
        ("2 + 3 × 4", "14"),
        ("（1 + 2）÷ 4", "0.75"),
        ("2 ^ 10", "1024"),
        ("-7 // 2", "-4"),
        ("sqrt(2) + pi", "4.55580621596"),
        ("max(3, 4, round(2.6))", "4"),
        ("1e3", "1000"),
    ],
)
def test_the_calculator_computes(expression, result):
    assert calculate(expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "().__class__",
        "open",
        "[1 for x in (1,)]",
        "'a' * 9",
        "lambda: 1",
        "True + 1",
        "1 if 1 else 2",
        "9 ** 9 ** 9 ** 9",
        "10 ** 4000",
        "1 / 0",
        "exp(1000)",
        "1e308 * 10",
        "(-8) ** 0.5",
        "sqrt(-1)",
        "1 +",
        "",
        "(" * 150,
        "1 + " * 100 + "1",
        "round(1.5, ndigits=1)",
        "1j",
    ],
)
def test_the_calculator_does_nothing_else(expression):
    with pytest.raises(ConfigError):
        calculate(expression)
    assert (
        Toolbox([calculate])
        .run("calculate", json.dumps({"expression": expression}))
        .startswith("error: ")
    )


def test_the_clock():
    clock = lambda: datetime(2026, 3, 2, 9, 15, tzinfo=timezone.utc)  # noqa: E731
    assert Toolbox(own_tools(["now"], clock=clock)).run("now", "") == "2026-03-02 Monday 09:15 UTC"


def test_notes_are_of_one_session():
    one, other = (Toolbox(own_tools(["take_note", "read_notes"])) for _ in range(2))
    assert one.run("take_note", '{"text": "flight at nine"}') == "noted, 1 in all"
    assert one.run("read_notes", "") == "1. flight at nine"
    assert other.run("read_notes", "") == "no notes"
    assert one.run("take_note", '{"text": " "}') == "error: the note is empty"


def test_search_asks_what_is_known():
    class Shelf:
        def search(self, text, num):
            return [Source("a.md", f"about {text}")]

    class Broken:
        def search(self, text, num):
            raise AgentError("nobody listens at x: start it")

    def run(knowledge):
        return Toolbox(own_tools(["search"], knowledge=knowledge)).run(
            "search", '{"question": "tea"}'
        )

    assert run([Shelf()]) == "[a.md] about tea"
    assert run([]).startswith("error: there is nothing to search")
    assert run([Broken()]) == "error: nobody listens at x: start it"


def test_the_names_are_those_that_there_are():
    assert [one.__name__ for one in own_tools(NAMES)] == list(NAMES)
    with pytest.raises(ConfigError, match="did you mean now"):
        own_tools(["nov"])
