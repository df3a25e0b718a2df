"""A server over fakes as a process of its own: `python served.py PORT WORKERS`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import mooer.serve.run as running  # noqa: E402
from tests.serve.stand import Models, settings  # noqa: E402

if __name__ == "__main__":
    port, workers = int(sys.argv[1]), int(sys.argv[2])
    made = running.configure
    running.configure = lambda settings: made(settings, Models(busy_s=1.0))
    running.serve(settings(port=port, workers=workers, chat=None))
