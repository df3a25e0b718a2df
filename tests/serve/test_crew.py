"""Workers that die, stand still, cannot start, or lose their parent."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests.serve.stand import until

CREWED = Path(__file__).with_name("crewed.py")


class Crewed:
    """A crew in a process of its own, and the pids of its workers."""

    def __init__(self, folder, num):
        self.folder = folder
        root = Path(__file__).parents[2]
        paths = os.pathsep.join([str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, str(CREWED), str(folder), str(num)],
            env={**os.environ, "PYTHONPATH": paths},
            stderr=subprocess.PIPE,
            text=True,
        )

    def pids(self):
        found = (int(path.name[4:]) for path in self.folder.glob("pid-*"))
        return {pid for pid in found if is_alive(pid)}

    def until(self, num):
        until(lambda: len(self.pids()) == num, 30)
        return self.pids()


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def crew(folder, num=2):
    found = Crewed(folder, num)
    try:
        yield found
    finally:
        found.process.terminate()
        found.log = found.process.communicate(timeout=30)[1]
        until(lambda: not found.pids(), 10)  # nobody is left behind


def test_one_that_dies_or_stands_still_is_made_anew(tmp_path):
    with crew(tmp_path) as found:
        first, second = sorted(found.until(2))
        os.kill(first, signal.SIGKILL)
        until(lambda: first not in found.pids(), 10)
        third = next(iter(found.until(2) - {second}))
        (tmp_path / f"still-{second}").touch()
        until(lambda: second not in found.pids(), 10)
        assert third in found.until(2)
    assert found.log.count("died or stood still") == 2
    assert "Traceback" not in found.log
    assert found.process.returncode == 0


def test_the_others_work_on_while_one_cannot_be_started(tmp_path):
    with crew(tmp_path) as found:
        first, second = sorted(found.until(2))
        (tmp_path / "broken").touch()
        os.kill(first, signal.SIGKILL)
        until(lambda: found.pids() == {second}, 10)
        with pytest.raises(AssertionError):
            until(lambda: found.process.poll() is not None or not is_alive(second), 2)
        (tmp_path / "broken").unlink()
        assert second in found.until(2)


def test_a_crew_that_cannot_start_says_so_and_leaves_nobody(tmp_path):
    (tmp_path / "broken").touch()
    found = Crewed(tmp_path, 2)
    log = found.process.communicate(timeout=30)[1]
    assert "before it could answer" in log
    assert found.process.returncode == 1


def test_workers_end_by_themselves_without_their_parent(tmp_path):
    with crew(tmp_path) as found:
        pids = found.until(2)
        found.process.kill()
        until(lambda: not found.pids(), 10)
    assert {int(path.name[7:]) for path in tmp_path.glob("orphan-*")} == pids
