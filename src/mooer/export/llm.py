"""An LLM with what it has learned as GGUF, and LoRA alone as an adapter of llama.cpp.

Metadata, tokenizer and the weights that nothing changed are those of the GGUF file that training
began from. LoRA is added to the weights it is for, one at a time, without loading the LLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mooer.engines.lora_gguf import ARCHITECTURES, gguf_name, lora_file
from mooer.errors import ModelError, listed
from mooer.export.gguf_file import (
    Entry,
    field,
    gguf_package,
    metadata,
    open_gguf,
    typed,
    write_gguf,
)
from mooer.export.precision import FILE_TYPES, Precision, TensorType, pack, tensor_type
from mooer.files import write_whole
from mooer.models.lora import Lora
from mooer.store.lora import layer

CHAT_TEMPLATE = "tokenizer.chat_template"
_CONVERTER = "convert_hf_to_gguf.py of llama.cpp"
_HEAD, _EMBEDDINGS = "output.weight", "token_embd.weight"

Floats = NDArray[np.float32]
Weights = Mapping[str, Tensor]  # of transformers, by its names


@dataclass(frozen=True)
class Update:
    """LoRA of one tensor: `scale * up @ down` is added to it."""

    down: Floats  # [R, in]
    up: Floats  # [out, R]
    scale: float

    def added_to(self, weight: Floats) -> Floats:
        """The weight [out, in] with the update in it."""
        moved: Floats = weight + np.float32(self.scale) * (self.up @ self.down)
        return moved


class Base:
    """The GGUF file that an LLM was trained from, open. ModelError if it cannot be built upon."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = open_gguf(path)
        self.architecture = str(field(self.reader, "general.architecture"))
        if self.architecture not in ARCHITECTURES:
            raise ModelError(
                f"{path} is a {self.architecture}: of {', '.join(ARCHITECTURES)} alone tensors "
                f"can be taken over; save the model with its LLM, and use {_CONVERTER}"
            )
        self.num_blocks = int(field(self.reader, f"{self.architecture}.block_count"))
        self.width = int(field(self.reader, f"{self.architecture}.embedding_length"))
        self.file_type = field(self.reader, "general.file_type")
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        self.is_tied = _HEAD not in self.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Rows first, as numpy has it."""
        return tuple(int(n) for n in reversed(self.tensors[name].shape))

    def kind(self, name: str, precision: Precision) -> TensorType:
        """The type of a tensor: its own, if the file is of that precision already."""
        own = int(self.tensors[name].tensor_type)
        if self.file_type == FILE_TYPES[precision] and own in set(TensorType):
            return TensorType(own)
        shape = self.shape(name)
        return tensor_type(name, shape, precision, self.num_blocks, is_tied=self.is_tied)

    def name(self, theirs: str) -> str | None:
        """The name that a tensor of transformers has in the file; None if it is not there."""
        ours = gguf_name(theirs)
        return ours if ours in self.tensors else None


def write_llm(
    path: Path,
    base: Base,
    precision: Precision,
    *,
    weights: Weights | None = None,
    lora: Lora | None = None,
    chat_template: str | None = None,
) -> None:
    """Write the whole LLM: `weights` instead of the base's own, `lora` added.

    `chat_template` (Jinja) takes the place of the base's. A tensor that nothing changed and that
    has its type already is copied byte for byte. ModelError if something does not fit.
    """
    changed = {} if weights is None else _matched(base, weights)
    added = {} if lora is None else updates(base, lora)
    values = metadata(base.reader)
    values["general.file_type"] = typed(FILE_TYPES[precision])
    if chat_template is not None:
        values[CHAT_TEMPLATE] = typed(chat_template)
    entries = []
    for name in base.tensors:
        kind = base.kind(name, precision)
        load = _loader(base, name, kind, changed.get(name), added)
        entries.append(Entry(name, base.shape(name), kind, load))
    write_gguf(path, values, entries)


def write_lora(path: Path, base: Base, lora: Lora) -> None:
    """Write LoRA alone, in float32. ModelError if it is not of this LLM."""
    tensors = {
        f"{name}.lora_{side}": array
        for name, update in updates(base, lora).items()
        for side, array in (("a", update.down), ("b", update.up))
    }
    write_whole(path, lora_file(base.architecture, lora.config.alpha, tensors))


def _loader(
    base: Base, name: str, kind: TensorType, weight: Tensor | None, added: dict[str, Update]
) -> Any:
    def load() -> NDArray[Any]:
        tensor, update = base.tensors[name], added.get(name)
        if weight is None and update is None and int(tensor.tensor_type) == kind:
            return np.asarray(tensor.data)
        if weight is not None:
            array = weight.to(torch.float32).numpy()
        else:
            array = gguf_package().dequantize(tensor.data, tensor.tensor_type)
        return pack(array if update is None else update.added_to(array), kind)

    return load


def _matched(base: Base, weights: Weights) -> dict[str, Tensor]:
    """Weights of transformers under the names of GGUF: all of them, none more."""
    found: dict[str, Tensor] = {}
    strange = []
    for theirs, tensor in weights.items():
        ours = base.name(theirs)
        if ours is None and theirs == "lm_head.weight" and base.is_tied:
            continue  # written twice, though it is the same
        if ours is None or base.shape(ours) != tuple(tensor.shape):
            strange.append(f"{theirs} {list(tensor.shape)}")
        else:
            found[ours] = tensor
    if _HEAD not in found and not base.is_tied and _EMBEDDINGS in found:
        found[_HEAD] = found[_EMBEDDINGS]  # tied there and not here
    missing = [name for name in base.tensors if name not in found]
    if strange or missing:
        faults = [f"strange: {listed(strange)}"] if strange else []
        faults += [f"missing: {listed(missing)}"] if missing else []
        raise ModelError(
            f"the LLM's weights are not those of {base.path} ({'; '.join(faults)}): name the GGUF "
            f"file that it was trained from, or use {_CONVERTER}"
        )
    return found


def updates(base: Base, lora: Lora) -> dict[str, Update]:
    """LoRA by the GGUF names of the tensors it is for. ModelError if it is not of this LLM."""
    parts: dict[str, dict[str, Floats]] = {}
    for name, tensor in lora.tensors.items():
        stem, side = layer(name)
        target = base.name(f"{stem}.weight")
        if target is None:
            raise ModelError(
                f"LoRA is for {stem}, which {base.path} has not: it was not trained on this LLM"
            )
        parts.setdefault(target, {})[side] = tensor.detach().to("cpu", torch.float32).numpy()
    scale = lora.config.alpha / lora.config.rank
    found = {}
    for target, sides in parts.items():
        update = Update(sides["A"], sides["B"], scale)
        shape = (update.up.shape[0], update.down.shape[1])
        if shape != base.shape(target):
            raise ModelError(
                f"LoRA of {target} is for {list(shape)}, but {base.path} has "
                f"{list(base.shape(target))}: it was not trained on this LLM"
            )
        found[target] = update
    return found
