"""Checkpoints are whole or not there."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mooer.errors import ModelError, OutputError
from mooer.train import checkpoint
from mooer.train.checkpoint import Progress


def fill(folder: Path) -> None:
    checkpoint.write_tensors(folder / "trained.safetensors", {"a": torch.arange(3.0)})


def write(folder: Path, step: int) -> Path:
    return checkpoint.write(folder, Progress(step=step, data={"x": [1]}), fill)


def test_back_and_forth(tmp_path: Path) -> None:
    path = write(tmp_path, 7)
    assert checkpoint.newest(tmp_path) == path
    assert checkpoint.read_progress(path) == Progress(step=7, data={"x": [1]})
    assert checkpoint.read_tensors(path / "trained.safetensors")["a"].tolist() == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000007"]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "manifest", "added"])
def test_a_damaged_one_is_passed_over(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = write(tmp_path, 1), write(tmp_path, 2)
    tensors = bad / "trained.safetensors"
    data = tensors.read_bytes()
    if damage == "cut":
        tensors.write_bytes(data[:-1])
    elif damage == "flip":
        tensors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "gone":
        tensors.unlink()
    elif damage == "manifest":
        (bad / "manifest.json").write_text("{")
    else:
        (bad / "more").write_text("x")
    assert checkpoint.newest(tmp_path) == good
    assert "step-00000002 is damaged" in caplog.text


def test_leftovers_are_removed(tmp_path: Path) -> None:
    good = write(tmp_path, 1)
    left = checkpoint.scratch_of(tmp_path, 2)
    left.mkdir()
    (left / "trained.safetensors").write_bytes(b"half")
    assert checkpoint.newest(tmp_path) == good
    assert not left.exists()


def test_a_full_disk_keeps_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write(tmp_path, 1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"step 2 .*No space left on device.*--resume"):
        write(tmp_path, 2)
    assert list(tmp_path.iterdir()) == [good]
    assert checkpoint.newest(tmp_path) == good


def test_a_real_limit_of_the_system_is_told(tmp_path: Path) -> None:
    script = f"""
import resource, signal, torch
from pathlib import Path
from mooer.errors import OutputError
from mooer.train import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def fill(folder):
    checkpoint.write_tensors(folder / "trained.safetensors", {{"a": torch.zeros(100_000)}})
folder = Path({str(tmp_path)!r})
checkpoint.write(folder, checkpoint.Progress(step=1), fill)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, {resource.RLIM_INFINITY}))
try:
    checkpoint.write(folder, checkpoint.Progress(step=2), fill)
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "cannot write the checkpoint of step 2" in done.stdout, done.stderr
    assert checkpoint.newest(tmp_path) == tmp_path / "step-00000001"
    assert len(list(tmp_path.iterdir())) == 1


def test_prune_and_average(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.write(
            tmp_path,
            Progress(step=step),
            lambda folder, step=step: checkpoint.write_tensors(
                folder / "trained.safetensors", {"a": torch.full((2,), float(step))}
            ),
        )
    mean = checkpoint.average(checkpoint.all_in(tmp_path))
    assert mean["a"].tolist() == [2, 2]
    checkpoint.prune(tmp_path, {3})
    assert [checkpoint.step_of(path) for path in checkpoint.all_in(tmp_path)] == [3]


def test_no_safetensors(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot read"):
        checkpoint.read_tensors(tmp_path / "x.safetensors")
