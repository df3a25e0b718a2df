"""Progress is a bar on a terminal and lines elsewhere."""

from __future__ import annotations

import io
import logging

from mooer.store import progress
from mooer.store.progress import Meter


def test_lines_every_tenth(monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, logger="mooer.store"), Meter("w", 10_000_000) as meter:
        for done in range(0, 10_000_001, 500_000):
            meter.at(done)
    assert [r.getMessage() for r in caplog.records][:2] == ["w: 10 % of 10 MB", "w: 20 % of 10 MB"]
    assert len(caplog.records) == 10


def test_small_and_unknown_transfers_are_quiet(caplog):
    with caplog.at_level(logging.INFO, logger="mooer.store"):
        for total in (1000, None):
            with Meter("w", total) as meter:
                meter.at(1000)
    assert caplog.records == []


def test_bar_on_a_terminal(monkeypatch, caplog):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Meter("weights.bin", 10_000_000) as meter:
        meter.at(5_000_000)
        meter._bar[0].refresh()
    assert "weights.bin" in screen.getvalue()


def test_no_standard_error_at_all(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with Meter("w", 10_000_000) as meter:
        meter.at(10_000_000)
