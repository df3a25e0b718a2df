"""A large language model on llama.cpp: one GGUF file in, text out piece by piece."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import queue
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mooer.engines.quota import quota_cores
from mooer.errors import DecodeError, ModelError
from mooer.tasks.prompts import Message

MAX_THREADS = 8  # a small model is bound by memory, and more threads wait for each other
BATCH_TOKENS = 128  # the prompt is read by so many at a time: bounds memory and the wait to cancel
_SOCKET_PATH_BYTES = 100  # sun_path holds 104 bytes on macOS, 108 on Linux
_SILENT = -1  # llama.cpp logs nothing, not even errors: they come back as answers


@dataclass(slots=True)
class Counters:
    """What a model has done so far; times in seconds."""

    prompt_tokens: int = 0  # evaluated, so without those found in the cache
    cached_tokens: int = 0  # of prompts, found in the KV cache
    generated_tokens: int = 0
    prompt_s: float = 0.0
    generation_s: float = 0.0


class LLM:
    """A causal language model in memory (the weights are mapped, not copied), ready to answer.

    `path` is a GGUF file, or a folder that holds exactly one. The last prompt and answer stay
    in the KV cache, so that a prompt that begins like the one before is only read from where
    they part. Decoding is greedy unless a temperature is given, and then seeded.

    ModelError if the file is missing, damaged or not a GGUF.
    """

    def __init__(
        self, path: Path, *, num_threads: int | None = None, context_tokens: int = 4096
    ) -> None:
        self.path = find_gguf(path)
        self.num_threads = num_threads or usable_cores()
        self.context_tokens = context_tokens
        self.counters = Counters()
        self._counting = threading.Lock()
        self._server: Any = _serve(self.path, self.num_threads, context_tokens)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
        grammar: str | None = None,
    ) -> Generator[str, None, None]:
        """Answer a conversation, in the model's own chat template, piece by piece.

        Pieces are whole characters. Closing the iterator stops the model. `grammar` (GBNF) is
        what the answer must obey.
        DecodeError if the conversation does not fit the context.
        """
        turns = [{"role": m.role, "content": m.content} for m in messages]
        request = _request(max_tokens, temperature, stop, seed, grammar) | {"messages": turns}
        return self._stream(self._live().handle_chat_completions, request)

    def complete(
        self,
        prompt: str,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
        grammar: str | None = None,
    ) -> Generator[str, None, None]:
        """Continue a bare prompt, no chat template around it; otherwise as `chat`."""
        request = _request(max_tokens, temperature, stop, seed, grammar) | {"prompt": prompt}
        return self._stream(self._live().handle_completions, request)

    def likely_next(self, prompt: str, num: int = 40) -> dict[str, float]:
        """The `num` likeliest tokens after a bare prompt, as text, and their probabilities.

        One that ends the text is "". DecodeError if the prompt does not fit the context.
        """
        request = _request(1, 0.0, (), 0, None) | {"prompt": prompt, "logprobs": num}
        found: dict[str, float] = {}
        for event in self._events(self._live().handle_completions, request):
            for one in _likely(event):
                found[one["token"]] = found.get(one["token"], 0.0) + math.exp(one["logprob"])
        return found

    def close(self) -> None:
        """Give the memory back; the model cannot be used afterwards."""
        self._server = None

    def __enter__(self) -> LLM:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _live(self) -> Any:
        if self._server is None:
            raise ModelError(f"{self.path.name} has been closed: load it again")
        return self._server

    def _stream(
        self, handle: Callable[..., Any], request: Mapping[str, Any]
    ) -> Generator[str, None, None]:
        with contextlib.closing(self._events(handle, request)) as events:
            for event in events:
                if piece := _piece(event):
                    yield piece

    def _events(
        self, handle: Callable[..., Any], request: Mapping[str, Any]
    ) -> Generator[Mapping[str, Any], None, None]:
        # llama.cpp calls back from inside its call, so that runs in a thread of its own.
        events: queue.SimpleQueue[Mapping[str, Any] | BaseException | None] = queue.SimpleQueue()
        cancelled = threading.Event()

        def on_event(event: Mapping[str, Any]) -> bool:
            events.put(event)
            return cancelled.is_set()

        def work() -> None:
            try:
                handle(dict(request), on_event)
                events.put(None)
            except BaseException as error:  # to be raised where somebody waits for it
                events.put(error)

        worker = threading.Thread(target=work, name="mooer-llm", daemon=True)
        worker.start()
        timings: Mapping[str, Any] = {}
        try:
            while (event := events.get()) is not None:
                if isinstance(event, BaseException):
                    raise DecodeError(f"{self.path.name} could not go on: {event}") from event
                timings = event.get("timings", timings)
                _refuse(event, self.context_tokens)
                yield event
        finally:
            cancelled.set()
            worker.join()
            self._count(timings)

    def _count(self, timings: Mapping[str, Any]) -> None:
        with self._counting:
            self.counters.prompt_tokens += timings.get("prompt_n", 0)
            self.counters.cached_tokens += timings.get("cache_n", 0)
            self.counters.generated_tokens += timings.get("predicted_n", 0)
            self.counters.prompt_s += timings.get("prompt_ms", 0.0) / 1000
            self.counters.generation_s += timings.get("predicted_ms", 0.0) / 1000


def find_gguf(path: Path) -> Path:
    """The GGUF file at `path`, or the only one in the folder `path`; ModelError otherwise."""
    path = Path(path)
    if path.is_dir():
        found = sorted(path.glob("*.gguf"))
        if len(found) != 1:
            names = ", ".join(f.name for f in found) or "none"
            raise ModelError(f"{path} should hold one GGUF file, found {names}: name the file")
        path = found[0]
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from error
    if magic != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file (it begins with {magic!r}): convert it first")
    return path


def usable_cores() -> int:
    """Physical cores that this process may run on and has the time of, at most `MAX_THREADS`."""
    if not hasattr(os, "sched_getaffinity"):
        return max(1, min(MAX_THREADS, (os.cpu_count() or 2) // 2))
    cores: set[str] = set()
    for cpu in os.sched_getaffinity(0):
        # CPUs that list the same siblings are threads of one core
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text().strip())
        except OSError:
            cores.add(str(cpu))
    return max(1, min(MAX_THREADS, len(cores), quota_cores() or MAX_THREADS))


def _request(
    max_tokens: int, temperature: float, stop: Sequence[str], seed: int, grammar: str | None
) -> dict[str, object]:
    request: dict[str, object] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stop": list(stop),
        "seed": seed,
        "stream": True,
        "timings_per_token": True,  # so that the counts are right after a cancelled answer too
        "return_progress": True,  # an event per batch of the prompt: a chance to cancel
    }
    return request | ({"grammar": grammar} if grammar else {})


def _refuse(event: Mapping[str, Any], context_tokens: int) -> None:
    """DecodeError if the event is an error."""
    if "error" in event:
        problem = event["error"]
        if problem.get("type") == "exceed_context_size_error":
            raise DecodeError(
                f"a prompt of {problem.get('n_prompt_tokens')} tokens does not fit a context of "
                f"{context_tokens}: shorten it or raise context_tokens"
            )
        raise DecodeError(f"llama.cpp refused the prompt: {problem.get('message', problem)}")


def _piece(event: Mapping[str, Any]) -> str:
    """Text in one event of the stream."""
    for choice in event.get("choices", ()):
        return choice.get("text") or choice.get("delta", {}).get("content") or ""
    return ""


def _likely(event: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The likeliest tokens at the place of the event's token, if it tells them."""
    for choice in event.get("choices", ()):
        for place in (choice.get("logprobs") or {}).get("content", ()):
            likely: Sequence[Mapping[str, Any]] = place["top_logprobs"]
            return likely
    return ()


