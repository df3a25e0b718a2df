"""The C library is told once; another one than glibc is left alone."""

import ctypes

import pytest

from mooer.memory import give_back_memory, keep_freed_memory, share_freed_memory


@pytest.fixture
def told(monkeypatch):
    """What mallopt is told."""
    calls = []
    monkeypatch.setattr(
        ctypes, "CDLL", lambda name: type("C", (), {"mallopt": lambda _, *a: calls.append(a)})()
    )
    return calls


def test_all_threads_share_a_heap(told):
    share_freed_memory()
    assert told == [(-8, 1)]


def test_large_tensors_are_not_mapped_anew(told):
    keep_freed_memory()
    assert told == [(-3, 1 << 30), (-1, 1 << 30)]


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    share_freed_memory()
    keep_freed_memory()
    give_back_memory()


def test_freed_pages_are_handed_back(monkeypatch):
    kept = []
    monkeypatch.setattr(
        ctypes,
        "CDLL",
        lambda name: type("C", (), {"malloc_trim": lambda _, left: kept.append(left)})(),
    )
    give_back_memory()
    assert kept == [0]
