"""Run `./run.sh` and put what it prints into both READMEs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = re.compile(r"(<!-- first screen -->\n```text\n).*?(```\n<!-- /first screen -->)", re.DOTALL)


def main() -> None:
    """Replace the marked block of each README."""
    done = subprocess.run(
        [str(ROOT / "run.sh")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # in the order in which a terminal shows it
        encoding="utf-8",
        check=True,
    )
    # The first call also tells what it installs and fetches: not what the reader is to look at.
    screen = done.stdout[done.stdout.index("mooer 0.") :].strip()
    for name in ("README.md", "README_CN.md"):
        path = ROOT / name
        text = path.read_text("utf-8")
        text, count = PLACE.subn(lambda place: f"{place[1]}{screen}\n{place[2]}", text)
        if count != 1:
            raise SystemExit(f"{name} lacks the place for the first screen")
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
