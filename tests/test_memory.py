"""The C library is told once; another one than glibc is left alone."""

import ctypes

from mooer.memory import give_back_memory, share_freed_memory


def test_all_threads_share_a_heap(monkeypatch):
    told = []
    monkeypatch.setattr(
        ctypes, "CDLL", lambda name: type("C", (), {"mallopt": lambda _, *a: told.append(a)})()
    )
    share_freed_memory()
    assert told == [(-8, 1)]


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    share_freed_memory()
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
