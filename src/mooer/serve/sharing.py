"""A recogniser that many requests use at once: each has its own run, and they share the weights.

A run reads its sound, finds speech and orders its segments in the thread of its request. What costs
goes through a `Batcher`: chunks of all requests that ask for the same.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np

from mooer.engines.whisper import Samples, Whisper
from mooer.infer.answering import Answered, Answerer
from mooer.infer.drafted import DraftedRecognizer
from mooer.infer.enriched import Enricher
from mooer.infer.guarded import GuardedDecoder, Heard, RecognizeOptions
from mooer.infer.longform import Chunk
from mooer.infer.one_pass import OnePassRecognizer
from mooer.infer.recognizer import Recognizer
from mooer.infer.run import Listener
from mooer.infer.speech_llm import SpeechLLMRecognizer
from mooer.serve.batcher import Batcher
from mooer.serve.jobs import Job

OnBatch = Callable[[int], None]
L = TypeVar("L", bound=Listener)


class Shared(Protocol):
    """A recogniser with its threads."""

    def listener(self, job: Job) -> Listener:
        """The recogniser for one request, to be used from its thread."""
        ...

    def close(self) -> None:
        """End the threads."""
        ...


def share(recognizer: Listener, *, threads: int, max_batch: int, on_batch: OnBatch) -> Shared:
    """The recogniser with what it needs to be used by many."""
    if isinstance(recognizer, DraftedRecognizer):
        return SharedDrafted(recognizer, threads, max_batch, on_batch)
    if isinstance(recognizer, Recognizer):
        return SharedWhisper(recognizer, threads, max_batch, on_batch)
    if isinstance(recognizer, OnePassRecognizer):
        return SharedOnePass(recognizer, max_batch, on_batch)
    if isinstance(recognizer, SpeechLLMRecognizer):
        return SharedSpeechLLM(recognizer, max_batch, on_batch)
    return OneByOne(recognizer)


class SharedWhisper:
    """Whisper: chunks of all callers are decoded together, by as many workers as there are threads.

    While one request is alone one worker has all threads, for quick words; then each worker has
    one: they wait less for each other (see `infer.recognizer`).
    """

    def __init__(
        self, recognizer: Recognizer, threads: int, max_batch: int, on_batch: OnBatch
    ) -> None:
        self._recognizer = recognizer
        self.crew = recognizer.engine_for(None)  # of one thread each
        self._alone = recognizer.engine
        self._alone.encode(np.zeros(16_000, np.float32))  # `engine_for` has put its weights away
        self._batcher = Batcher[Chunk, Heard](
            self._decode,
            workers=max(1, self.crew.workers),
            max_batch=max_batch,
            on_batch=on_batch,
            name="whisper",
        )

    @property
    def engine(self) -> Whisper:
        """The engine that suits the moment."""
        return self._alone if self._batcher.is_alone else self.crew

    def listener(self, job: Job) -> Recognizer:
        """Whisper for one request."""
        return with_enricher_of(self._recognizer, _JobRecognizer(self._recognizer, self, job))

    def decode(
        self, job: Job, batch: Sequence[Chunk], options: RecognizeOptions, language: str
    ) -> list[Heard]:
        """What was said in each chunk, whatever else is decoded with it."""
        key = (_deciding(options), language)
        return self._batcher.map(job, key, batch, [chunk.duration_s for chunk in batch])

    def close(self) -> None:
        """End the threads."""
        self._batcher.close()

    def _decode(self, key: tuple[RecognizeOptions, str], batch: Sequence[Chunk]) -> list[Heard]:
        options, language = key
        return GuardedDecoder(self.engine, options, language).decode(batch)


class _JobRecognizer(Recognizer):
    """Whisper as one request has it."""

    def __init__(self, recognizer: Recognizer, shared: SharedWhisper, job: Job) -> None:
        super().__init__(
            shared.crew,  # of a live stream: many hear at once
            recognizer.vad,
            name=recognizer.name,
            versions=recognizer.versions,
        )
        self._shared = shared
        self._job = job

    def engine_for(self, duration_s: float | None) -> Whisper:
        """Whichever suits the moment: what it does here is find the language."""
        return self._shared.engine

    def decode_by(
        self, engine: Whisper, options: RecognizeOptions, language: str
    ) -> Callable[[Sequence[Chunk]], list[Heard]]:
        """Decode together with the chunks of others."""
        return lambda batch: self._shared.decode(self._job, batch, options, language)

    def translation(self, chunk: Chunk, language: str) -> str:
        """Whisper's own English of a chunk."""
        [heard] = self._shared.decode(self._job, [chunk], RecognizeOptions(task="ast"), language)
        return heard.decoded.text


