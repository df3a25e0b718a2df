"""The pieces of a speech LLM as they were released: their sizes read off, their tensors compared.

| piece | file | names |
|---|---|---|
| encoder | `paraformer-encoder.pth` | as `SanmEncoder` has them |
| adapter | `adapter_project.pt` | `encoder_projector.` + those of `ConcatAdapter` |
| LoRA | `lora_weights/` | `base_model.model.` + those of the LLM |

The same adapter, under the same names, is in FireRedASR-LLM and SLAM-LLM.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mooer.errors import ModelError, first_line
from mooer.models.adapter import AdapterConfig, build_adapter
from mooer.models.encoders.sanm import SanmConfig, SanmEncoder
from mooer.models.llm import LoraConfig, add_lora
from mooer.models.tensors import Comparison, Shapes, Tensors, compare, shapes_of

ENCODER_FILE = "paraformer-encoder.pth"
CMVN_FILE = "am.mvn"
ADAPTER_PREFIX = "encoder_projector."

_STACK = 7  # frames in one feature frame of the encoder; the files do not say
_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")

# What the released files hold, by the width of the LLM. Parameters.
FULL_ENCODER = 157_975_648
FULL_ADAPTERS = {3584: 9_442_816, 1536: 5_246_464}
LLM_NAMES = {3584: "Qwen2-7B-Instruct", 1536: "Qwen2-1.5B-Instruct"}


@dataclass(frozen=True)
class Piece:
    """A part of a checkpoint beside what it must be."""

    name: str
    path: str
    says: str  # its sizes, in words
    num_parameters: int
    comparison: Comparison


def encoder_piece(tensors: Mapping[str, Tensor], path: Path) -> tuple[SanmConfig, Piece]:
    """Sizes of the encoder as its tensors have them, and whether all are there."""
    shapes = shapes_of(tensors)
    config = _sanm_config(_bare(shapes, "after_norm.weight"))
    with torch.device("meta"):
        wanted = shapes_of(SanmEncoder(config).state_dict())
    count = num_parameters(shapes)
    known = "the released size" if count == FULL_ENCODER else "not the released size"
    says = f"SAN-M, {config.num_blocks} blocks of width {config.width} ({known})"
    return config, Piece("encoder", str(path), says, count, compare(wanted, tensors))


def adapter_piece(
    tensors: Mapping[str, Tensor], in_width: int, path: Path
) -> tuple[AdapterConfig, int, Piece]:
    """The adapter's config, the width of the LLM that it is for, and whether all is there."""
    shapes = shapes_of(tensors)
    bare = _bare(shapes, "linear1.weight")
    first = bare.get("linear1.weight", (2048, 2 * in_width))
    second = bare.get("linear2.weight", (3584, first[0]))
    if len(first) != 2 or len(second) != 2 or first[1] < in_width or first[1] % in_width:
        raise ModelError(
            f"{path} is no adapter over an encoder of width {in_width}: linear1.weight is "
            f"{list(first)}, linear2.weight {list(second)}"
        )
    config = AdapterConfig("concat", stride=first[1] // in_width, hidden_width=first[0])
    with torch.device("meta"):
        module = build_adapter(config, in_width, second[0])
    wanted = {ADAPTER_PREFIX + name: s for name, s in shapes_of(module.state_dict()).items()}
    count = num_parameters(shapes)
    known = "the released size" if count == FULL_ADAPTERS.get(second[0]) else "not a released size"
    says = (
        f"{config.stride} frames of {in_width} to {config.hidden_width} to {second[0]}, for "
        f"{LLM_NAMES.get(second[0], 'an LLM of that width')} ({known})"
    )
    return config, second[0], Piece("adapter", str(path), says, count, compare(wanted, tensors))


def lora_piece(
    config: LoraConfig, tensors: Mapping[str, Tensor], path: Path, llm: Any = None
) -> Piece:
    """LoRA beside what an LLM (its skeleton on `meta`) needs, or beside itself without one."""
    shapes = shapes_of(tensors)
    wanted = _evened(shapes) if llm is None else _lora_shapes(llm, config)
    layers = {number for name in shapes for number in _LAYER.findall(name)}
    says = (
        f"rank {config.rank}, alpha {config.alpha:g}, {len(config.targets)} targets "
        f"({', '.join(config.targets)}), {len(layers)} layers"
    )
    return Piece("LoRA", str(path), says, num_parameters(shapes), compare(wanted, tensors))


def skeleton(folder: Path) -> Any:
    """The LLM of a folder or GGUF file on the `meta` device: its shapes, no weights."""
    import transformers

    try:
        place, gguf = (folder.parent, folder.name) if folder.is_file() else (folder, None)
        config = transformers.AutoConfig.from_pretrained(
            place, gguf_file=gguf, local_files_only=True, trust_remote_code=False
        )
        auto: Any = transformers.AutoModelForCausalLM
        with torch.device("meta"):
            return auto.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"the LLM {folder} is not understood ({first_line(error)})") from None


