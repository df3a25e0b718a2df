"""What all tests share."""

import logging
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A shell that starts the tests in the background has them ignore Ctrl-C, which some test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_logs():
    """What a command or a server does to the log ends with the test: its stream is closed then."""
    kept = [
        (one, one.handlers[:], one.level, one.propagate)
        for one in map(logging.getLogger, ("mooer", "uvicorn"))
    ]
    yield
    for logger, handlers, level, propagate in kept:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session")
def examples() -> Path:
    """Folder with the two clips that ship."""
    return ROOT / "examples"


@pytest.fixture(scope="module")
def own_home(tmp_path_factory):
    """An empty MOOER_HOME, also of the processes that are started."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("MOOER_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def model():
    """The default model, with its real weights."""
    import mooer

    return mooer.load()