def _serve(path: Path, num_threads: int, context_tokens: int) -> Any:
    import xllamacpp  # late: a hundred megabytes of library

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context_tokens
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = num_threads
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP
    params.n_parallel = 2  # two prefixes stay in the cache: of a usual and of another request
    params.kv_unified = True  # … in one pool of cells, so that either may fill the context
    params.cache_ram_mib = 0  # no second cache of old prompts
    params.n_ctx_checkpoints = 0
    params.warmup = False  # the first prompt warms it up just as well
    params.fit_params = False
    params.verbosity = _SILENT
    params.ui = False
    params.n_threads_http = 1
    with _private_door(params), _kept_signals():
        try:
            return xllamacpp.Server(params)
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{path} cannot be loaded: it is damaged, incomplete or of a kind that this "
                "llama.cpp does not know"
            ) from error


@contextlib.contextmanager
def _private_door(params: Any) -> Iterator[None]:
    """llama.cpp's server listens, wanted or not: let it, where nobody can knock.

    A socket in a folder of our own, removed as soon as the server is up; where a system has
    no such sockets, a local port behind a key that nobody knows.
    """
    folder = Path(tempfile.mkdtemp(prefix="mooer-"))
    door = folder / "llm.sock"
    try:
        if hasattr(socket, "AF_UNIX") and len(os.fsencode(door)) < _SOCKET_PATH_BYTES:
            params.hostnames = [str(door)]
        else:
            params.api_keys = [secrets.token_hex(32)]
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """The server takes SIGINT and SIGTERM for itself: put back what was there.

    By Python's C interface, because `signal.signal` works in the main thread alone.
    """
    get, put = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.c_int]
    put.restype, put.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p]
    before = {number: get(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            put(number, handler)
