"""Counts and times of a server, as Prometheus reads them.

The exposition format is a few lines of text, so it is written here. Where several worker processes
stand behind one port each leaves its numbers in a folder, and whichever is asked tells all of them,
with a label `worker`.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MAX_SERIES = 500  # of one name: labels come from a server's own words, never from a caller's
_FRESH_S = 15.0  # a worker that left nothing for so long is gone
_EVERY_S = 2.0

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]  # name with its suffix, labels, value


class Metrics:
    """All numbers of one process; may be used from any thread."""

    def __init__(self, folder: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[str, str]] = {}  # name -> type, help
        self._values: dict[str, dict[Labels, float]] = {}
        self._bounds: dict[str, tuple[float, ...]] = {}
        self._buckets: dict[str, dict[Labels, list[float]]] = {}  # counts, then the sum
        self._gauges: dict[str, Callable[[], float]] = {}
        self._folder = folder
        self._left_at = 0.0
        self._declare()

    def _declare(self) -> None:
        self.counter("mooer_requests_total", "Requests answered, by route and status.")
        self.counter("mooer_refused_total", "Requests refused for want of room, by reason.")
        self.counter("mooer_audio_seconds_total", "Seconds of sound heard, by route.")
        self.counter("mooer_spoken_seconds_total", "Seconds of sound spoken.")
        self.histogram("mooer_request_seconds", "Time of a request, by route.", SECONDS)
        self.histogram("mooer_wait_seconds", "Time that a request waited for its turn.", SECONDS)
        self.histogram("mooer_batch_size", "Chunks decoded together.", SIZES)
        self.gauge("mooer_resident_bytes", "Memory of the process.", resident_bytes)
        self.gauge("mooer_open_files", "Open descriptors of the process.", open_files)
        self.gauge("mooer_threads", "Threads of Python.", threading.active_count)

    def counter(self, name: str, text: str) -> None:
        """Declare what only grows."""
        self._kinds[name] = ("counter", text)
        self._values[name] = {}

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Declare what is read when it is asked for."""
        self._kinds[name] = ("gauge", text)
        self._gauges[name] = read

    def histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        """Declare what is counted by its size."""
        self._kinds[name] = ("histogram", text)
        self._bounds[name] = bounds
        self._buckets[name] = {}

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Count."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            values = self._values[name]
            if key in values or len(values) < _MAX_SERIES:
                values[key] = values.get(key, 0.0) + amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Count one by its size."""
        key = tuple(sorted(labels.items()))
        bounds = self._bounds[name]
        with self._lock:
            buckets = self._buckets[name]
            if key not in buckets and len(buckets) >= _MAX_SERIES:
                return
            row = buckets.setdefault(key, [0.0] * (len(bounds) + 2))
            row[bisect_left(bounds, value)] += 1
            row[-1] += value

    def value(self, name: str, **labels: str) -> float:
        """What a counter stands at."""
        return self._values[name].get(tuple(sorted(labels.items())), 0.0)

    def samples(self) -> list[Sample]:
        """All numbers now."""
        with self._lock:
            found = [(n, k, v) for n, row in self._values.items() for k, v in row.items()]
            found += [one for name in self._buckets for one in self._histogram(name)]
        return found + [(name, (), read()) for name, read in self._gauges.items()]

    def _histogram(self, name: str) -> Iterator[Sample]:
        bounds = (*map(_number, self._bounds[name]), "+Inf")
        for labels, row in self._buckets[name].items():
            total = 0.0
            for bound, count in zip(bounds, row[:-1], strict=True):
                total += count
                yield f"{name}_bucket", (*labels, ("le", bound)), total
            yield f"{name}_sum", labels, row[-1]
            yield f"{name}_count", labels, total

    def render(self) -> str:
        """The text for Prometheus; of all workers, where there are several."""
        found = self.samples()
        if self._folder is not None:
            me = str(os.getpid())
            found = [_of_worker(me, one) for one in found] + list(self._others(me))
        by_name: dict[str, list[str]] = {name: [] for name in self._kinds}
        for name, labels, value in found:
            family = _family(name, by_name)
            shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
            by_name[family].append(f"{name}{{{shown}}} {_number(value)}")
        lines = []
        for name, (kind, text) in self._kinds.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *by_name[name]]
        return "\n".join(lines) + "\n"

    def leave(self) -> None:
        """Leave the numbers of this process where its neighbours find them, now and then."""
        now = time.monotonic()
        if self._folder is None or now - self._left_at < _EVERY_S:
            return
        self._left_at = now
        with contextlib.suppress(OSError):  # a full disk must not end anything
            place = self._folder / f"{os.getpid()}.json"
            part = place.with_suffix(".part")
            part.write_text(json.dumps([now, self.samples()]), "utf-8")
            part.replace(place)

    def _others(self, me: str) -> Iterator[Sample]:
        assert self._folder is not None
        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                if path.stem == me:
                    continue
                at, samples = json.loads(path.read_text("utf-8"))
                if time.monotonic() - at > _FRESH_S:  # one clock for all, which nobody sets
                    continue
                for name, labels, value in samples:
                    pairs = tuple((str(key), str(text)) for key, text in labels)
                    yield _of_worker(path.stem, (name, pairs, float(value)))


def resident_bytes() -> float:
    """Memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return float(pages * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return 0.0


def open_files() -> float:
    """Open descriptors of this process; 0 where the system does not tell."""
    try:
        return float(len(os.listdir("/proc/self/fd")) - 1)  # noqa: PTH208 - quick
    except OSError:
        return 0.0


def _of_worker(worker: str, sample: Sample) -> Sample:
    name, labels, value = sample
    return name, (("worker", worker), *labels), value


def _family(name: str, known: dict[str, list[str]]) -> str:
    if name in known:
        return name
    return name.rpartition("_")[0]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
