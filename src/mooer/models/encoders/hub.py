"""Speech encoders that transformers knows, from a local folder of theirs.

- HuBERT (Hsu et al. 2021) and wav2vec 2.0 (Baevski et al. 2020): samples in.
- wav2vec2-BERT 2.0 (Seamless Communication 2023): normalised filter bank in.
- Whisper, of any size: `mooer.models.encoders.whisper`, filled from that folder.

All give a frame per 20 ms in their released sizes. Unlike in transformers padding never changes
what is heard: where the first norm of HuBERT runs over time (`feat_extract_norm` "group"), each
utterance goes through the convolutions by itself. SpecAugment and the dropping of layers are off,
for the recipe has its own.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModel

from mooer.audio.features import SAMPLE_RATE_HZ
from mooer.audio.frontend import NormalizedFbank, Waveform
from mooer.errors import ModelError, did_you_mean
from mooer.models.encoders.base import Encoder, inside, zero_after
from mooer.models.encoders.whisper import WhisperEncoder, whisper_config
from mooer.models.tensors import StrPath, Tensors, read_tensors, without_prefix

_FBANK_STACK = 2
_FRAME_MS = 10.0


@dataclass(frozen=True)
class HubConfig:
    """A folder of transformers: config.json, weights, preprocessor_config.json."""

    path: str
    pad_to_s: float | None = None  # Whisper alone: silence up to so many seconds


class HubEncoder(Encoder):
    """The encoder that a folder's config.json describes; its weights come by `load_weights`."""

    def __init__(self, config: HubConfig) -> None:
        super().__init__()
        self.config = config
        folder = Path(config.path)
        kind = str(_read_json(folder / "config.json").get("model_type"))
        if kind not in _KINDS:
            raise ModelError(
                f"{folder} holds a model of type {kind!r}, which is no speech encoder here: "
                f"{did_you_mean(kind, _KINDS)}"
            )
        if kind == "whisper":
            sizes = dataclasses.replace(whisper_config(folder), pad_to_s=config.pad_to_s)
            self.network: Encoder = WhisperEncoder(sizes)
        else:
            if config.pad_to_s is not None:
                raise ModelError(f"pad_to_s is for Whisper alone, but {folder} holds {kind}")
            self.network = _KINDS[kind](folder)
        self.frontend = self.network.frontend
        self.width = self.network.width
        self.frame_ms = self.network.frame_ms

    def num_frames(self, num_features: int) -> int:
        """Hidden frames of so many feature frames, or samples."""
        return self.network.num_frames(num_features)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, F, M], [B] -> [B, F', D] with zeros after the end, [B]."""
        hidden, hidden_lengths = self.network(features, lengths)
        return hidden, hidden_lengths

    def released(self, path: StrPath) -> Tensors:
        """Tensors of a transformers folder or file under this module's names."""
        return {f"network.{name}": t for name, t in self.network.released(path).items()}


class TransformersEncoder(Encoder):
    """A model of transformers from its config.json, with random weights."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        try:
            settings = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(f"{folder}/config.json cannot be used: {error}") from None
        if getattr(settings, "add_adapter", False):
            raise ModelError(
                f"the encoder of {folder} has an adapter of its own (add_adapter), "
                f"which is not supported: use one without"
            )
        settings.apply_spec_augment = False
        settings.layerdrop = 0.0
        self.settings: Any = settings
        build: Any = AutoModel.from_config  # which has no types
        self.model = build(settings, trust_remote_code=False).float()
        if hasattr(self.model, "masked_spec_embed"):  # of SpecAugment: never used
            self.model.masked_spec_embed.requires_grad_(False)
        self.width = int(settings.hidden_size)

    def released(self, path: StrPath) -> Tensors:
        """Without the prefix and the heads of a larger model, in today's names of weight norm."""
        tensors = read_tensors(path)
        prefix = f"{self.model.base_model_prefix}."
        if any(name.startswith(prefix) for name in tensors):
            tensors = without_prefix(tensors, prefix)
        known = self.model.state_dict()
        return {f"model.{_renamed(name, known)}": t for name, t in tensors.items()}


class WaveEncoder(TransformersEncoder):
    """Samples [B, T, 1] through strided convolutions, then a transformer: HuBERT and its kin."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.kernels = tuple(zip(self.settings.conv_kernel, self.settings.conv_stride, strict=True))
        self.min_samples, hop = 1, 1
        for kernel, stride in reversed(self.kernels):
            self.min_samples = (self.min_samples - 1) * stride + kernel
            hop *= stride
        self.frame_ms = 1000 * hop / SAMPLE_RATE_HZ
        preprocessor = _read_json(folder / "preprocessor_config.json")
        rate_hz = preprocessor.get("sampling_rate", SAMPLE_RATE_HZ)
        if rate_hz != SAMPLE_RATE_HZ:
            raise ModelError(f"the encoder of {folder} hears {rate_hz} Hz, not {SAMPLE_RATE_HZ}")
        self.frontend = Waveform(
            normalize=bool(preprocessor.get("do_normalize", True)), min_samples=self.min_samples
        )

    def num_frames(self, num_features: int) -> int:
        """Frames that lie wholly inside so many samples."""
        for kernel, stride in self.kernels:
            num_features = max(0, (num_features - kernel) // stride + 1)
        return num_features

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, T, 1], [B] -> [B, F, D] with zeros after the end, [B]."""
        model: Any = self.model
        samples = zero_after(features, lengths)[..., 0].to(model.dtype)
        if self.settings.feat_extract_norm == "group":
            rows = [
                model.feature_extractor(row[None, : max(length, self.min_samples)])[0].T
                for row, length in zip(samples, lengths.tolist(), strict=True)
            ]
            frames = pad_sequence(rows, batch_first=True)
        else:
            frames = model.feature_extractor(samples).transpose(1, 2)
        num_frames = torch.tensor(
            [self.num_frames(length) for length in lengths.tolist()], device=lengths.device
        )
        projected = model.feature_projection(frames)
        hidden = projected[0] if isinstance(projected, tuple) else projected
        mask = inside(num_frames, frames.shape[1])
        out = model.encoder(hidden, attention_mask=mask)[0]
        return zero_after(out, num_frames), num_frames


class FbankEncoder(TransformersEncoder):
    """Normalised filter bank [B, F, 160], 20 ms a frame, through a conformer: wav2vec2-BERT."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        num_features = int(self.settings.feature_projection_input_dim)
        self.frontend = NormalizedFbank(num_features // _FBANK_STACK, num_stack=_FBANK_STACK)
        self.frame_ms = _FRAME_MS * _FBANK_STACK

    def num_frames(self, num_features: int) -> int:
        """One hidden frame per feature frame."""
        return num_features

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, F, 160], [B] -> [B, F, D] with zeros after the end, [B]."""
        model: Any = self.model
        known = zero_after(features, lengths).to(model.dtype)
        out = model(known, attention_mask=inside(lengths, features.shape[1]))[0]
        return zero_after(out, lengths), lengths


_KINDS: Mapping[str, type[Any]] = {
    "hubert": WaveEncoder,
    "wav2vec2": WaveEncoder,
    "wav2vec2-bert": FbankEncoder,
    "whisper": WhisperEncoder,
}


def _renamed(name: str, known: Mapping[str, object]) -> str:
    """The older names of weight norm, `weight_g` and `weight_v`, where torch has new ones."""
    for old, new in (
        (".weight_g", ".parametrizations.weight.original0"),
        (".weight_v", ".parametrizations.weight.original1"),
    ):
        if name not in known and name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}): a transformers folder has it, fetch it"
        ) from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no settings by name: fetch it again")
    return content
