"""The tools that come with mooer: the clock, a calculator, notes of the session, and search."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mooer.agent.mind import Knowledge
from mooer.agent.tools import Function
from mooer.errors import ConfigError, did_you_mean

NAMES = ("now", "calculate", "take_note", "read_notes", "search")
MAX_NOTES = 100
_MAX_NOTE_CHARS = 500
_MAX_EXPRESSION_CHARS = 200
_MAX_POWER = 1000  # of digits in a result, nearly
_NUM_FOUND = 3

Number = int | float
_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{"sqrt": math.sqrt, "sin": math.sin, "cos": math.cos, "tan": math.tan, "exp": math.exp},
    **{"log": math.log, "log10": math.log10, "abs": abs, "round": round, "min": min, "max": max},
}
_CONSTANTS = {"pi": math.pi, "e": math.e}


def own_tools(
    names: Sequence[str],
    *,
    knowledge: Sequence[Knowledge] = (),
    clock: Callable[[], datetime] | None = None,
) -> list[Function]:
    """The tools of these names, with the notes of one session. ConfigError for an unknown one."""
    clock = clock or (lambda: datetime.now().astimezone())
    known = {one.__name__: one for one in (_now(clock), calculate, *_notes(), _search(knowledge))}
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown tool {name!r}: {did_you_mean(name, known)}")
    return [known[name] for name in names]


def _now(clock: Callable[[], datetime]) -> Function:
    def now() -> str:
        """The date, the weekday and the time of day here and now."""
        return clock().strftime("%Y-%m-%d %A %H:%M %Z").strip()

    return now


def _notes() -> tuple[Function, Function]:
    notes: list[str] = []

    def take_note(text: str) -> str:
        """Write down something that the user wants to be remembered in this conversation.

        text: what to remember, in one sentence
        """
        if not text.strip():
            raise ConfigError("the note is empty")
        if len(notes) >= MAX_NOTES:
            raise ConfigError(f"there are {MAX_NOTES} notes already")
        notes.append(text.strip()[:_MAX_NOTE_CHARS])
        return f"noted, {len(notes)} in all"

    def read_notes() -> str:
        """Read all the notes of this conversation."""
        return "\n".join(f"{i}. {note}" for i, note in enumerate(notes, start=1)) or "no notes"

    return take_note, read_notes


def _search(knowledge: Sequence[Knowledge]) -> Function:
    def search(question: str) -> str:
        """Look something up in the user's own documents or on the web.

        question: what is looked for, in a few words
        """
        if not knowledge:
            raise ConfigError("there is nothing to search: no folder and no web search is set")
        found = [source for one in knowledge for source in one.search(question, _NUM_FOUND)]
        return "\n".join(f"[{one.name}] {one.text[:500]}" for one in found) or "nothing found"

    return search


def calculate(expression: str) -> str:
    """Compute an arithmetic expression, such as (3 + 4) * 2 ** 0.5 or sqrt(2).

    expression: numbers, + - * / // % **, brackets, sqrt sin cos tan exp log log10 abs round min max

    >>> calculate("(3 + 4) * 2"), calculate("2 ** 0.5"), calculate("0.1 + 0.2")
    ('14', '1.41421356237', '0.3')
    """
    # What people and small models write.
    text = expression.translate(str.maketrans("×÷−（），", "*/-(),")).replace("^", "**")
    if len(text) > _MAX_EXPRESSION_CHARS:
        raise ConfigError(f"the expression is longer than {_MAX_EXPRESSION_CHARS} characters")
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body)
        shown = f"{value:.12g}" if isinstance(value, float) else str(value)
    except (SyntaxError, MemoryError, RecursionError, ValueError, TypeError) as error:
        raise ConfigError(f"{expression[:60]!r} cannot be computed ({error})") from None
    except (ZeroDivisionError, OverflowError) as error:
        raise ConfigError(f"{expression[:60]!r} has no result ({error})") from None
    return shown


def _value(node: ast.AST) -> Number:
    """Of numbers, operators and the functions above alone: nothing else is looked at."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _number(node.value)
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _number(_OPERATORS[type(node.op)](_value(node.operand)))
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow):
            return _number(_power(left, right))
        if type(node.op) in _OPERATORS:
            return _number(_OPERATORS[type(node.op)](left, right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = _FUNCTIONS.get(node.func.id)
        if function is not None:
            return _number(function(*map(_value, node.args)))
    raise ValueError("it holds more than arithmetic")


def _power(base: Number, exponent: Number) -> Any:
    if abs(base) > 1 and math.log10(abs(base)) * exponent > _MAX_POWER:
        raise OverflowError("the number is too large")
    return base**exponent


def _number(value: Any) -> Number:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("the result is no real number")
    if isinstance(value, float) and not math.isfinite(value):
        raise OverflowError("the number is too large")
    return value
