"""Speech LLMs that mooer has saved, without torch: Whisper's encoder, the gated adapter, a GGUF.

    model = SpeechLLM(folder)
    [prompt] = model.prompts("asr", [samples])
    [answer] = model.llm.generate([prompt], GenerateOptions(stop_ids=model.stop_ids))
    print(read_answer(model.template, "asr", model.llm.decode(answer.tokens)))

The folder is the one of `mooer.models.load`; LoRA is `lora.gguf` in it, else made from `lora/`
(`lora_gguf`). The encoder runs on CTranslate2 (`whisper_encoder`), the adapter in numpy, the LLM on
onnxruntime or llama.cpp (`embedding_llm`).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.config import from_mapping
from mooer.engines.device import CPU
from mooer.engines.embedding_llm import EmbeddingLLM, Prompt
from mooer.engines.lora_gguf import ARCHITECTURES, as_gguf, read_architecture
from mooer.engines.qwen_onnx import packed
from mooer.engines.speech_folder import (
    CONFIG,
    LlmOptions,
    SpeechEar,
    SpeechLLMOptions,
    WhisperOptions,
    llm_file,
    read_options,
    released_encoder,
)
from mooer.errors import ModelError, MooerError
from mooer.store.lora import WEIGHTS
from mooer.store.lora import read_options as read_lora_options
from mooer.tasks.layout import Text
from mooer.tasks.templates import draft_alone, parts, template, with_hints

Floats = NDArray[np.float32]

logger = logging.getLogger(__name__)

LORA = "lora.gguf"  # as llama.cpp has it
PEFT = "lora"  # the folder, as peft has it
_CONTEXT_TOKENS = 8192  # of all that is answered together
_NUM_SEQUENCES = 16


class SpeechLLM:
    """A saved speech LLM in memory; one call at a time.

    `device` and `compute_type` are of the encoder, see `engines.device.place`; `exact` computes the
    LLM's attention in float32, in llama.cpp. With `packs` the LLM runs on onnxruntime where that is
    quicker (`qwen_onnx`), else on llama.cpp. ModelError says what this engine can run, or lists
    what does not fit.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = CPU,  # of the encoder
        num_threads: int | None = None,
        compute_type: str | None = None,
        context_tokens: int = _CONTEXT_TOKENS,
        exact: bool = False,
        packs: bool = True,
    ) -> None:
        options = read_options(folder)
        if reason := why_not(folder):
            raise ModelError(f"{folder} cannot be run without torch: {reason}")
        self.template = options.template
        self.draft_alone = options.draft_alone
        self.llm = _open_llm(
            options.llm,
            folder,
            packs=packs and not exact,
            num_threads=num_threads,
            context_tokens=context_tokens,
            exact=exact,
        )
        try:
            self._ear = SpeechEar(
                folder,
                options,
                self.llm.width,
                device=device,
                compute_type=compute_type,
                num_threads=num_threads,
            )
        except MooerError:
            self.llm.close()
            raise

    @functools.cached_property
    def stop_ids(self) -> frozenset[int]:
        """The id that ends an answer, as the template has it; ModelError if there is none."""
        end = template(self.template).end
        ids = self.llm.encode(end)
        if len(ids) != 1:
            raise ModelError(
                f"{self.llm.path.name} knows no token {end!r}, with which answers of the template "
                f"{self.template} end: it is not the LLM of this model"
            )
        return frozenset(ids)

    def encode(self, utterances: Sequence[Floats]) -> list[Floats]:
        """Embeddings [N, W] of utterances [T] at 16 kHz; errors as `SpeechEar.hear`."""
        return self._ear.hear(utterances)

    def prompts(
        self,
        task: str,
        utterances: Sequence[Floats],
        drafts: Sequence[str] = (),
        hotwords: str = "",
    ) -> list[Prompt]:
        """What a task asks of each utterance [T], for `llm`; `drafts` are shown where not empty.

        With `draft_alone`, if all have one, the utterances are not heard. `hotwords` is a line of
        words to expect. ConfigError for an unknown task.
        """
        found: list[Prompt] = []
        if self.draft_alone and drafts and all(drafts):
            asked = [draft_alone(self.template, task, draft) for draft in drafts]
            return [[self.llm.encode(part.text) for part in one] for one in asked]
        drafts = drafts or [""] * len(utterances)
        for embeddings, draft in zip(self.encode(utterances), drafts, strict=True):
            prompt: list[Sequence[int] | Floats] = []
            wording = with_hints(self.template, task, draft=draft, hotwords=hotwords)
            for part in parts(self.template, task, len(embeddings), prompt=wording):
                prompt.append(self.llm.encode(part.text) if isinstance(part, Text) else embeddings)
            found.append(prompt)
        return found

    def close(self) -> None:
        """Give the LLM's memory back; the model cannot be used afterwards."""
        self.llm.close()

    def __enter__(self) -> SpeechLLM:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def why_not(folder: Path) -> str | None:
    """Why this engine cannot run a saved model, in a sentence; None if it can.

    What the model names in the store is fetched.
    """
    try:
        options = read_options(folder)
        if faults := list(_foreign(options)):
            return faults[0]
        released_encoder(options.encoder)
        llm = llm_file(options.llm.path, folder)
        if options.llm.lora is not None and not (folder / LORA).is_file():
            if not (folder / PEFT / WEIGHTS[0]).is_file():
                return f"its LoRA is there neither as {LORA} nor as {PEFT}/{WEIGHTS[0]}"
            if (kind := read_architecture(llm)) not in ARCHITECTURES:
                known = ", ".join(ARCHITECTURES)
                return f"its LoRA is for a {kind}, and without {LORA} only that for {known} is read"
    except MooerError as error:
        return str(error)
    return None


