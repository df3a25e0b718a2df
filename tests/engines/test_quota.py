"""Processor time of containers and services, in both versions of control groups."""

import pytest

from mooer.engines import llm
from mooer.engines.quota import quota_cores

V1 = "9:name=systemd:/\n4:cpu,cpuacct:/docker/12\n0::/\n"


@pytest.fixture
def machine(tmp_path):
    def make(groups, **files):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
        for name, text in files.items():
            place = tmp_path / "sys/fs/cgroup" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "100000 100000"}, 1),
        ("0::/not/here\n", {"cpu.max": "200000 100000"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        (V1, {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ("0::/\n", {}, None),
        ("0::/\n", {"cpu.max": "what is this"}, None),
        ("", {}, None),
    ],
)
def test_limits_are_read(machine, groups, files, cores):
    assert quota_cores(machine(groups, **files)) == cores


def test_a_system_without_control_groups_has_no_limit(tmp_path):
    assert quota_cores(tmp_path) is None


def test_threads_are_not_more_than_there_is_time_for(monkeypatch):
    monkeypatch.setattr(llm, "quota_cores", lambda: 1)
    assert llm.usable_cores() == 1
