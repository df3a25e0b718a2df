"""What the rooms of a session share: its time, its options, the events told, the work under way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from mooer.agent.events import Event, Failed
from mooer.agent.jobs import Done, Job, Jobs, Work
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Parts
from mooer.errors import MooerError, first_line

logger = logging.getLogger(__name__)

OnResult = Callable[[Any], None]
OnDone = Callable[[MooerError | None], None]


class Task:
    """A job and who wants its results; once closed, nobody does."""

    def __init__(self, job: Job, on_result: OnResult, on_done: OnDone) -> None:
        self.job = job
        self.on_result = on_result
        self.on_done = on_done
        self.is_open = True

    def close(self) -> None:
        """Stop the work; nothing more of it is heard."""
        if self.is_open:
            self.is_open = False
            self.job.close()


class Context:
    """The state that all rooms of a session see; of one thread."""

    def __init__(self, parts: Parts, options: AgentOptions, jobs: Jobs) -> None:
        self.parts = parts
        self.options = options
        self.jobs = jobs
        self.time_s = 0.0  # of what is being handled: a frame, or a result
        self._events: list[Event] = []
        self._tasks: list[Task] = []

    def tell(self, event: Event) -> None:
        """Add to what the session tells."""
        self._events.append(event)

    def told(self) -> list[Event]:
        """What is new since the last call."""
        events, self._events = self._events, []
        return events

    def fail(self, stage: str, error: MooerError) -> None:
        """Tell of a stage that failed."""
        message = first_line(error)
        logger.warning("%s failed: %s", stage, message)
        self.tell(Failed(self.time_s, stage, message))

    def start(
        self, lane: str, work: Work, deadline_s: float, on_result: OnResult, on_done: OnDone
    ) -> Task:
        """Begin work now; its results come to `on_result`, its end or failure to `on_done`."""
        job = self.jobs.start(lane, work, at_s=self.time_s, deadline_s=deadline_s)
        task = Task(job, on_result, on_done)
        self._tasks.append(task)
        return task

    def run_until(self, now_s: float) -> None:
        """Hand out the results that came by `now_s`, in their order, each at its time."""
        while self._tasks:
            self._tasks = [task for task in self._tasks if task.is_open]
            found = [(due_s, task) for task in self._tasks if (due_s := _due(task, now_s)) >= 0]
            if not found:
                break
            due_s, task = min(found, key=lambda pair: pair[0])
            self.time_s = max(self.time_s, due_s)
            value = task.job.take()
            if isinstance(value, Done):
                task.is_open = False
                task.on_done(value.error)
            else:
                task.on_result(value)
        self.time_s = max(self.time_s, now_s)

    def close(self) -> None:
        """Stop all work."""
        for task in self._tasks:
            task.close()
        self._tasks.clear()


def _due(task: Task, now_s: float) -> float:
    due_s = task.job.due(now_s)
    return -1.0 if due_s is None else due_s