def num_parameters(shapes: Shapes) -> int:
    """Numbers in all tensors."""
    return sum(prod(shape) for shape in shapes.values())


@dataclass(frozen=True)
class States:
    """The parts of a whole model's state, as MooER, SLAM-LLM and FireRedASR-LLM name them."""

    encoder: Tensors
    adapter: Tensors
    lora: Tensors  # under peft's names
    llm: Tensors  # weights of the LLM itself
    others: tuple[str, ...]


def split(tensors: Mapping[str, Tensor]) -> States:
    """`encoder.`, `encoder_projector.` and `llm.` apart; LoRA as peft would save it."""
    encoder: Tensors = {}
    adapter: Tensors = {}
    lora: Tensors = {}
    llm: Tensors = {}
    others = []
    for name, tensor in tensors.items():
        if name.startswith(ADAPTER_PREFIX):
            adapter[name] = tensor
        elif name.startswith("encoder."):
            encoder[name.removeprefix("encoder.")] = tensor
        elif name.startswith("llm.") and ".lora_" in name:
            lora[name.removeprefix("llm.").replace(".default.weight", ".weight")] = tensor
        elif name.startswith("llm."):
            llm[name.removeprefix("llm.")] = tensor
        else:
            others.append(name)
    return States(encoder, adapter, lora, llm, tuple(others))


def _bare(shapes: Shapes, end: str) -> Shapes:
    """Shapes without what stands before the first name of that end: sizes do not depend on it."""
    prefix = next((name[: -len(end)] for name in shapes if name.endswith(end)), "")
    return {name.removeprefix(prefix): shape for name, shape in shapes.items()}


def _sanm_config(shapes: Shapes) -> SanmConfig:
    """Sizes from the shapes; the released ones where a tensor that would tell is not there."""
    default = SanmConfig()
    block = "encoders0.0."
    (in_width,) = shapes.get(block + "norm1.weight", (default.num_mels * _STACK,))
    (width,) = shapes.get("after_norm.weight", (default.width,))
    ffn_width = shapes.get(block + "feed_forward.w_1.weight", (default.ffn_width,))[0]
    kernel = shapes.get(block + "self_attn.fsmn_block.weight", (default.kernel,))[-1]
    numbers = [int(n.split(".")[1]) for n in shapes if re.match(r"encoders\.\d+\.", n)]
    if in_width % _STACK or in_width % 2 or width % default.num_heads or kernel % 2 == 0:
        raise ModelError(
            f"no SAN-M encoder has features of width {in_width}, hidden width {width} and a "
            f"kernel of {kernel}"
        )
    return SanmConfig(
        num_mels=in_width // _STACK,
        width=width,
        ffn_width=ffn_width,
        kernel=kernel,
        num_blocks=2 + max(numbers) if numbers else default.num_blocks,
    )


def _lora_shapes(llm: Any, config: LoraConfig) -> Shapes:
    import peft

    with torch.device("meta"):
        model = add_lora(llm, config)
    return shapes_of(peft.get_peft_model_state_dict(model))


def _evened(shapes: Shapes) -> Shapes:
    """What every layer would hold if all were alike: names of all layers, the commonest shapes."""
    layers = sorted({int(m[0]) for name in shapes for m in [_LAYER.search(name)] if m})
    kinds: dict[str, Counter[tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        kinds.setdefault(_LAYER.sub("*", name, count=1), Counter())[shape] += 1
    wanted: Shapes = {}
    for kind, counts in kinds.items():
        names = [kind.replace("*", str(i), 1) for i in range(layers[-1] + 1)] if layers else [kind]
        wanted.update(dict.fromkeys(names, counts.most_common(1)[0][0]))
        for letter, other in (("A", "B"), ("B", "A")):
            partner = kind.replace(f".lora_{letter}.", f".lora_{other}.")
            if partner != kind and partner not in kinds:  # half of a product is missing
                wanted.update(
                    dict.fromkeys(
                        (n.replace(f".lora_{letter}.", f".lora_{other}.") for n in names), ()
                    )
                )
    return wanted
