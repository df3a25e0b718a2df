"""Python functions that a mind may call: what they take is read from their signatures.

    def weather(city: str, days: int = 1) -> str:
        \"\"\"The weather of a city.

        city: its name
        \"\"\"

    tools = Toolbox([weather])
    tools.run("weather", '{"city": "上海"}')

A call is bounded in time, and whatever goes wrong in it is a result that tells the mind so.
"""

from __future__ import annotations

import inspect
import json
import logging
import queue
import re
import threading
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from mooer.agent.mind import Tool
from mooer.errors import ConfigError, MooerError, did_you_mean, first_line

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0
MAX_CHARS = 2000  # of a result: what a small context can hold
_TYPES: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_ARGUMENT = re.compile(r"^\s*(\w+): (.+)$", re.MULTILINE)

Function = Callable[..., Any]


class Toolbox:
    """Functions by name. ConfigError if one cannot be a tool, or two have one name."""

    def __init__(self, functions: Iterable[Function] = (), *, timeout_s: float = TIMEOUT_S) -> None:
        self._functions: dict[str, Function] = {}
        self._tools: dict[str, Tool] = {}
        self._timeout_s = timeout_s
        for function in functions:
            tool = tool_of(function)
            if tool.name in self._tools:
                raise ConfigError(f"two tools are called {tool.name}: rename one")
            self._functions[tool.name], self._tools[tool.name] = function, tool

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What a mind is told of them."""
        return tuple(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def run(self, name: str, arguments: str) -> str:
        """The result of a call as text for the mind; an error is one too ("error: …")."""
        try:
            values = self._values(name, arguments)
        except ConfigError as error:
            return f"error: {error}"
        found: queue.SimpleQueue[str] = queue.SimpleQueue()

        def work() -> None:
            found.put(_called(self._functions[name], values))

        # A function that hangs is left behind: a thread cannot be ended from outside.
        threading.Thread(target=work, name=f"tool-{name}", daemon=True).start()
        try:
            return found.get(timeout=self._timeout_s)
        except queue.Empty:
            logger.warning("the tool %s takes more than %g s", name, self._timeout_s)
            return f"error: {name} takes more than {self._timeout_s:g} s"

    def _values(self, name: str, arguments: str) -> dict[str, Any]:
        if name not in self._tools:
            raise ConfigError(f"there is no tool {name!r}: {did_you_mean(name, self._tools)}")
        try:
            values = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            raise ConfigError(f"the arguments of {name} are no JSON") from None
        if not isinstance(values, dict):
            raise ConfigError(f"the arguments of {name} are no object")
        parameters = self._tools[name].parameters
        known: Mapping[str, Any] = parameters["properties"]
        for key in values:
            if key not in known:
                raise ConfigError(f"{name} takes no {key!r}: {did_you_mean(str(key), known)}")
        if missing := [key for key in parameters["required"] if key not in values]:
            raise ConfigError(f"{name} needs {', '.join(missing)}")
        return {key: _fitting(key, value, known[key]) for key, value in values.items()}


def tool_of(function: Function) -> Tool:
    """A function as a tool: its docstring says what it does, a line `name: text` what it takes.

    Arguments are str, int, float, bool, Literal of strings, or lists of these, all annotated.
    ConfigError if it has others, or says nothing.
    """
    name = function.__name__
    text = inspect.getdoc(function) or ""
    if not text.strip():
        raise ConfigError(f"the tool {name} has no docstring: say there what it does")
    notes = dict(_ARGUMENT.findall(text))
    hints = typing.get_type_hints(function)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"the tool {name} takes *{parameter.name}: give each a name")
        schema = _schema(hints.get(parameter.name), f"{parameter.name} of the tool {name}")
        note = notes.get(parameter.name)
        properties[parameter.name] = {**schema, **({"description": note} if note else {})}
        if parameter.default is parameter.empty:
            required.append(parameter.name)
    description = text.partition("\n\n")[0].replace("\n", " ")
    return Tool(
        name,
        description,
        {"type": "object", "properties": properties, "required": required},
    )


def _schema(hint: Any, where: str) -> dict[str, Any]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        hints = [one for one in get_args(hint) if one is not type(None)]
        if len(hints) == 1:
            return _schema(hints[0], where)
    if origin is Literal and all(isinstance(one, str) for one in get_args(hint)):
        return {"type": "string", "enum": list(get_args(hint))}
    if origin in (list, Sequence):
        return {"type": "array", "items": _schema(get_args(hint)[0], where)}
    if hint in _TYPES:
        return {"type": _TYPES[hint]}
    raise ConfigError(f"{where} must be annotated as str, int, float, bool or a list of these")


def _fitting(key: str, value: Any, schema: Mapping[str, Any]) -> Any:
    """A value as its schema has it: small models write numbers as text, and text as numbers."""
    kind = schema["type"]
    try:
        if kind == "array" and isinstance(value, list):
            return [_fitting(key, one, schema["items"]) for one in value]
        if kind == "integer" and not isinstance(value, bool) and float(value) == int(float(value)):
            return int(float(value))
        if kind == "number" and not isinstance(value, bool):
            return float(value)
        if kind == "boolean" and (value in (True, False) or value in ("true", "false")):
            return value in (True, "true")
        if kind == "string" and isinstance(value, str | int | float):
            text = str(value)
            if "enum" not in schema or text in schema["enum"]:
                return text
    except (TypeError, ValueError, OverflowError):
        pass
    wanted = " or ".join(schema["enum"]) if "enum" in schema else kind
    raise ConfigError(f"{key} must be {wanted}, got {str(value)[:40]!r}")


def _called(function: Function, values: Mapping[str, Any]) -> str:
    try:
        found = function(**values)
    except MooerError as error:
        return f"error: {error}"
    except Exception as error:  # of somebody else's function, which the conversation must survive
        logger.warning("the tool %s failed", function.__name__, exc_info=True)
        return f"error: {type(error).__name__}: {first_line(error)}"
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"
