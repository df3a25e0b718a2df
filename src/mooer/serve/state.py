"""What all rooms of a server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import HTTPConnection

from mooer.serve.callers import Caller, Callers
from mooer.serve.engines import Engines, Load
from mooer.serve.jobs import Job, Workers
from mooer.serve.limits import Limits
from mooer.serve.metrics import Metrics
from mooer.serve.settings import Settings
from mooer.serve.tools import Tools

CALLER = "mooer.caller"  # where a connection's scope has who calls
REQUEST_ID = "mooer.request_id"
HOLD = "mooer.hold"  # what counts the bytes of a body that is kept in memory

T = TypeVar("T")


@dataclass(frozen=True)
class State:
    """Settings, models, tools, callers, limits, numbers, threads: one of each in a process."""

    settings: Settings
    engines: Engines
    tools: Tools
    callers: Callers
    limits: Limits
    metrics: Metrics
    workers: Workers

    def job(self, connection: HTTPConnection) -> Job:
        """The work of one request, with the deadline of the settings."""
        limits = self.settings.limits
        return Job(caller_of(connection), limits.deadline_s, max_duration_s=limits.max_duration_s)


def make_state(settings: Settings, load: Load) -> State:
    """A state with nothing loaded. ConfigError if the keys cannot be read."""
    metrics = Metrics(settings.metrics_dir)
    limits = Limits(settings.limits, metrics)
    return State(
        settings,
        Engines(settings, metrics, load),
        Tools(settings),
        Callers.of(settings),
        limits,
        metrics,
        Workers(limits),
    )


def caller_of(connection: HTTPConnection) -> Caller:
    """Who sends a request, or has opened a WebSocket; the guard before all routes found it out."""
    caller: Caller = connection.scope[CALLER]
    return caller


def request_id_of(connection: HTTPConnection) -> str:
    """The id under which the log tells of a request."""
    return str(connection.scope.get(REQUEST_ID, ""))


Routes = Callable[[State], list[T]]
