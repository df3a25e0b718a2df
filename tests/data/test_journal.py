import errno
import sys

import pytest

from mooer.data.journal import Journal, agree_on_settings
from mooer.errors import ConfigError, OutputError


def test_rows_are_there_again(tmp_path):
    path = tmp_path / "deep" / "j.jsonl"
    with Journal(path) as journal:
        journal.add({"id": "a", "text": "你好"})
        journal.add({"id": "b", "text": "x"})
        journal.add({"id": "a", "text": "later"})
    with Journal(path) as journal:
        assert journal.rows == {"a": {"id": "a", "text": "later"}, "b": {"id": "b", "text": "x"}}


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_two_do_not_write_one_file(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        with pytest.raises(OutputError, match="another process"):
            Journal(path)
        journal.add({"id": "a"})
    with Journal(path) as journal:
        assert list(journal.rows) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_a_file_that_cannot_be_locked_is_told(tmp_path, monkeypatch, caplog):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with Journal(tmp_path / "j.jsonl") as journal:
        journal.add({"id": "a"})
    assert "cannot be locked (No locks available)" in caplog.text


@pytest.mark.parametrize("cut", range(1, 20))
def test_half_a_line_is_dropped_wherever_it_was_cut(tmp_path, cut):
    path = tmp_path / "j.jsonl"
    whole = b'{"id": "a"}\n'
    path.write_bytes(whole + '{"id": "二", "x": 1}\n'.encode()[:cut])
    with Journal(path) as journal:
        assert list(journal.rows) == ["a"]
        journal.add({"id": "c"})
    with Journal(path) as journal:
        assert list(journal.rows) == ["a", "c"]


@pytest.mark.parametrize("line", ["not json", "[1]", '{"name": "a"}', "3"])
def test_a_file_of_something_else_is_refused(tmp_path, line):
    path = tmp_path / "j.jsonl"
    path.write_text(f'{{"id": "a"}}\n{line}\n')
    with pytest.raises(ConfigError, match="line 2 was not written"):
        Journal(path)
    assert path.read_text().endswith(f"{line}\n")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        Journal(tmp_path / "file" / "j.jsonl")


def test_settings_are_written_once_and_then_compared(tmp_path):
    path = tmp_path / "s" / "settings.json"
    agree_on_settings(path, {"seed": 1, "names": ("a", "b")})
    agree_on_settings(path, {"seed": 1, "names": ("a", "b")})
    with pytest.raises(ConfigError, match="seed: 1 then, 2 now"):
        agree_on_settings(path, {"seed": 2, "names": ("a", "b")})
    agree_on_settings(path, {"names": ("a", "b"), "new": None})
    with pytest.raises(ConfigError, match="new: None then, 3 now"):
        agree_on_settings(path, {"seed": 1, "new": 3})
    path.write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        agree_on_settings(path, {})
