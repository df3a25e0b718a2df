"""Thousands of damaged files: each ends in samples or in an AudioError, soon, and without harm."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.audio.sounds import CONTAINERS, encode, tone

WORKER = Path(__file__).with_name("fuzz_worker.py")
NUM_FILES = 4_000


@pytest.mark.slow
def test_damaged_files_do_no_harm(tmp_path):
    (tmp_path / "seeds").mkdir()
    for kind, (_, _, _, _, rate) in CONTAINERS.items():
        rate_hz = rate or 22_050
        for channels in (1, 2):
            if (kind == "ogg-vorbis" and channels == 1) or ("amr" in kind and channels == 2):
                continue
            sound = np.stack([tone(0.4, rate_hz)] * channels, axis=1)
            (tmp_path / "seeds" / f"{kind}-{channels}").write_bytes(encode(kind, sound, rate_hz))
    for kind in ("aiff", "caf", "flac"):  # layouts that have crashed PyAV
        sound = np.stack([tone(0.1, 16_000)] * 8, axis=1)
        (tmp_path / "seeds" / f"{kind}-8").write_bytes(encode(kind, sound, 16_000))
    done = subprocess.run(
        [sys.executable, WORKER, tmp_path, "0", str(NUM_FILES)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    at = (tmp_path / "current.name").read_text()
    assert done.returncode == 0, f"stopped at {at}:\n{done.stderr[-3000:]}"
    assert done.stderr == ""
    result = json.loads(done.stdout)
    print(result)  # noqa: T201 - shown by `pytest -s`
    assert result["heard"] + result["refused"] == NUM_FILES
    assert result["heard"] > NUM_FILES / 3
    assert result["refused"] > NUM_FILES / 50
    assert result["slowest"][0] < 10, result["slowest"]
    assert result["growth_mib"] < 200