def _open_llm(
    options: LlmOptions, folder: Path, *, packs: bool, exact: bool, **sizes: int | None
) -> EmbeddingLLM:
    """The LLM with its LoRA; on llama.cpp, with a warning, where onnxruntime cannot have it."""
    path = llm_file(options.path, folder)
    settings: dict[str, Any] = {**sizes, "num_sequences": _NUM_SEQUENCES}
    if packs and _can_be_packed(options, folder, path):
        peft = None if options.lora is None else folder / PEFT
        try:
            return _open_packed(path, packed(path, peft), settings)
        except MooerError as error:
            logger.warning("the LLM runs on llama.cpp, which is slower: %s", error)
    with _lora(options, folder) as lora:
        return EmbeddingLLM(path, lora=lora, exact=exact, **settings)


def _open_packed(path: Path, graph: Path, settings: dict[str, Any]) -> EmbeddingLLM:
    """ModelError if the graph is damaged, which is then forgotten."""
    try:
        return EmbeddingLLM(path, onnx=graph, **settings)
    except ModelError as error:
        graph.unlink(missing_ok=True)
        raise ModelError(f"{graph} was damaged, and is packed anew next time") from error


def _can_be_packed(options: LlmOptions, folder: Path, llm: Path) -> bool:
    """Whether onnxruntime has it, and is quicker: that was measured on x86 alone."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if options.lora is not None and (folder / LORA).is_file():
        return False
    return read_architecture(llm) in ARCHITECTURES


@contextlib.contextmanager
def _lora(options: LlmOptions, folder: Path) -> Iterator[Path | None]:
    """The file that llama.cpp reads LoRA from, while it does; ModelError if it does not fit."""
    if options.lora is None:
        yield None
    elif (folder / LORA).is_file():
        yield folder / LORA
    else:
        _check_lora(options.lora, folder / PEFT)
        with as_gguf(folder / PEFT) as path:
            yield path


def _check_lora(said: dict[str, Any], folder: Path) -> None:
    found = read_lora_options(folder)
    for ours, theirs in (("rank", "r"), ("alpha", "lora_alpha")):
        if said.get(ours) != found.get(theirs):
            raise ModelError(
                f"{folder} has {theirs} {found.get(theirs)}, but {CONFIG} says {ours} "
                f"{said.get(ours)}: they are not of one model"
            )


def _foreign(options: SpeechLLMOptions) -> Iterator[str]:
    """What of a model is of another kind than this engine knows."""
    encoder = options.encoder
    if encoder.name != "whisper":
        yield f"its encoder is {encoder.name}, and only whisper runs on CTranslate2"
    elif not from_mapping(WhisperOptions, encoder.config, where="encoder whisper").final_norm:
        yield "its encoder has no last norm (final_norm: false), which CTranslate2 always has"
    if options.adapter.name != "gated":
        yield f"its adapter is {options.adapter.name}, and only gated is known"
    template(options.template)
