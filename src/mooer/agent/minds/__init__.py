"""What answers: minds by name."""

from __future__ import annotations

from mooer.registry import Table

MINDS = Table(
    "mind",
    {
        "embedded": "mooer.agent.minds.embedded:Embedded",
        "mini": "mooer.agent.minds.heard:Heard",
        "openai": "mooer.agent.minds.endpoint:Endpoint",
        "reciter": "mooer.agent.minds.reciter:Reciter",
    },
)

__all__ = ["MINDS"]
