"""Workers of a crew that do as a folder says: `python crewed.py FOLDER NUM`.

A worker writes its pid there. While there is a file `broken` it ends before it answers; a file
`still-PID` makes it stand still.
"""

import logging
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from mooer.serve import crew


def work(config, place, beat):
    """A worker."""
    folder = config.folder
    if (folder / "broken").exists():
        return
    beat.value += 1
    (folder / f"pid-{os.getpid()}").touch()
    while crew.has_parent():
        while (folder / f"still-{os.getpid()}").exists():
            time.sleep(0.01)
        beat.value += 1
        time.sleep(0.02)
    (folder / f"orphan-{os.getpid()}").touch()


class Config(SimpleNamespace):
    """What a crew needs of uvicorn's."""

    def configure_logging(self):
        """Nothing."""


def main():
    """Run a crew until it is told to end."""
    logging.basicConfig(level="INFO", format="%(message)s")
    crew._POLL_S, crew._STILL_S, crew._AGAIN_S = 0.02, 0.5, 0.1
    crew.Crew(Config(workers=int(sys.argv[2]), folder=Path(sys.argv[1])), None, work).run(0.5)


if __name__ == "__main__":
    main()
