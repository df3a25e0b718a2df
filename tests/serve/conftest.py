"""What the tests of a server share."""

import logging

import pytest


@pytest.fixture(autouse=True)
def own_logs():
    """A server's log begins and ends with the test: others' streams are closed by now."""
    kept = [
        (one, one.handlers[:], one.level, one.propagate)
        for one in map(logging.getLogger, ("mooer", "uvicorn"))
    ]
    for logger, _, _, _ in kept:
        logger.handlers[:], logger.propagate = [], True
    yield
    for logger, handlers, level, propagate in kept:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
