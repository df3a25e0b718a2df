"""How the models of a conversation are opened."""

import pytest

from mooer.agent import build
from mooer.agent.build import PartsOptions, open_hear
from mooer.errors import ModelError


@pytest.mark.parametrize(("num_bytes", "num_threads"), [(1_000, 1), (500 << 20, 4)])
def test_a_small_whisper_is_given_one_thread(tmp_path, monkeypatch, num_bytes, num_threads):
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(num_bytes)  # of no size on the disk
    opened = []
    monkeypatch.setattr(build, "fetch", lambda name, offline: tmp_path)
    monkeypatch.setattr(build, "Whisper", lambda folder, **how: opened.append(how))
    monkeypatch.setattr(build, "WhisperHear", lambda engine, languages: engine)
    open_hear(PartsOptions(), 4)
    assert [how["num_threads"] for how in opened] == [num_threads]


def test_what_is_no_whisper_does_not_hear(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "fetch", lambda name, offline: tmp_path)
    with pytest.raises(ModelError, match="take whisper-base"):
        open_hear(PartsOptions(hear="qwen2.5-0.5b"), 4)
