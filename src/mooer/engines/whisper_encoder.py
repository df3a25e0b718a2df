"""Whisper's encoder on CTranslate2, for recordings as long as they are, with layers of one's own.

    encoder = WhisperEncoder(fetch("whisper-base"), weights=folder / "encoder.safetensors")
    [frames] = encoder.encode([encoder.frontend(samples)])

The layers come from the model.bin of a released Whisper. A safetensors file may replace arrays of
it and add blocks after the last; its names are those of transformers and of
`mooer.models.encoders.whisper`. CTranslate2 takes whole Whisper models alone, so a decoder is given
too: the smallest that it accepts.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.frontend import LogMel
from mooer.engines.device import CPU, place
from mooer.errors import ModelError
from mooer.store.ct2 import Array, Ct2Model, pack_ct2, read_ct2
from mooer.store.safetensors import read_safetensors

FRAME_MS = 20.0
_MAX_TOGETHER = 8  # recordings of one length in one call
_SPECIAL = ("endoftext", "startoftranscript", "nospeech", "notimestamps", "translate", "transcribe")
_VOCABULARY = [f"<|{name}|>" for name in (*_SPECIAL, "startofprev", "startoflm")]

Floats = NDArray[np.float32]

# Our names -> CTranslate2's, outside of blocks and inside. Of q, k and v see `_renamed`.
_NAMES = {
    "conv1.weight": "conv1/weight",
    "conv1.bias": "conv1/bias",
    "conv2.weight": "conv2/weight",
    "conv2.bias": "conv2/bias",
    "embed_positions.weight": "position_encodings/encodings",
    "layer_norm.weight": "layer_norm/gamma",
    "layer_norm.bias": "layer_norm/beta",
}
_BLOCK_NAMES = {
    "self_attn_layer_norm.weight": "self_attention/layer_norm/gamma",
    "self_attn_layer_norm.bias": "self_attention/layer_norm/beta",
    "self_attn.qkv.weight": "self_attention/linear_0/weight",
    "self_attn.qkv.bias": "self_attention/linear_0/bias",
    "self_attn.out_proj.weight": "self_attention/linear_1/weight",
    "self_attn.out_proj.bias": "self_attention/linear_1/bias",
    "final_layer_norm.weight": "ffn/layer_norm/gamma",
    "final_layer_norm.bias": "ffn/layer_norm/beta",
    "fc1.weight": "ffn/linear_0/weight",
    "fc1.bias": "ffn/linear_0/bias",
    "fc2.weight": "ffn/linear_1/weight",
    "fc2.bias": "ffn/linear_1/bias",
}


class WhisperEncoder:
    """Log-mel of recordings of up to 30 s to frames of 20 ms.

    With `num_layers` it ends after so many blocks, and the last norm.

    ModelError if a file is damaged, or if the weights do not belong to the released model.
    """

    def __init__(
        self,
        folder: Path,
        *,
        weights: Path | None = None,
        num_layers: int | None = None,
        device: str = CPU,  # see `engines.device.place`, also of None
        compute_type: str | None = None,
        num_threads: int = 0,
    ) -> None:
        import ctranslate2

        ctranslate2.set_log_level(40)  # errors come as exceptions
        released = read_ct2(Path(folder) / "model.bin")
        if released.specification != "WhisperSpec":
            raise ModelError(f"{folder} is a {released.specification}, not a Whisper model")
        arrays = released.arrays
        if weights is not None:
            arrays = {**arrays, **_renamed(read_safetensors(weights), weights)}
            _check(arrays, released.arrays, weights)
        if num_layers is not None:
            if num_layers not in range(1, len(_blocks(arrays)) + 1):
                raise ModelError(f"{folder} has {len(_blocks(arrays))} blocks, not {num_layers}")
            above = tuple(f"encoder/layer_{i}/" for i in range(num_layers, len(_blocks(arrays))))
            arrays = {name: a for name, a in arrays.items() if not name.startswith(above)}
        model = Ct2Model(released.specification, released.revision, _without_decoder(arrays))
        self.width, self.num_mels = (int(n) for n in arrays["encoder/conv1/weight"].shape[:2])
        self.num_layers = len(_blocks(arrays))
        self.max_frames = len(arrays["encoder/position_encodings/encodings"])
        self.frame_ms = FRAME_MS
        self.frontend = LogMel(self.num_mels)
        self._ct2 = ctranslate2
        placed = place(device, compute_type)
        files = {"model.bin": pack_ct2(model), "config.json": b"{}"}
        files["vocabulary.json"] = json.dumps(_VOCABULARY).encode()
        try:
            self._model: Any = ctranslate2.models.Whisper(
                str(folder),
                device=placed.device,
                compute_type=placed.compute_type,
                intra_threads=num_threads,
                files=files,
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{folder} cannot be used as an encoder: {error}") from error

    def num_frames(self, num_features: int) -> int:
        """Half as many, rounded up."""
        return (num_features + 1) // 2

    def encode(self, features: Sequence[Floats]) -> list[Floats]:
        """Frames [ceil(F / 2), D] of each recording's features [F, M].

        CTranslate2 knows no mask, so that padding would be heard: recordings of one length go
        together, others one by one. ModelError if one is longer than there are positions.
        """
        by_length = defaultdict[int, list[int]](list)
        for index, one in enumerate(features):
            if one.ndim != 2 or one.shape[1] != self.num_mels or not len(one):
                raise ModelError(
                    f"the encoder hears features of shape [F, {self.num_mels}], got "
                    f"{list(one.shape)}: take them from its front end"
                )
            if self.num_frames(len(one)) > self.max_frames:
                raise ModelError(
                    f"the Whisper encoder hears {self.max_frames * FRAME_MS / 1000:g} s, but got "
                    f"{len(one) / 100:g} s: cut the recording into shorter ones"
                )
            by_length[len(one)].append(index)
        found: dict[int, Floats] = {}
        for indices in by_length.values():
            for begin in range(0, len(indices), _MAX_TOGETHER):
                some = indices[begin : begin + _MAX_TOGETHER]
                batch = np.stack([features[i].T for i in some]).astype(np.float32)
                view = self._ct2.StorageView.from_array(np.ascontiguousarray(batch))
                output = np.asarray(self._model.encode(view, to_cpu=True), np.float32)
                found.update(zip(some, output, strict=True))
        return [found[i] for i in range(len(features))]


def _blocks(arrays: dict[str, Array]) -> set[int]:
    found = (re.match(r"encoder/layer_(\d+)/", name) for name in arrays)
    return {int(match[1]) for match in found if match}


def _renamed(tensors: dict[str, Array], path: Path) -> dict[str, Array]:
    """Arrays under CTranslate2's names, where q, k and v are one and k has a bias of zeros."""
    tensors = dict(tensors)
    for name in sorted(tensors):
        if match := re.fullmatch(r"(layers\.\d+\.self_attn)\.q_proj\.(weight|bias)", name):
            stem, kind = match.groups()
            q = tensors.pop(name)
            k = np.zeros_like(q) if kind == "bias" else tensors.pop(f"{stem}.k_proj.{kind}", None)
            v = tensors.pop(f"{stem}.v_proj.{kind}", None)
            if k is None or v is None:
                raise ModelError(f"{path} has {name}, but not k and v beside it")
            tensors[f"{stem}.qkv.{kind}"] = np.concatenate([q, k, v])
    renamed: dict[str, Array] = {}
    for name, array in tensors.items():
        block = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
        theirs = _BLOCK_NAMES.get(block[2]) if block else _NAMES.get(name)
        if theirs is None:
            raise ModelError(f"{path} has {name}, which the Whisper encoder has not")
        place = f"encoder/layer_{block[1]}/{theirs}" if block else f"encoder/{theirs}"
        # float32 as well as float16 may stand in one model.bin, but not float64
        renamed[place] = np.ascontiguousarray(array, np.float32)
    return renamed


