"""Whole runs: exact after SIGKILL, equal however they are spread, stopped with a clear word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.stand import Silent, build, recipe, score, stream

from mooer.errors import ConfigError, ManifestError, TrainError
from mooer.train import checkpoint, curves, journal
from mooer.train.products import products
from mooer.train.recipe import Checkpoints, Recipe, Schedule, Stage, Validation, ValidationSet
from mooer.train.run import Parts, Run

WORKER = Path(__file__).with_name("worker.py")
STAGES = [
    {"name": "first", "train": ["adapter", "ctc"], "steps": 4, "lr": 3e-3, "ctc_weight": 0.3},
    {"name": "second", "train": ["encoder", "adapter", "llm"], "steps": 6, "lr": 3e-3,
     "schedule": {"name": "cosine", "warmup_steps": 2}, "accumulate": 2},
]  # fmt: skip
ENCODER = {"name": "sanm", "config": {"dropout": 0.2}}
MODEL = {"encoder": ENCODER, "llm": {"path": "nowhere"}}
EXACT = {
    "stages": STAGES,
    "model": MODEL,
    "checkpoints": {"every_steps": 2, "keep": 2},
    "validation": {"sets": [{"name": "dev", "manifest": "x"}], "every_steps": 5},
}


def work(
    out: Path, order: dict[str, Any], num_processes: int = 1
) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(WORKER), json.dumps({"out": str(out), **order})]
    if num_processes > 1:
        words[1:1] = ["-m", "torch.distributed.run", "--standalone"]
        words[4:4] = ["--nproc-per-node", str(num_processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=100)


def losses(out: Path) -> list[tuple[Any, ...]]:
    """All that a run computes, without its times."""
    return [
        tuple((k, v) for k, v in row.items() if k != "time" and not k.endswith("_s"))
        for row in journal.read(out)
    ]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    done = work(out, {"recipe": EXACT})
    assert json.loads(done.stdout) == {"step": 10, "finished": True}, done.stderr
    return out


def same(one: Path, other: Path) -> None:
    assert losses(one) == losses(other)
    for file in ("trained.safetensors", "optimizer.safetensors"):
        paths = [checkpoint.newest(out / "checkpoints") for out in (one, other)]
        assert paths[0] is not None
        assert paths[1] is not None
        a, b = (checkpoint.read_tensors(path / file) for path in paths if path)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 4, 7])  # before any checkpoint, between, at a stage's end
def test_killed_at_a_step_it_goes_on_to_the_last_bit(
    tmp_path: Path, uninterrupted: Path, step: int
) -> None:
    killed = work(tmp_path, {"recipe": EXACT, "kill_at": step})
    assert killed.returncode == -signal.SIGKILL
    done = work(tmp_path, {"recipe": EXACT, "mode": "resume"})
    assert json.loads(done.stdout)["finished"], done.stderr
    same(tmp_path, uninterrupted)


@pytest.mark.slow
def test_killed_while_a_checkpoint_is_written(tmp_path: Path, uninterrupted: Path) -> None:
    killed = work(tmp_path, {"recipe": EXACT, "kill_in_write": 6})
    assert killed.returncode == -signal.SIGKILL
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert ".tmp-step-00000006" in names
    assert "step-00000006" not in names
    done = work(tmp_path, {"recipe": EXACT, "mode": "resume"})
    assert json.loads(done.stdout)["finished"], done.stderr
    same(tmp_path, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_asked_to_stop_it_saves_and_can_go_on(
    tmp_path: Path, uninterrupted: Path, number: str
) -> None:
    stopped = work(tmp_path, {"recipe": EXACT, "kill_at": 6, "signal": number})
    assert json.loads(stopped.stdout) == {"step": 7, "finished": False}, stopped.stderr
    work(tmp_path, {"recipe": EXACT, "mode": "resume"})
    same(tmp_path, uninterrupted)


@pytest.mark.slow
def test_spread_over_processes_it_learns_the_same(tmp_path: Path) -> None:
    plain = {"name": "all", "train": ["encoder", "adapter", "llm"], "steps": 8, "lr": 3e-3}
    sets = {"sets": [{"name": "dev", "manifest": "x"}], "every_steps": 4}
    alone = {"stages": [{**plain, "accumulate": 2}], "validation": sets}
    done = work(tmp_path / "none", {"recipe": alone})
    assert done.returncode == 0, done.stderr
    rows = list(journal.read(tmp_path / "none"))
    for strategy in ("ddp", "fsdp"):
        spread = {
            "stages": [plain],
            "validation": sets,
            "parallel": {"strategy": strategy, "device": "cpu"},
        }
        out = tmp_path / strategy
        killed = work(out, {"recipe": spread, "kill_at": 5}, num_processes=2)
        assert killed.returncode != 0
        done = work(out, {"recipe": spread, "mode": "resume"}, num_processes=2)
        assert done.returncode == 0, done.stderr
        others = list(journal.read(out))
        assert len(others) == len(rows) == 10
        for row, other in zip(rows, others, strict=True):
            assert other["loss"] == pytest.approx(row["loss"], abs=1e-5)
            assert other.get("wer") == row.get("wer")
            assert other.get("tokens") == row.get("tokens")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["zero2", "zero3"])
def test_deepspeed_learns_the_same(tmp_path: Path, strategy: str) -> None:
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    plain = {"name": "all", "train": ["encoder", "adapter", "llm"], "steps": 6, "lr": 3e-3}
    stages = [
        {"name": "first", "train": ["adapter"], "steps": 2, "lr": 3e-3, "max_grad_norm": 0.5},
        plain,
    ]
    sets = {
        "sets": [{"name": "dev", "manifest": "x", "decode": strategy == "zero2"}],
        "every_steps": 4,
    }
    alone = [{**stage, "accumulate": 4} for stage in stages]
    done = work(tmp_path / "none", {"recipe": {"stages": alone, "validation": sets}})
    assert done.returncode == 0, done.stderr
    spread = {
        "stages": [{**stage, "accumulate": 2} for stage in stages],
        "validation": sets,
        "parallel": {"strategy": strategy, "device": "cpu"},
        "checkpoints": {"every_steps": 2},
    }
    out = tmp_path / strategy
    assert work(out, {"recipe": spread, "kill_at": 6}, num_processes=2).returncode != 0
    done = work(out, {"recipe": spread, "mode": "resume"}, num_processes=2)
    assert done.returncode == 0, done.stderr
    rows, others = journal.read(tmp_path / "none"), journal.read(out)
    for row, other in zip(rows, others, strict=True):
        assert other["loss"] == pytest.approx(row["loss"], abs=1e-5)
        assert other.get("grad_norm", 0) == pytest.approx(row.get("grad_norm", 0), rel=1e-4)
        assert other.get("wer") == row.get("wer")


def run(out: Path, chosen: Recipe, *, mode: Any = "new", make: Any = build) -> Silent:
    report = Silent()
    Run(chosen, out, build=make, score=score, report=report).start(mode)
    return report


def test_accumulated_batches_have_the_gradient_of_one_big_batch(tmp_path: Path) -> None:
    def joined(state: Any) -> Iterator[tuple[list[Any], Any]]:
        source = stream(state)
        while True:
            (first, _), (second, after) = next(source), next(source)
            yield first + second, after

    def big(chosen: Recipe) -> Parts:
        return replace(build(chosen), stream=joined)

    stage = Stage("all", ("encoder", "adapter", "llm", "ctc"), 3, lr=1e-3, ctc_weight=0.5)
    small = run(tmp_path / "a", recipe(stages=(replace(stage, accumulate=2),)))
    large = run(tmp_path / "b", recipe(stages=(stage,)), make=big)
    assert small.losses == pytest.approx(large.losses, abs=1e-6)
    norms = [[row["grad_norm"] for row in journal.read(tmp_path / name)] for name in "ab"]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_it_learns_scores_keeps_the_best_and_draws(tmp_path: Path) -> None:
    chosen = recipe(
        stages=(
            Stage("all", ("encoder", "adapter", "llm"), 120, lr=1e-2,
                  schedule=Schedule("linear", warmup_steps=5), accumulate=2),
        ),
        validation=Validation((ValidationSet("dev", "x"),), every_steps=40, max_new_tokens=10),
        checkpoints=Checkpoints(every_steps=30, keep=1, average=2),
    )  # fmt: skip
    report = run(tmp_path, chosen)
    assert report.losses[-1] < 0.2 * report.losses[0]
    assert report.scores[-1]["wer"] <= 0.5
    kept = [checkpoint.step_of(path) for path in checkpoint.all_in(tmp_path / "checkpoints")]
    assert kept[-1] == 120
    assert len(kept) <= 3
    assert curves.draw(tmp_path).read_bytes()[:4] == b"\x89PNG"
    events = list(journal.write_tensorboard(tmp_path).glob("events.*"))
    assert len(events) == 1


def test_where_nothing_is_scored_the_newest_are_averaged(tmp_path: Path) -> None:
    stage = Stage("all", ("adapter",), 8, lr=1e-2)
    settings = Checkpoints(every_steps=2, keep=1, average=3)
    run(tmp_path, recipe(stages=(stage,), checkpoints=settings))
    paths = checkpoint.all_in(tmp_path / "checkpoints")
    assert [checkpoint.step_of(path) for path in paths] == [4, 6, 8]
    (paths[-1].with_name("step-00000010")).mkdir()  # damaged
    found = products(tmp_path, 2)
    assert list(found) == ["last", "average"]
    before, last = (checkpoint.read_tensors(path / "trained.safetensors") for path in paths[1:])
    for name, tensor in found["average"].items():
        assert torch.equal(found["last"][name], last[name])
        torch.testing.assert_close(tensor, (before[name] + last[name]) / 2)
        assert not torch.equal(tensor, last[name])
    assert list(products(tmp_path, 1)) == ["last"]


def test_nan_stops_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    def breaking(chosen: Recipe) -> Parts:
        parts = build(chosen)

        def batches(state: Any) -> Iterator[tuple[list[Any], Any]]:
            for items, after in stream(state):
                broken = [(t, f * float("nan")) for t, f in items] if after > 15 else items
                yield broken, after

        return replace(parts, stream=batches)

    chosen = recipe(checkpoints=Checkpoints(every_steps=2))
    with pytest.raises(TrainError, match=r"loss nan .* at step 4: .*smaller lr"):
        run(tmp_path, chosen, make=breaking)
    last = checkpoint.newest(tmp_path / "checkpoints")
    assert last is not None
    assert checkpoint.step_of(last) == 4
    tensors = checkpoint.read_tensors(last / "trained.safetensors")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def test_a_folder_with_a_run_is_not_begun_again_unasked(tmp_path: Path) -> None:
    run(tmp_path, recipe())
    with pytest.raises(ConfigError, match=r"holds a run of 6 steps.*--resume.*--restart"):
        run(tmp_path, recipe())
    with pytest.raises(ConfigError, match="another seed"):
        run(tmp_path, recipe(seed=3), mode="resume")
    assert run(tmp_path, recipe(), mode="resume").losses == []
    assert len(run(tmp_path, recipe(seed=3), mode="restart").losses) == 6
    assert len(list(journal.read(tmp_path))) == 6


def test_a_pattern_of_a_later_stage_is_refused_before_the_first_step(tmp_path: Path) -> None:
    stages = (Stage("one", ("adapter",), 3), Stage("two", ("encoder.none.*",), 3))
    with pytest.raises(ConfigError, match=r"encoder\.none\.\*"):
        run(tmp_path, recipe(stages=stages))
    assert not checkpoint.all_in(tmp_path / "checkpoints")


def test_data_that_ends_is_told(tmp_path: Path) -> None:
    def short(chosen: Recipe) -> Parts:
        few = list(islice(stream(None), 3))
        return replace(build(chosen), stream=lambda state: iter(few))

    with pytest.raises(ManifestError, match="the data ended at step 3"):
        run(tmp_path, recipe(), make=short)


def test_a_cut_off_line_of_the_journal_is_dropped(tmp_path: Path) -> None:
    (tmp_path / journal.FILE).write_text('{"step": 1}\n{"step": 2}\n{"ste')
    with journal.Journal(tmp_path, after_step=1) as rows:
        rows.add({"step": 2, "again": True})
    assert [row["step"] for row in journal.read(tmp_path)] == [1, 2]
