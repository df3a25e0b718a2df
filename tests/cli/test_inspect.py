"""`mooer models inspect`: what it says, as lines and as JSON, and its exit code."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from mooer.cli.models import app

folders = pytest.importorskip("tests.models.folders")


@pytest.fixture
def root(tmp_path):
    folders.save_mooer(tmp_path / "models", ("asr",))
    return tmp_path / "models"


def run(*args):
    return CliRunner().invoke(app, ["inspect", *map(str, args)])


def test_a_whole_folder(root):
    result = run(root, "--no-md5")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"{root}: a speech LLM in MooER's layout, tasks: asr"
    assert lines[-1] == "usable"
    assert "  4 matched, 0 missing, 0 unexpected, 0 of a wrong shape, 0 not finite" in lines
    assert "  rank 4, alpha 16, 7 targets" in result.stdout


def test_files_that_are_not_the_published_ones(root):
    result = run(root)
    assert result.exit_code == 1
    assert f"md5 BAD: {root / 'paraformer_encoder' / 'am.mvn'}" in result.stdout
    assert "instead of dc1dbdeeb8961f012161cfce31eaacaf (MooER's encoder)" in result.stdout
    assert result.stdout.splitlines()[-1] == "not usable as it is"


def test_faults_are_listed(root):
    path = root / "asr" / "adapter_project.pt"
    tensors = torch.load(path, weights_only=True)
    tensors["encoder_projector.extra"] = tensors.pop("encoder_projector.linear1.bias")
    tensors["encoder_projector.linear2.bias"] = torch.full((32,), torch.nan)
    torch.save(tensors, path)
    result = run(root, "--no-md5")
    assert result.exit_code == 1
    assert "  3 matched, 1 missing, 1 unexpected, 0 of a wrong shape, 1 not finite" in result.stdout
    assert "    missing: encoder_projector.linear1.bias" in result.stdout
    assert "    unexpected: encoder_projector.extra" in result.stdout
    assert "    not finite: encoder_projector.linear2.bias" in result.stdout
    told = json.loads(run(root, "--no-md5", "--json").stdout)
    assert told["usable"] is False
    adapter = told["pieces"][1]
    assert adapter["name"] == "adapter"
    assert adapter["missing"] == ["encoder_projector.linear1.bias"]
    assert adapter["matched"] == 3


def test_json_of_a_whole_folder(root):
    told = json.loads(run(root, "--no-md5", "--json").stdout)
    assert told["usable"] is True
    assert [piece["name"] for piece in told["pieces"]] == ["encoder", "adapter", "LoRA", "LLM"]
    assert told["problems"] == []


def test_a_folder_of_something_else(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "it holds nothing, but none of mooer.yaml" in result.stdout
    assert run(tmp_path / "absent").exit_code == 1
