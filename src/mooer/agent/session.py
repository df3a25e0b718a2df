"""One conversation: the user's sound in, events out; what was heard is known to the sample."""

from __future__ import annotations

from mooer.agent.events import Event
from mooer.agent.jobs import Jobs
from mooer.agent.mind import Turn
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Parts, Samples


class Session:
    """One conversation; use it from one thread.

    Time is that of the user's sound: push it as it comes, silence too, and play what comes back.
    Without `jobs` the models run in threads, made for this session and ended with it.
    """

    def __init__(
        self, parts: Parts, options: AgentOptions | None = None, *, jobs: Jobs | None = None
    ) -> None:
        raise NotImplementedError

    def push(self, samples: Samples, *, start_s: float | None = None) -> list[Event]:
        """Hear the user's sound, float32 [T] in [-1, 1] at 16 kHz, of any length.

        `start_s` says where in the stream it begins, if some was lost before it; sound of a time
        that has passed is appended as it is. AudioError for what is no such sound.
        """
        raise NotImplementedError

    def poll(self) -> list[Event]:
        """What work has brought meanwhile."""
        raise NotImplementedError

    def played(self, answer: int, num_samples: int) -> list[Event]:
        """The client's report: so many samples of the answer, at its own rate, are played so far.

        Reports may come late and out of order; those of an unknown answer say nothing.
        """
        raise NotImplementedError

    def say(self, text: str) -> list[Event]:
        """A user's turn as text; what is being said is broken off."""
        raise NotImplementedError

    def commit(self) -> list[Event]:
        """End the user's turn by hand."""
        raise NotImplementedError

    def clear(self) -> list[Event]:
        """Forget what was heard of the user's turn so far."""
        raise NotImplementedError

    def respond(self, instructions: str = "") -> list[Event]:
        """Answer what is there, with instructions for this answer beside those of the options."""
        raise NotImplementedError

    def speak(self, text: str) -> list[Event]:
        """Say a text as an answer that nobody asked for, a greeting perhaps; no mind is asked."""
        raise NotImplementedError

    def interrupt(self) -> list[Event]:
        """Break off the answer that is being made or played: by key or button."""
        raise NotImplementedError

    def truncate(self, answer: int, num_samples: int) -> list[Event]:
        """Of an answer only so many samples were heard, says the client; it is broken off there."""
        raise NotImplementedError

    def tool_result(self, call: str, output: str) -> list[Event]:
        """The result of a call that the client was told of; AgentError if there is no such call."""
        raise NotImplementedError

    def remember(self, turn: Turn) -> None:
        """Put a turn into memory as it is, behind all others."""
        raise NotImplementedError

    def change(self, options: AgentOptions) -> None:
        """Go on with other options; they hold from the next turn and the next answer on."""
        raise NotImplementedError

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Memory: of the agent's turns what was heard, to the sample."""
        raise NotImplementedError

    @property
    def options(self) -> AgentOptions:
        """Those that hold now."""
        raise NotImplementedError

    @property
    def time_s(self) -> float:
        """Seconds of the user's sound so far."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop all work; the session cannot be used afterwards."""
        raise NotImplementedError
