import itertools
import os
import signal
import threading
import time

import pytest

from mooer.engines.llm import LLM, MAX_THREADS, find_gguf, usable_cores
from mooer.errors import DecodeError, ModelError
from mooer.infer.translator import Translator
from mooer.store import fetch
from mooer.tasks import Message
from mooer.transcript import Segment

NAME = "qwen2.5-0.5b"


@pytest.fixture(scope="module")
def llm():
    with LLM(fetch(NAME), context_tokens=1024) as model:
        yield model


def ask(llm, text, **options):
    return list(llm.chat([Message("user", text)], **{"max_tokens": 24, **options}))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a GGUF"), (b"PK\x03\x04...", "not a GGUF"), (None, "cannot")],
)
def test_what_is_not_a_model_is_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        LLM(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_model_is_refused_silently(tmp_path, capfd):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(range(256)) * 100)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ModelError, match="damaged"):
        LLM(path)
    assert capfd.readouterr() == ("", "")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_folder_must_hold_one_model(tmp_path):
    with pytest.raises(ModelError, match="found none"):
        find_gguf(tmp_path)
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert find_gguf(tmp_path) == tmp_path / "a.gguf"
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"a\.gguf, b\.gguf"):
        find_gguf(tmp_path)


def test_threads_are_bounded():
    assert 1 <= usable_cores() <= MAX_THREADS


@pytest.mark.real
def test_answers_the_same_each_time_in_pieces_and_reuses_what_it_read(llm):
    question = "What is the capital of France? One short sentence."
    first = ask(llm, question)
    assert "Paris" in "".join(first)
    assert len(first) > 1
    before = llm.counters.prompt_tokens
    cached = llm.counters.cached_tokens
    assert ask(llm, question) == first
    assert llm.counters.prompt_tokens - before <= 2
    assert llm.counters.cached_tokens - cached > 10
    assert llm.counters.generated_tokens > 0
    assert llm.counters.generation_s > 0


@pytest.mark.real
def test_pieces_are_whole_characters(llm):
    prompt = "Copy: 龘𠮷😀🏳️‍🌈\nCopy: 龘𠮷😀🏳️‍🌈\nCopy: 龘"
    pieces = list(llm.complete(prompt, max_tokens=16, stop=["\n"]))
    assert "😀" in "".join(pieces)
    assert all("\ufffd" not in piece for piece in pieces)


@pytest.mark.real
def test_closing_stops_the_model_and_it_answers_again(llm):
    threads = threading.active_count()
    before = llm.counters.generated_tokens
    answer = llm.chat([Message("user", "Tell me a very long story.")], max_tokens=500)
    assert len(list(itertools.islice(answer, 3))) == 3
    start = time.monotonic()
    answer.close()
    assert time.monotonic() - start < 10
    assert llm.counters.generated_tokens - before < 250
    assert threading.active_count() == threads
    assert ask(llm, "Say hello.")


@pytest.mark.real
def test_stop_and_seed(llm):
    assert "5" not in "".join(llm.complete("1, 2, 3, 4,", max_tokens=16, stop=["5"]))
    drawn = {
        seed: "".join(llm.complete("A name:", max_tokens=8, temperature=2.0, seed=seed))
        for seed in (1, 2, 3, 4)
    }
    assert len(set(drawn.values())) > 1
    again = "".join(llm.complete("A name:", max_tokens=8, temperature=2.0, seed=2))
    assert again == drawn[2]


@pytest.mark.real
def test_tells_what_is_likely_to_follow(llm):
    likely = llm.likely_next("The capital of France is", 5)
    assert max(likely, key=likely.get) == " Paris"
    assert 0.5 < sum(likely.values()) <= 1.001
    assert len(likely) <= 5
    with pytest.raises(DecodeError, match="does not fit"):
        llm.likely_next("word " * 2000)


@pytest.mark.real
def test_a_prompt_too_long_is_an_error_and_the_next_one_is_answered(llm):
    with pytest.raises(DecodeError, match="does not fit a context of 1024"):
        ask(llm, "很长的话" * 2000)
    assert ask(llm, "Say hello.")


@pytest.mark.real
def test_says_nothing_listens_nowhere_and_leaves_signals_alone(capfd):
    psutil = pytest.importorskip("psutil")
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    listening = len(psutil.Process().net_connections("inet"))
    with LLM(fetch(NAME), num_threads=1, context_tokens=256) as llm:
        assert ask(llm, "Say hello.")
        assert len(psutil.Process().net_connections("inet")) == listening
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ModelError, match="closed"):
        ask(llm, "Say hello.")


@pytest.mark.real
def test_an_interrupt_reaches_python_while_the_model_writes(llm):
    timer = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        ask(llm, "Tell me a very long story.", max_tokens=900)
    timer.join()
    assert ask(llm, "Say hello.")


@pytest.mark.real
@pytest.mark.parametrize(
    ("text", "language", "to", "words"),
    [
        ("他是第一个到达的人", "zh", "en", ["first"]),
        ("I bought two red apples yesterday.", "en", "zh", ["昨天", "苹果"]),
        ("Guten Morgen, meine Damen und Herren.", "de", "en", ["morning"]),
    ],
)
def test_translates(llm, text, language, to, words):
    (got,) = Translator(llm).stream([Segment(0.0, 2.0, text, language)], to=to)
    assert got.warnings == ()
    assert all(word in got.translation for word in words)
