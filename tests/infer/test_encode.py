"""Hidden frames computed once: the same as computed every time, resumable, refused where wrong."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.tiny import ByteTokenizer

from mooer.audio.wave import write_wave
from mooer.cli.main import main
from mooer.data.collate import Collator, FeatureReader
from mooer.data.stages import Example
from mooer.data.supervision import read_manifest
from mooer.errors import ConfigError, ManifestError
from mooer.infer.encode import EncodeOptions, encode
from mooer.models.encoders.whisper import WhisperConfig, WhisperEncoder

SIZES = WhisperConfig(
    width=16, num_heads=2, ffn_width=24, num_layers=3, max_frames=200, stored_layers=2
)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = WhisperEncoder(SIZES)
    path = tmp_path / "weights" / "model.safetensors"
    path.parent.mkdir()
    save_file(model.state_dict(), path)
    bare = dataclasses.replace(SIZES, stored_layers=0)
    monkeypatch.setattr("mooer.models.encoders.whisper.whisper_config", lambda _: bare)
    return path


@pytest.fixture
def manifest(tmp_path):
    random = np.random.default_rng(0)
    rows = []
    for i, seconds in enumerate((0.7, 1.1, 0.9)):
        write_wave(tmp_path / f"{i}.wav", 0.1 * random.standard_normal(int(16_000 * seconds)))
        rows.append({"id": f"u{i}", "audio": f"{i}.wav", "duration": seconds, "text": "hi"})
    path = tmp_path / "list.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def options(weights, **changes):
    return EncodeOptions(str(weights), layers=2, per_file=2, **changes)


def test_what_is_stored_goes_on_as_if_it_had_been_heard(weights, manifest, tmp_path):
    report = encode(read_manifest(manifest), tmp_path / "out", options(weights))
    assert (report.num_rows, report.failed) == (3, 0)
    assert sorted(p.name for p in (tmp_path / "out").glob("*.npy")) == ["00000.npy", "00001.npy"]
    encoder = WhisperEncoder(SIZES)
    encoder.load_weights(weights)
    encoder.eval()
    by_id = {u.id: u for u in read_manifest(tmp_path / "out" / "manifest.jsonl")}
    reader = FeatureReader(encoder.frontend, stored_width=16)
    collate = Collator(reader, lambda samples: samples // 640, ByteTokenizer(), "mooer", 0)
    heard = collate([Example(u) for u in read_manifest(manifest)])
    kept = collate([Example(by_id[key]) for key in heard.keys])
    assert kept.features.shape[-1] == 16
    assert torch.equal(kept.ids, heard.ids)
    with torch.no_grad():
        expected, lengths = encoder(heard.features, heard.feature_lengths)
        found, same = encoder(kept.features, kept.feature_lengths)
    assert torch.equal(lengths, same)
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=0)  # float16 in between


def test_variants_are_added_and_nothing_is_done_twice(weights, manifest, tmp_path):
    utterances, out = read_manifest(manifest), tmp_path / "out"
    encode(utterances, out, options(weights))
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.npy")}
    report = encode(utterances, out, options(weights, variants=2))
    assert report.num_rows == 6
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert {row["id"] for row in rows} == {"u0", "u1", "u2", "u0-2", "u1-2", "u2-2"}
    durations = {row["id"]: row["duration"] for row in rows}
    assert any(abs(durations[f"u{i}-2"] - durations[f"u{i}"]) > 0.03 for i in range(3))
    encode(utterances, tmp_path / "whole", options(weights, variants=2))
    whole = (tmp_path / "whole" / "manifest.jsonl").read_text().splitlines()
    assert {row["id"]: row["duration"] for row in map(json.loads, whole)} == durations
    with pytest.raises(ConfigError, match="other settings"):
        encode(utterances, out, options(weights, seed=1))


def test_the_clean_variant_may_be_left_out(weights, manifest, tmp_path):
    utterances = read_manifest(manifest)
    encode(utterances, tmp_path / "whole", options(weights, variants=2))
    encode(utterances[:1], tmp_path / "out", options(weights))
    encode(utterances, tmp_path / "out", options(weights, variants=2, clean=False))
    whole, some = (
        {u.id: u.duration_s for u in read_manifest(tmp_path / name / "manifest.jsonl")}
        for name in ("whole", "out")
    )
    assert list(some) == ["u0", "u0-2", "u1-2", "u2-2"]
    assert some.items() < whole.items()
    with pytest.raises(ConfigError, match="nothing"):
        options(weights, clean=False)


def test_what_is_stored_is_refused_where_it_does_not_fit(weights, manifest, tmp_path):
    encode(read_manifest(manifest), tmp_path / "out", options(weights))
    [first, *_] = read_manifest(tmp_path / "out" / "manifest.jsonl")
    encoder = WhisperEncoder(SIZES)
    reader = FeatureReader(encoder.frontend, stored_width=16)
    with pytest.raises(ManifestError, match="which sound cannot be changed behind"):
        reader.read(Example(first, speed=1.1))
    with pytest.raises(ManifestError, match="16 wide, but the encoder takes none"):
        FeatureReader(encoder.frontend).read(Example(first))
    late = dataclasses.replace(first, extra={"stored": [10_000, 5, 800]})
    with pytest.raises(ManifestError, match="ends before the features of u0"):
        reader.read(Example(late))
    odd = dataclasses.replace(first, extra={"stored": "x"})
    with pytest.raises(ManifestError, match="cannot be read"):
        reader.read(Example(odd))
    with pytest.raises(ConfigError, match="has 3 layers, not 7"):
        encode([first], tmp_path / "more", EncodeOptions(str(weights), layers=7))


def test_a_bad_recording_is_left_out_and_told(weights, manifest, tmp_path, caplog):
    (tmp_path / "1.wav").write_text("no sound")
    report = encode(read_manifest(manifest), tmp_path / "out", options(weights))
    assert (report.num_rows, report.failed) == (2, 1)
    assert "u1 is left out" in caplog.text


def test_the_command_line(weights, manifest, tmp_path, capsys):
    arguments = [manifest, "--out", tmp_path / "out", "--encoder", weights, "--layers", 2, "--json"]
    assert main(["data", "encode", *map(str, arguments)]) == 0
    assert json.loads(capsys.readouterr().out)["num_rows"] == 3
