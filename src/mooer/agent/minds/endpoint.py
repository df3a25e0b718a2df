"""A mind behind an address: any server of OpenAI's chat completions, answers streamed."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from mooer.agent.exchange import Request, Service, lines
from mooer.agent.mind import Tool, ToolCall, Turn
from mooer.agent.minds.spoken_text import spoken_text, without_loops
from mooer.agent.minds.wording import as_function, language_of, spoken
from mooer.errors import AgentError, ConfigError

PATH = "/chat/completions"
_SILENT_S = 30.0  # of events that say nothing: comments keep a connection alive, not a talk
_MAX_ARGUMENTS = 20_000  # characters, of one call


class Endpoint:
    """Answers by a service, whose address ends as its clients have it (…/v1).

    `model` is the name of a model there. Where the service ignores `max_tokens`, an answer is
    broken off all the same.
    """

    hears = False

    def __init__(self, service: Service, model: str, *, temperature: float | None = None) -> None:
        if not model.strip():
            raise ConfigError("the endpoint needs the name of a model there: give one")
        self._service = service
        self._model = model
        self._temperature = temperature

    @classmethod
    def open(cls, model: str, *, url: str, key: str = "") -> Endpoint:
        """The mind of a model at an address; nothing is asked of it yet. ConfigError."""
        return cls(Service(url, key), model)

    def answer(
        self,
        turns: Sequence[Turn],
        *,
        system: str,
        tools: Sequence[Tool] = (),
        max_tokens: int = 200,
    ) -> Generator[str | ToolCall, None, None]:
        """The answer to the last turn. AgentError if the service fails, stalls or breaks off.

        What was written until then has been given out.
        """
        if not turns:
            raise AgentError("there is no turn to answer: say something first")
        told = {"role": "system", "content": spoken(system, language_of(turns))}
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [told, *map(_message, turns)],
            "stream": True,
            "max_tokens": max_tokens,
        }
        if tools:
            body["tools"] = [as_function(tool) for tool in tools]
        if self._temperature is not None:
            body["temperature"] = self._temperature
        key = self._service.key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with closing(lines(self._service, Request(PATH, body, headers))) as found:
            pieces = self._pieces(found)
            with closing(without_loops(spoken_text(pieces), max_chars=12 * max_tokens)) as answer:
                yield from answer

    def _pieces(self, found: Iterator[str]) -> Generator[str | ToolCall, None, None]:
        """Text as it comes; calls when they are whole, at the end."""
        calls: dict[int, list[str]] = {}  # id, name, arguments
        is_whole = False
        heard_s = time.monotonic()
        for event in self._events(found):
            if event is None:
                if time.monotonic() - heard_s > _SILENT_S:
                    raise AgentError(f"{self._service.host} goes on without saying anything")
                continue
            heard_s = time.monotonic()
            for choice in _choices(event)[:1]:
                delta = choice.get("delta")
                delta = delta if isinstance(delta, Mapping) else {}
                if isinstance(content := delta.get("content"), str) and content:
                    yield content
                self._collect(delta.get("tool_calls"), calls)
                is_whole |= bool(choice.get("finish_reason"))
            is_whole |= event.get("done") is True
        if not is_whole:
            raise AgentError(f"the answer of {self._service.host} broke off: ask again")
        for number, (place, name, arguments) in sorted(calls.items()):
            yield ToolCall(place or f"call_{number}", name, arguments or "{}")

    def _events(self, found: Iterator[str]) -> Iterator[Mapping[str, Any] | None]:
        """The events of a stream, None for a line that holds none."""
        for line in found:
            field, _, value = line.partition(":")
            value = value.strip()
            if field != "data" or not value:
                if line.strip() and field not in ("", "event", "id", "retry"):
                    raise self._nonsense(line)
                yield None
                continue
            if value == "[DONE]":
                yield {"done": True}
                return
            try:
                event = json.loads(value)
            except (ValueError, RecursionError):
                raise self._nonsense(value) from None
            if not isinstance(event, Mapping):
                raise self._nonsense(value)
            if problem := event.get("error"):
                said = problem.get("message") if isinstance(problem, Mapping) else problem
                raise AgentError(f"{self._service.host} cannot go on: {str(said)[:160]}")
            yield event

    def _collect(self, deltas: object, calls: dict[int, list[str]]) -> None:
        """Put pieces of calls to what came of them before."""
        for i, delta in enumerate(deltas if isinstance(deltas, list) else []):
            if not isinstance(delta, Mapping):
                continue
            index = delta.get("index")
            call = calls.setdefault(index if isinstance(index, int) else i, ["", "", ""])
            function = delta.get("function")
            function = function if isinstance(function, Mapping) else {}
            call[0] = str(delta.get("id") or call[0])
            call[1] = str(function.get("name") or call[1])
            call[2] += str(function.get("arguments") or "")
            if len(call[2]) > _MAX_ARGUMENTS:
                raise AgentError(f"{self._service.host} calls a tool without an end")

    def _nonsense(self, text: str) -> AgentError:
        return AgentError(
            f"{self._service.host} writes what is no stream of chat completions "
            f"({text[:80]!r}): look at the address, which mostly ends in /v1"
        )


def _choices(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices = event.get("choices")
    return [one for one in choices if isinstance(one, Mapping)] if isinstance(choices, list) else []


def _message(turn: Turn) -> dict[str, Any]:
    text = turn.text.encode(errors="replace").decode()
    if turn.role == "tool":
        return {"role": "tool", "tool_call_id": turn.call, "content": text}
    message: dict[str, Any] = {"role": turn.role, "content": text + ("…" if turn.is_cut else "")}
    if turn.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in turn.calls
        ]
    return message
