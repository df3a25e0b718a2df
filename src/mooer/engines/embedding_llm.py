r"""A large language model on llama.cpp whose prompts are ids and embeddings: the LLM of speech.

    with EmbeddingLLM(path, lora=lora) as llm:
        prompt = [llm.encode("<|im_start|>user\n"), frames, llm.encode("<|im_end|>\n")]
        [answer] = llm.generate([prompt], GenerateOptions(max_new_tokens=100))
        print(llm.decode(answer.tokens))

Prompts are read and answered together, each in a sequence of its own, in one cache of keys and
values. Ids that all prompts of a call begin with are read once and shared, and are still there in
the next call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mooer.engines.llama_context import LlamaContext
from mooer.engines.llama_jobs import Job, Part, run
from mooer.engines.llama_prefixes import Prefixes
from mooer.engines.onnx_context import OnnxContext
from mooer.engines.token_search import Generated, GenerateOptions, RowSearch, start
from mooer.errors import ConfigError, DecodeError, ModelError

Floats = NDArray[np.float32]
Prompt: TypeAlias = Sequence[Sequence[int] | Floats]  # parts: ids, or embeddings [N, W]
_NUM_PREFIXES = 2  # kept between calls: say, of transcription and of translation


class EmbeddingLLM:
    """A causal language model in memory, ready to answer; one call at a time, others wait.

    `path` is a GGUF file, or a folder that holds exactly one; `lora` is one in llama.cpp's GGUF.
    `context_tokens` bounds the cache: the prompts and answers that are decoded together; what
    does not fit there, or in `num_sequences`, waits until another has ended. `exact` keeps and
    computes attention in float32, more slowly. With `onnx`, a graph of the same model and LoRA
    (`qwen_onnx`), llama.cpp is its tokenizer alone.

    ModelError if a file is missing, damaged, or does not belong to the other.
    """

    def __init__(
        self,
        path: Path,
        *,
        lora: Path | None = None,
        num_threads: int | None = None,
        context_tokens: int = 4096,
        num_sequences: int = 8,
        exact: bool = False,
        onnx: Path | None = None,
    ) -> None:
        self._context: LlamaContext | OnnxContext
        if onnx is not None:
            self._context = OnnxContext(
                path, onnx, num_threads=num_threads, context_tokens=context_tokens
            )
        else:
            self._context = LlamaContext(
                path,
                lora=lora,
                num_threads=num_threads,
                context_tokens=context_tokens,
                num_sequences=num_sequences + _NUM_PREFIXES,
                exact=exact,
            )
        self.path = self._context.path
        self.width = self._context.width
        self.vocabulary_size = self._context.num_tokens
        self.context_tokens = self._context.context_tokens
        self.num_sequences = num_sequences
        self._prefixes = Prefixes(
            self._context, range(num_sequences, num_sequences + _NUM_PREFIXES)
        )
        self._lock = threading.Lock()
        self._user: int | None = None  # the thread that holds the lock

    @functools.cached_property
    def stop_ids(self) -> frozenset[int]:
        """The ids that end an answer, by what the file says."""
        return self._context.ends()

    @property
    def library(self) -> tuple[str, str]:
        """What it runs on, and the package that has that."""
        if isinstance(self._context, OnnxContext):
            return "onnxruntime", "onnxruntime"
        return "llama.cpp", "xllamacpp"

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Ids of a text; `special`: names such as <|im_end|> are one id, and not letters."""
        return self._context.encode(text, special)

    def decode(self, ids: Sequence[int], special: bool = False) -> str:
        """Text of ids; half a character is U+FFFD, special ids are left out."""
        data = b"".join(self._context.piece(token, special) for token in ids)
        return data.decode(errors="replace")

    def generate(
        self, prompts: Sequence[Prompt], options: GenerateOptions | Sequence[GenerateOptions]
    ) -> list[Generated]:
        """The answer to each prompt; `options` are of all, or of each.

        DecodeError if a prompt cannot fit the context, or the model gives NaN.
        """
        each = [options] * len(prompts) if isinstance(options, GenerateOptions) else options
        if len(each) != len(prompts):
            raise ConfigError(f"{len(each)} options for {len(prompts)} prompts: give one for each")
        jobs = [self._job(i, prompt, each[i]) for i, prompt in enumerate(prompts)]
        with self._use():
            for _ in self._run(jobs):
                pass
        return [job.search.result() for job in jobs]

    def stream(
        self, prompt: Prompt, options: GenerateOptions
    ) -> Generator[tuple[int, float], None, None]:
        """Ids of one answer and their natural log-probabilities, each as it is found; no stop id.

        Until it ends or is closed, no other call can begin.
        ConfigError for several beams: which of them wins is known only at the end.
        """
        if options.num_beams != 1:
            raise ConfigError("ids come one by one from one beam alone: set num_beams to 1")
        job = self._job(0, prompt, options)
        assert isinstance(job.search, RowSearch)
        with self._use(), contextlib.closing(self._run([job])) as steps:
            for _ in steps:
                if job.search.last is not None:
                    yield job.search.last

    def close(self) -> None:
        """Give the memory back, from any thread; the model cannot be used afterwards."""
        self._context.close()

    def __enter__(self) -> EmbeddingLLM:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, jobs: Sequence[Job]) -> Generator[Job, None, None]:
        return run(jobs, self._context, self._prefixes, range(self.num_sequences))

    @contextlib.contextmanager
    def _use(self) -> Iterator[None]:
        """Wait until no other thread uses the model; in one thread that would be for ever."""
        if self._user == threading.get_ident():
            raise DecodeError("an answer is still being streamed: read it to its end or close it")
        with self._lock:
            self._user = threading.get_ident()
            try:
                yield
            finally:
                self._user = None

    def _job(self, index: int, prompt: Prompt, options: GenerateOptions) -> Job:
        if not options.stop_ids:
            options = dataclasses.replace(options, stop_ids=self.stop_ids)
        if options.num_beams > self.num_sequences:
            raise ConfigError(
                f"{options.num_beams} beams do not fit {self.num_sequences} sequences: "
                "raise num_sequences"
            )
        self._check_ids(options.stop_ids, "a stop id")
        self._check_ids(options.logit_bias, "an id of logit_bias")
        parts = deque(part for part in map(self._part, prompt) if len(part))
        job = Job(index, parts, start(options), options.max_new_tokens)
        num_rows = sum(map(len, parts))
        if not num_rows:
            raise DecodeError("a prompt of no tokens cannot be answered")
        if job.max_cells > self.context_tokens:
            raise DecodeError(
                f"a prompt of {num_rows} tokens, and {job.max_cells - num_rows} for the answer, do "
                f"not fit a context of {self.context_tokens}: shorten it or raise context_tokens"
            )
        return job

    def _part(self, part: Sequence[int] | Floats) -> Part:
        if isinstance(part, np.ndarray) and part.dtype.kind == "f":
            if part.ndim != 2 or part.shape[1] != self.width:
                raise ModelError(
                    f"{self.path.name} reads embeddings of shape [N, {self.width}], got "
                    f"{list(part.shape)}: the projector is not the one of this model"
                )
            if not np.isfinite(part).all():
                raise DecodeError(
                    "a prompt has embeddings that are NaN or infinite: the features or the "
                    "weights of the encoder are damaged"
                )
            return np.ascontiguousarray(part, np.float32)
        ids = [int(token) for token in part]
        self._check_ids(ids, "an id of the prompt")
        return ids

    def _check_ids(self, ids: Iterable[int], what: str) -> None:
        wrong = [token for token in ids if not 0 <= token < self.vocabulary_size]
        if wrong:
            raise DecodeError(
                f"{what} is {wrong[0]}, but {self.path.name} has {self.vocabulary_size}: "
                "the tokenizer is not the one of this model"
            )
