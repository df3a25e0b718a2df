"""What all tests share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def examples() -> Path:
    """Folder with the two clips that ship."""
    return ROOT / "examples"


@pytest.fixture(scope="session")
def model():
    """The default model, with its real weights."""
    import mooer

    return mooer.load()
