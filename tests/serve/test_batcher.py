"""Batches of several requests: who goes together, who goes first, and what a failure does."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.serve.stand import until

from mooer.serve.batcher import Batcher
from mooer.serve.callers import Caller
from mooer.serve.errors import ApiError
from mooer.serve.jobs import Job, StoppedError


class Bench:
    """A batcher whose thread is held until `go`; `batches` is what it decoded."""

    def __init__(self, decode=None, **options):
        self.batches = []
        self.gate = threading.Event()
        self._decode_one = decode or (lambda item: item * 10)
        self.batcher = Batcher(self._decode, **options)
        self.pool = ThreadPoolExecutor(16)
        self.first = self.ask("blocker", "first", [0])
        until(lambda: self.batches)

    def _decode(self, key, items):
        self.batches.append((key, list(items)))
        assert self.gate.wait(5)
        return [self._decode_one(item) for item in items]

    def ask(self, caller, key, items, job=None, costs=None):
        job = job or Job(Caller(caller), 5)
        before = self.batcher.num_waiting
        future = self.pool.submit(self.batcher.map, job, key, items, costs)
        if hasattr(self, "first"):
            until(lambda: self.batcher.num_waiting == before + len(items))
        return future

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gate.set()
        self.batcher.close()
        self.pool.shutdown()


def test_what_is_asked_alike_is_decoded_together():
    with Bench(max_batch=8) as bench:
        one, two = bench.ask("anna", "en", [1, 2]), bench.ask("ben", "en", [3])
        other = bench.ask("cleo", "zh", [4])
        bench.gate.set()
        assert one.result(5) == [10, 20]
        assert two.result(5) == [30]
        assert other.result(5) == [40]
        assert sorted(sorted(items) for _, items in bench.batches[1:]) == [[1, 2, 3], [4]]


def test_a_batch_has_an_end():
    with Bench(max_batch=3) as bench:
        asked = bench.ask("anna", "en", list(range(1, 8)))
        bench.gate.set()
        assert asked.result(5) == [10 * i for i in range(1, 8)]
        assert [len(items) for _, items in bench.batches[1:]] == [3, 3, 1]


def test_a_short_clip_does_not_wait_behind_an_hour():
    with Bench(max_batch=1) as bench:
        job = Job(Caller("anna"), 5)
        long = bench.ask("anna", "en", [1, 2, 3, 4], job=job, costs=[28.0] * 4)
        same = bench.ask("anna", "en", [5], costs=[2.0])
        other = bench.ask("ben", "en", [6], costs=[2.0])
        bench.gate.set()
        for future in (long, same, other):
            future.result(5)
        order = [items[0] for _, items in bench.batches[1:]]
        assert order.index(6) <= 1
        assert order.index(5) <= 2


def test_what_fails_fails_alone():
    def decode(item):
        if item == 2:
            raise ValueError("bad sound")
        return item

    with Bench(decode) as bench:
        good, bad = bench.ask("anna", "en", [1]), bench.ask("ben", "en", [2])
        bench.gate.set()
        assert good.result(5) == [1]
        with pytest.raises(ValueError, match="bad sound"):
            bad.result(5)


def test_an_engine_that_forgets_one_does_not_end_the_thread():
    forgetful = Batcher(lambda key, items: list(items)[:-1])
    job = Job(Caller("anna"), 5)
    for _ in range(2):
        with pytest.raises(AssertionError, match="0 results of 1"):
            forgetful.map(job, "en", [1])
    forgetful.close()


def test_who_leaves_is_not_decoded():
    with Bench(max_batch=1) as bench:
        job = Job(Caller("anna"), 5)
        gone = bench.ask("anna", "en", [1], job=job)
        job.cancel()
        with pytest.raises(StoppedError):
            gone.result(5)
        late = bench.ask("ben", "en", [2], job=Job(Caller("ben"), 0.05))
        with pytest.raises(ApiError, match="not done"):
            late.result(5)
        bench.gate.set()
        assert bench.first.result(5) == [0]
        assert [items for _, items in bench.batches] == [[0]]


def test_after_closing_nothing_is_taken():
    with Bench() as bench:
        bench.gate.set()
        bench.first.result(5)
        bench.batcher.close()
        with pytest.raises(RuntimeError):
            bench.batcher.map(Job(Caller("anna"), 5), "en", [1])
