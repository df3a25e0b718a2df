"""The agent's own voice in the microphone: taken out of the user's sound (off by default)."""

from __future__ import annotations

from mooer.agent.answer import Answer
from mooer.agent.parts import Samples


class EchoGuard:
    """Not there yet."""

    def cancel(self, samples: Samples, answer: Answer | None) -> Samples:
        """The user's sound without the agent's."""
        return samples
