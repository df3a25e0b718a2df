"""`mooer train`: from a recipe to a scored model, stopped and resumed; what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mooer.cli.train import overrides
from mooer.errors import ConfigError

ROOT = Path(__file__).parents[2]
TINY = ROOT / "recipes" / "tiny.yaml"
MOOER = [sys.executable, "-m", "mooer.cli.main"]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MOOER, "train", *arguments], capture_output=True, text=True, cwd=folder, timeout=600
    )


def test_overrides_are_taken_apart() -> None:
    assert overrides(["--a.b", "-1", "--c=d=e"]) == ["a.b=-1", "c=d=e"]
    with pytest.raises(ConfigError, match=r"--a\.b has no value"):
        overrides(["--a.b"])
    with pytest.raises(ConfigError, match="'x' is not expected"):
        overrides(["x"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.yaml"], "cannot read none.yaml"),
        ([str(TINY), "--stages.0.stepps", "3"], "unknown key stages.0.stepps: did you mean steps?"),
        ([str(TINY), "--stages.1.steps", "0"], "stage 'lora' has 0 steps"),
        ([str(TINY), "--model.llm.lora", "null"], "model.llm.lora is not set"),
        ([str(TINY), "--resume", "--restart"], "choose one"),
        ([str(TINY), "--parallel.strategy", "fsdp"], "start it by torchrun"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run(tmp_path, *arguments)
    assert message in done.stderr
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_tiny_recipe_from_tones_to_a_scored_model(tmp_path: Path) -> None:
    """Train, interrupt, resume, save, load, decode, score: WER falls to near 0."""
    process = subprocess.Popen(
        [*MOOER, "train", str(TINY)], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    metrics = tmp_path / "runs/tiny/metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") > 20):
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "go on with: mooer train" in told
    assert "--resume" in told
    done = run(tmp_path, str(TINY), "--resume")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps = [row["step"] for row in rows if "stage" in row]
    assert steps == list(range(1, max(steps) + 1))
    scores = [row["wer"] for row in rows if "validation" in row]
    assert scores[-1] < 0.05, done.stderr
    out = tmp_path / "runs/tiny"
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert list((out / "tensorboard").iterdir())
    assert {"last", "best", "average", "merged"} <= {path.name for path in out.iterdir()}
    assert said(out / "best", out / "data") == said(out / "best", out / "data", merge=True)
    words = said(out / "merged", out / "data")
    rows = [json.loads(line) for line in (out / "data/validation.jsonl").read_text().splitlines()]
    assert len(words) == 10
    assert sum(a == row["text"] for a, row in zip(words, rows[:10], strict=True)) >= 9


def said(folder: Path, data: Path, *, merge: bool = False) -> list[str]:
    """What a saved model writes of the first ten validation recordings, decoded apart."""
    from mooer.data.collate import Collator, FeatureReader
    from mooer.data.stages import Example
    from mooer.data.supervision import read_manifest
    from mooer.decoding.generation import SearchOptions
    from mooer.decoding.search import decode
    from mooer.models.load import load
    from mooer.models.step_model import step_model

    model = load(folder, merge=merge)
    collate = Collator(
        FeatureReader(model.encoder.frontend),
        model.num_embeddings,
        model.tokenizer,
        model.template,
        model.tokenizer.pad_token_id,
        side="left",
        with_answers=False,
    )
    utterances = read_manifest(data / "validation.jsonl")[:10]
    batch = collate([Example(utterance) for utterance in utterances])
    found = decode(
        step_model(model.llm),
        model.embed(batch).detach(),
        batch.mask,
        SearchOptions(num_beams=1, max_new_tokens=40),
        eos_ids=[model.tokenizer.eos_token_id],
    )
    return [model.tokenizer.decode(list(one[0].tokens)) for one in found]
