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
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.frontend import LogMel
from mooer.config import from_mapping, read_yaml
from mooer.engines.device import CPU
from mooer.engines.embedding_llm import EmbeddingLLM, Prompt
from mooer.engines.gated_adapter import AdapterOptions, GatedAdapter
from mooer.engines.llm import find_gguf
from mooer.engines.lora_gguf import ARCHITECTURES, as_gguf, read_architecture
from mooer.engines.qwen_onnx import packed
from mooer.engines.whisper_encoder import WhisperEncoder
from mooer.errors import ModelError, MooerError
from mooer.store import located
from mooer.store.lora import WEIGHTS
from mooer.store.lora import read_options as read_lora_options
from mooer.tasks.layout import Text
from mooer.tasks.templates import draft_alone, parts, template, with_hints

Floats = NDArray[np.float32]

logger = logging.getLogger(__name__)

CONFIG = "mooer.yaml"
ENCODER = "encoder.safetensors"
ADAPTER = "adapter.safetensors"
LORA = "lora.gguf"  # as llama.cpp has it
PEFT = "lora"  # the folder, as peft has it
_LLM = "llm"  # path of an LLM that is in the folder
_CONTEXT_TOKENS = 8192  # of all that is answered together
_NUM_SEQUENCES = 16


@dataclass(frozen=True)
class WhisperOptions:
    """The encoder's section `config`, as `mooer.models.encoders.whisper` writes it."""

    num_mels: int = 80
    width: int = 512
    num_heads: int = 8
    ffn_width: int = 2048
    num_layers: int = 6
    max_frames: int = 1500
    pad_to_s: float | None = None
    extra_layers: int = 0
    stored_layers: int = 0  # of training
    final_norm: bool = True
    dropout: float = 0.0  # of training


@dataclass(frozen=True)
class EncoderOptions:
    """Which encoder, and where its released weights are."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None


@dataclass(frozen=True)
class LlmOptions:
    """Where the LLM is, and whether there is LoRA for it."""

    path: str
    dtype: str = "float32"  # of torch
    lora: dict[str, Any] | None = None


@dataclass(frozen=True)
class SpeechLLMOptions:
    """`mooer.yaml` in the folder of a saved model."""

    encoder: EncoderOptions
    llm: LlmOptions
    adapter: AdapterOptions = field(default_factory=AdapterOptions)
    adapter_weights: str | None = None  # where training began
    template: str = "mooer"
    ctc: dict[str, Any] | None = None  # a head that is not used to answer
    draft: str | None = None  # the recogniser whose text is shown: store:NAME, or a path
    draft_alone: bool = False  # then without the sound


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
        whisper = from_mapping(WhisperOptions, options.encoder.config, where="encoder whisper")
        own = folder / ENCODER
        self._encoder = WhisperEncoder(
            _released(options.encoder),
            weights=own if own.is_file() else None,
            device=device,
            compute_type=compute_type,
            num_threads=num_threads or 0,
        )
        _check(self._encoder, whisper, folder)
        self.frontend = LogMel(whisper.num_mels, pad_to_s=whisper.pad_to_s)
        self.llm = _open_llm(
            options.llm,
            folder,
            packs=packs and not exact,
            num_threads=num_threads,
            context_tokens=context_tokens,
            exact=exact,
        )
        try:
            self._adapter = GatedAdapter(
                folder / ADAPTER, options.adapter, self._encoder.width, self.llm.width
            )
        except ModelError:
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
        """Embeddings [N, W] of utterances [T] at 16 kHz.

        AudioError if one is too short for a frame, ModelError if one is too long for the encoder.
        """
        frames = self._encoder.encode([self.frontend(samples) for samples in utterances])
        return [self._adapter(one) for one in frames]

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


def read_options(folder: Path) -> SpeechLLMOptions:
    """`mooer.yaml` of a folder; ModelError if there is none, ConfigError for an unknown key."""
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder} holds no {CONFIG}: it is no model that mooer has saved")
    return read_yaml(SpeechLLMOptions, folder / CONFIG)


def why_not(folder: Path) -> str | None:
    """Why this engine cannot run a saved model, in a sentence; None if it can.

    What the model names in the store is fetched.
    """
    try:
        options = read_options(folder)
        if faults := list(_foreign(options)):
            return faults[0]
        _released(options.encoder)
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


def _released(options: EncoderOptions) -> Path:
    """The folder of the released Whisper; ModelError if the model has none, or another format."""
    if options.weights is None:
        raise ModelError(
            f"all of its encoder is in the folder, and CTranslate2 needs the released Whisper "
            f"beside it: name that in {CONFIG} as encoder.weights, say store:whisper-base"
        )
    place = located(options.weights)
    folder = place.parent if place.name == "model.bin" else place
    if not (folder / "model.bin").is_file():
        raise ModelError(f"its encoder is made of {place}, which holds no model.bin of CTranslate2")
    return folder


def llm_file(path: str, folder: Path) -> Path:
    """The GGUF that `mooer.yaml` in a folder names; ModelError if it names something else."""
    place = folder / _LLM if path == _LLM else located(path)
    if (place / "config.json").is_file():
        raise ModelError(f"its LLM {path} is in the format of transformers, and not a GGUF file")
    return find_gguf(place)


def _check(encoder: WhisperEncoder, options: WhisperOptions, folder: Path) -> None:
    """ModelError if weights are of other sizes than `mooer.yaml` says."""
    # Blocks that were added and have not learned change nothing, and are not in the weights.
    layers = (options.num_layers, options.num_layers + options.extra_layers)
    found = {
        "num_mels": (encoder.num_mels, (options.num_mels,)),
        "width": (encoder.width, (options.width,)),
        "max_frames": (encoder.max_frames, (options.max_frames,)),
        "num_layers": (encoder.num_layers, layers),
    }
    for name, (got, wanted) in found.items():
        if got not in wanted:
            raise ModelError(
                f"the encoder of {folder} has {name} {got}, but {CONFIG} says "
                f"{' or '.join(map(str, sorted(set(wanted))))}: they are not of one model"
            )