class SharedOnePass:
    """SenseVoice, Paraformer, CTC heads: utterances of all callers side by side."""

    def __init__(
        self, recognizer: OnePassRecognizer[Any], max_batch: int, on_batch: OnBatch
    ) -> None:
        self._recognizer = recognizer
        self._batcher = Batcher[Samples, Any](
            lambda options, utterances: recognizer.hear_as(utterances, options),
            max_batch=4 * max_batch,  # a pass over each, no token by token
            on_batch=on_batch,
            name=recognizer.name,
        )

    def listener(self, job: Job) -> Listener:
        """The network for one request."""
        one = copy.copy(self._recognizer)

        def hear_as(utterances: Sequence[Samples], options: RecognizeOptions) -> list[Any]:
            costs = [len(utterance) / 16_000 for utterance in utterances]
            key = replace(_deciding(options), language=options.language)
            return self._batcher.map(job, key, utterances, costs)

        one.hear_as = hear_as  # type: ignore[method-assign]
        return with_enricher_of(self._recognizer, one)

    def close(self) -> None:
        """End the thread."""
        self._batcher.close()


class SharedSpeechLLM:
    """A speech LLM: chunks that are asked the same are answered together."""

    def __init__(self, recognizer: SpeechLLMRecognizer, max_batch: int, on_batch: OnBatch) -> None:
        self._recognizer = recognizer
        self._batcher = Batcher[tuple[Chunk, str], Answered](
            self._answer, max_batch=max_batch, on_batch=on_batch, name=recognizer.name
        )

    def listener(self, job: Job) -> SpeechLLMRecognizer:
        """The LLM for one request."""
        one = copy.copy(self._recognizer)

        def answerer(options: RecognizeOptions) -> Answerer[Any]:
            found = self._recognizer.answerer(options)  # says at once what it cannot do
            shared = copy.copy(found)

            def answers(chunks: Sequence[Chunk], drafts: Sequence[str] = ()) -> list[Answered]:
                shown = drafts or [""] * len(chunks)
                key = (_deciding(options), options.language, options.to, bool(drafts))
                costs = [chunk.duration_s for chunk in chunks]
                pairs = list(zip(chunks, shown, strict=True))
                return self._batcher.map(job, (key, _Same(found)), pairs, costs)

            shared.answers = answers  # type: ignore[method-assign]
            return shared

        one.answerer = answerer  # type: ignore[method-assign]
        return with_enricher_of(self._recognizer, one)

    def close(self) -> None:
        """End the thread."""
        self._batcher.close()

    @staticmethod
    def _answer(key: Any, pairs: Sequence[tuple[Chunk, str]]) -> list[Answered]:
        (*_, drafted), same = key
        chunks, drafts = [chunk for chunk, _ in pairs], [draft for _, draft in pairs]
        found: Answerer[Any] = same.answerer
        return found.answers(chunks, drafts if drafted else ())


class _Same:
    """An answerer in a key, where one made of the same options is as good."""

    def __init__(self, answerer: Answerer[Any]) -> None:
        self.answerer = answerer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same)

    def __hash__(self) -> int:
        return 0


class SharedDrafted:
    """Who drafts and the LLM behind it, each shared."""

    def __init__(
        self, recognizer: DraftedRecognizer, threads: int, max_batch: int, on_batch: OnBatch
    ) -> None:
        self._recognizer = recognizer
        self._first = share(
            recognizer.first, threads=threads, max_batch=max_batch, on_batch=on_batch
        )
        self._second = SharedSpeechLLM(recognizer.second, max_batch, on_batch)

    def listener(self, job: Job) -> Listener:
        """Both for one request."""
        one = copy.copy(self._recognizer)
        first: Any = self._first.listener(job)
        one.first = first
        one.second = self._second.listener(job)
        return with_enricher_of(self._recognizer, one)

    def close(self) -> None:
        """End the threads."""
        self._first.close()
        self._second.close()


class OneByOne:
    """Any other recogniser: one request after the other."""

    def __init__(self, recognizer: Listener) -> None:
        self._recognizer = recognizer
        self._lock = threading.Lock()

    def listener(self, job: Job) -> Listener:
        """The recogniser; its runs wait for each other."""
        one = copy.copy(self._recognizer)

        def run(*arguments: Any, **options: Any) -> Any:
            found = self._recognizer.run(*arguments, **options)
            found._segments = self._locked(job, found._segments)
            return found

        one.run = run  # type: ignore[method-assign]
        return one

    def close(self) -> None:
        """Nothing to end."""

    def _locked(self, job: Job, segments: Iterator[Any]) -> Iterator[Any]:
        while not self._lock.acquire(timeout=0.2):
            job.check()
        try:
            yield from segments
        finally:
            self._lock.release()


_making_enricher = threading.Lock()


def with_enricher_of(recognizer: L, one: L) -> L:
    """One request's recogniser, with the enricher that all share: it is made but once."""

    def enricher() -> Enricher | None:
        with _making_enricher:
            return recognizer.enricher

    one.make_enricher = enricher
    return one


def _deciding(options: RecognizeOptions) -> RecognizeOptions:
    """Of the options what decides how a chunk is decoded; the rest is done with its text."""
    return replace(
        RecognizeOptions(),
        task=options.task,
        to=options.to,
        beam_size=options.beam_size,
        temperatures=options.temperatures,
        prompt=options.prompt,
        hotwords=options.hotwords,
    )
