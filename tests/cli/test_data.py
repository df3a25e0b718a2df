"""`mooer data` from the command line."""

import json
from pathlib import Path

import pytest
from tests.data.sets import recorded

from mooer.cli.main import main
from mooer.data.supervision import read_manifest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("cli"), 5)[0]


def test_from_kaldi_to_shards(manifest, tmp_path, capsys):
    assert main(["data", "convert", str(manifest), str(tmp_path / "k"), "--to", "kaldi"]) == 0
    said = capsys.readouterr().err
    assert "note: 5 x translation: not held by the format" in said
    assert "wrote 5 utterances" in said
    (tmp_path / "k" / "utt2dur").unlink()
    listed = tmp_path / "m.jsonl"
    assert main(["data", "convert", str(tmp_path / "k"), str(listed), "--durations"]) == 0
    assert [u.duration_s for u in read_manifest(listed)] == pytest.approx(
        [u.duration_s for u in read_manifest(manifest)], abs=1e-3
    )
    shards = tmp_path / "s"
    assert main(["data", "shard", str(listed), "--out", str(shards), "--per-shard", "2"]) == 0
    assert "packed 5 utterances into 3 shards" in capsys.readouterr().err
    assert main(["data", "validate", str(shards / "manifest.jsonl")]) == 0
    assert "5 utterances, 0.00 h, none with problems" in capsys.readouterr().out


def test_problems_are_reported_and_tell_by_the_exit_code(manifest, tmp_path, capsys):
    rows = [*manifest.read_text().splitlines(), '{"audio": "gone.wav", "id": "gone"}']
    listed = manifest.with_name("bad.jsonl")
    listed.write_text("\n".join(rows) + "\n")
    report = tmp_path / "r.json"
    arguments = ["data", "validate", str(listed), "--report", str(report), "--workers", "1"]
    assert main(arguments) == 1
    assert "unreadable: 1\n  line 6 gone: " in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == json.loads(report.read_text())
    assert json.loads(report.read_text())["counts"] == {"unreadable": 1}
    assert main(["data", "validate", str(listed), "--no-sound", "--needs-text"]) == 1


def test_shards_of_what_is_broken(manifest, tmp_path, capsys):
    listed = manifest.with_name("broken.jsonl")
    listed.write_text(manifest.read_text() + '{"audio": "gone.wav", "id": "gone"}\n')
    out = str(tmp_path / "a")
    assert main(["data", "shard", str(listed), "-o", out, "--workers", "1"]) == 1
    assert "error: gone: " in capsys.readouterr().err
    assert main(["data", "shard", str(listed), "-o", out, "--workers", "1", "--skip-bad"]) == 1
    assert "packed 5 utterances into 1 shards" in capsys.readouterr().err
    assert not list(Path(out).glob(".*"))
    assert main(["data", "shard", str(listed), "-o", out, "--codec", "flak"]) == 2
    assert "did you mean flac" in capsys.readouterr().err


def test_statistics(manifest, capsys):
    assert main(["data", "stats", str(manifest)]) == 0
    assert "5 utterances, 0.00 h, 2 speakers" in capsys.readouterr().out
    assert main(["data", "stats", str(manifest), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_utterances"] == 5


def test_the_group_has_its_commands(capsys):
    assert main(["data", "--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("convert", "validate", "shard", "stats", "label", "synth"):
        assert f"\n  {name} " in shown
    assert main(["data", "convert", "nowhere.jsonl", "x.jsonl", "--to", "kaldy"]) != 0