def _check(arrays: dict[str, Array], released: dict[str, Array], path: Path) -> None:
    """ModelError if blocks are missing or incomplete, or shapes are not those of the released."""
    blocks = _blocks(arrays)
    if blocks != set(range(len(blocks))):
        raise ModelError(f"{path} leaves a gap between the blocks: there are {sorted(blocks)}")
    for name in (n for n in released if n.startswith("encoder/layer_0/")):
        for number in blocks:
            ours = name.replace("layer_0", f"layer_{number}", 1)
            if ours not in arrays:
                raise ModelError(f"{path} adds block {number}, but without {ours}")
    for name, array in arrays.items():
        model = released[re.sub(r"^encoder/layer_\d+/", "encoder/layer_0/", name)]
        if array.shape != model.shape:
            raise ModelError(
                f"{path} has {name} of shape {list(array.shape)}, but the released model "
                f"{list(model.shape)}: it was trained on another one"
            )


def _without_decoder(arrays: dict[str, Array]) -> dict[str, Array]:
    """The encoder, and of the decoder one layer and a few words: what cannot be left out."""
    kept: dict[str, Array] = {}
    for name, array in arrays.items():
        if re.match(r"decoder/layer_[1-9]", name):
            continue
        if re.match(r"decoder/(embeddings|projection)/", name) and array.ndim:
            array = array[: len(_VOCABULARY)]  # noqa: PLW2901
        kept[name] = array
    return kept
