"""What the tests of a server share."""

import logging

import pytest


@pytest.fixture(autouse=True)
def own_logs():
    """What a server does to the log ends with the test: its stream is closed then."""
    kept = [
        (one, one.handlers[:], one.level) for one in map(logging.getLogger, ("mooer", "uvicorn"))
    ]
    yield
    for logger, handlers, level in kept:
        logger.handlers[:] = handlers
        logger.setLevel(level)
