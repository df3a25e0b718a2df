"""The folder of a saved speech LLM: what it says of itself, and the part of it that hears.

    options = read_options(folder)
    ear = SpeechEar(folder, options, llm_width)
    [embeddings] = ear.hear([samples])      # [N, W], as the LLM reads them

`speech_llm` has the LLM behind it, `llm_ctc` the CTC head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.frontend import LogMel
from mooer.config import from_mapping, read_yaml
from mooer.engines.device import CPU
from mooer.engines.gated_adapter import AdapterOptions, GatedAdapter
from mooer.engines.llm import find_gguf
from mooer.engines.whisper_encoder import WhisperEncoder
from mooer.errors import ModelError
from mooer.store import located

Floats = NDArray[np.float32]

CONFIG = "mooer.yaml"
ENCODER = "encoder.safetensors"
ADAPTER = "adapter.safetensors"
CTC = "ctc.safetensors"
_LLM = "llm"  # path of an LLM that is in the folder


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
    draft: str | None = None  # whose text is shown: store:NAME, a path, or ctc, its own head
    draft_alone: bool = False  # then without the sound


class SpeechEar:
    """Whisper's encoder with what was trained of it, and the adapter, of a saved speech LLM.

    `device` and `compute_type` are of the encoder, see `engines.device.place`. ModelError lists
    what does not fit, also to an LLM of another width.
    """

    def __init__(
        self,
        folder: Path,
        options: SpeechLLMOptions,
        llm_width: int,
        *,
        device: str = CPU,
        compute_type: str | None = None,
        num_threads: int | None = None,
    ) -> None:
        whisper = from_mapping(WhisperOptions, options.encoder.config, where="encoder whisper")
        own = folder / ENCODER
        self.encoder = WhisperEncoder(
            released_encoder(options.encoder),
            weights=own if own.is_file() else None,
            device=device,
            compute_type=compute_type,
            num_threads=num_threads or 0,
        )
        _check(self.encoder, whisper, folder)
        self.frontend = LogMel(whisper.num_mels, pad_to_s=whisper.pad_to_s)
        width = self.encoder.width
        self.adapter = GatedAdapter(folder / ADAPTER, options.adapter, width, llm_width)
        self.frame_s = options.adapter.stride * self.encoder.frame_ms / 1000

    def hear(self, utterances: Sequence[Floats]) -> list[Floats]:
        """Embeddings [N, W] of utterances [T] at 16 kHz, one every `frame_s`.

        AudioError if one is too short for a frame, ModelError if one is too long for the encoder.
        """
        frames = self.encoder.encode([self.frontend(samples) for samples in utterances])
        return [self.adapter(one) for one in frames]


def read_options(folder: Path) -> SpeechLLMOptions:
    """`mooer.yaml` of a folder; ModelError if there is none, ConfigError for an unknown key."""
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder} holds no {CONFIG}: it is no model that mooer has saved")
    return read_yaml(SpeechLLMOptions, folder / CONFIG)


def llm_file(path: str, folder: Path) -> Path:
    """The GGUF that `mooer.yaml` in a folder names; ModelError if it names something else."""
    place = folder / _LLM if path == _LLM else located(path)
    if (place / "config.json").is_file():
        raise ModelError(f"its LLM {path} is in the format of transformers, and not a GGUF file")
    return find_gguf(place)


def released_encoder(options: EncoderOptions) -> Path:
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
