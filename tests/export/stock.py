"""A stock llama.cpp server: chat requests with sound in them."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path

import xllamacpp

from mooer.engines.llm import _kept_signals, _private_door


@contextlib.contextmanager
def server(llm: Path, projector: Path, context_tokens: int = 1024):
    """`llama-server -m LLM --mmproj PROJECTOR` without its HTTP."""
    params = xllamacpp.CommonParams()
    params.model.path = str(llm)
    params.mmproj.path = str(projector)
    params.mmproj_use_gpu = False
    params.n_ctx = context_tokens
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    params.cache_ram_mib = 0
    params.warmup = False
    params.fit_params = False
    params.verbosity = -1
    params.ui = False
    with _private_door(params), _kept_signals():
        running = xllamacpp.Server(params)
    try:
        yield running
    finally:
        del running


def answer(running, wav: bytes, prompt: str, max_tokens: int) -> str:
    """What it says to a recording and a text, greedy."""
    sound = {"data": base64.b64encode(wav).decode(), "format": "wav"}
    content = [
        {"type": "input_audio", "input_audio": sound},
        {"type": "text", "text": prompt},
    ]
    request = {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": max_tokens,
        "temperature": 0.0,
        "cache_prompt": False,
    }
    found = running.handle_chat_completions(request)
    assert "choices" in found, found
    return found["choices"][0]["message"]["content"]
