"""Recognisers that many use: each hears its own, and batches are shared."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.fakes import LoudnessVad
from tests.infer.test_drafted import CLIP, by_ctc
from tests.serve.stand import WORDS, LoudWhisper, until, wav

from mooer.infer.guarded import RecognizeOptions
from mooer.infer.recognizer import Recognizer
from mooer.infer.run import Listener
from mooer.serve.callers import Caller
from mooer.serve.jobs import Job, StoppedError
from mooer.serve.sharing import OneByOne, share


def make(workers=1, max_batch=8):
    whisper = LoudWhisper(workers)
    recognizer = Recognizer(whisper, LoudnessVad(), name="fake", versions={"mooer": "0"})
    sizes = []
    shared = share(recognizer, threads=workers, max_batch=max_batch, on_batch=sizes.append)
    return shared, whisper, sizes


def transcribe(shared, loudness, job=None, **options):
    listener = shared.listener(job or Job(Caller(str(loudness)), 10))
    return listener.transcribe(io.BytesIO(wav(loudness)), RecognizeOptions(**options))


def test_several_callers_share_a_batch_and_each_has_its_own_text():
    shared, whisper, sizes = make()
    whisper.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(transcribe, shared, 0.2)]
        until(lambda: whisper.batches)
        found += [pool.submit(transcribe, shared, i / 10) for i in range(3, 9)]
        until(lambda: shared._batcher.num_waiting == 6)
        whisper.gate.set()
        for i, future in zip(range(2, 9), found, strict=True):
            assert set(future.result(10).text.split()) == {WORDS[i]}
    assert sizes == [1, 6]
    assert whisper.batches == [1, 6]
    shared.close()


def test_a_ctc_head_and_the_llm_behind_it_are_shared():
    recognizer, _ = by_ctc(["今", "天"], ["Today."])
    sizes = []
    shared = share(recognizer, threads=1, max_batch=8, on_batch=sizes.append)
    listener = shared.listener(Job(Caller("a"), 10))
    said = listener.transcribe(CLIP, RecognizeOptions(task="asr_ast"), rate_hz=16_000)
    assert (said.text, said.translation) == ("今天", "Today.")
    shared.close()
    assert sizes == [1, 1]  # of who spells, and of the LLM


def test_other_options_are_another_batch():
    shared, whisper, sizes = make()
    whisper.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(transcribe, shared, 0.2)
        until(lambda: whisper.batches)
        plain = pool.submit(transcribe, shared, 0.3, words=True)  # words change no decoding
        same = pool.submit(transcribe, shared, 0.4, itn=True)
        prompted = pool.submit(transcribe, shared, 0.5, prompt="so")
        until(lambda: shared._batcher.num_waiting == 3)
        whisper.gate.set()
        for future in (first, plain, same, prompted):
            assert future.result(10).text
    assert sorted(sizes) == [1, 1, 2]
    assert plain.result().segments[0].words
    shared.close()


def test_one_who_leaves_ends_his_run_alone():
    shared, whisper, _ = make()
    whisper.gate.clear()
    job = Job(Caller("gone"), 10)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(transcribe, shared, 0.2)
        until(lambda: whisper.batches)
        gone = pool.submit(transcribe, shared, 0.3, job)
        until(lambda: shared._batcher.num_waiting == 1)
        job.cancel()
        with pytest.raises(StoppedError):
            gone.result(10)
        whisper.gate.set()
        assert first.result(10).text
    assert whisper.batches == [1]
    shared.close()


def test_a_translation_of_a_sentence_goes_through_the_queue():
    shared, _, sizes = make()
    assert transcribe(shared, 0.4, task="ast").text
    assert sizes == [1]
    shared.close()


def test_any_other_recogniser_is_used_one_by_one():
    class Plain(Listener):
        def __init__(self):
            super().__init__(LoudnessVad(), name="plain", versions={})
            self.inner = Recognizer(LoudWhisper(), LoudnessVad(), name="x", versions={})
            self.num_inside, self.most = 0, 0
            self.lock = threading.Lock()

        def run(self, source, options=None, *, rate_hz=None, on_progress=None):
            run = self.inner.run(source, options)
            segments = run._segments

            def counted():
                with self.lock:
                    self.num_inside += 1
                    self.most = max(self.most, self.num_inside)
                yield from segments
                with self.lock:
                    self.num_inside -= 1

            run._segments = counted()
            return run

    plain = Plain()
    shared = share(plain, threads=1, max_batch=4, on_batch=lambda size: None)
    assert isinstance(shared, OneByOne)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(transcribe, shared, 0.4) for _ in range(4)]
        assert {future.result(10).text for future in found} == {found[0].result().text}
    assert plain.most == 1


def test_sound_without_speech_asks_nobody():
    shared, whisper, _ = make()
    listener = shared.listener(Job(Caller("a"), 5))
    assert listener.transcribe(np.zeros(32_000, np.float32), rate_hz=16_000).text == ""
    assert whisper.batches == []
    shared.close()
