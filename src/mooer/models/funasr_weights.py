"""The weights in a folder of the FunASR project: read strictly into a network of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mooer.models.encoders.sanm import SanmConfig
from mooer.models.funasr_folder import FrontSettings, SanmSettings
from mooer.models.tensors import (
    Shapes,
    StrPath,
    Tensors,
    compare,
    only_tensors,
    read_pickle,
    shapes_of,
)

M = TypeVar("M", bound=nn.Module)

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training code puts weights in


def read_weights(path: StrPath) -> Tensors:
    """The tensors of a model.pt, also where training code has put them beside its own state."""
    content = read_pickle(Path(path))
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    return only_tensors(content, path)


def filled(model: M, tensors: Tensors, path: Path, what: str) -> M:
    """A network made on the meta device, with these weights. ModelError lists what does not fit."""
    compare(shapes_of(model.state_dict()), tensors).require(path, what)
    model.to_empty(device="cpu")
    model.load_state_dict(dict(tensors), strict=True)
    return model


def size_of(shapes: Shapes, name: str, axis: int, stated: int) -> int:
    """A width as the weights have it, or as it is stated where they do not tell."""
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) else stated


def sanm_config(
    front: FrontSettings,
    encoder: SanmSettings,
    shapes: Shapes,
    *,
    norm_eps: float,
    num_tp_blocks: int = 0,
) -> SanmConfig:
    """Widths as the weights have them; what shapes do not tell, as config.yaml says.

    So are blocks: weights that end early would be as consistent without it.
    """
    first = "encoder.encoders0.0."
    return SanmConfig(
        num_mels=front.num_mels,
        num_stack=front.num_stack,
        stride=front.stride,
        width=size_of(shapes, "encoder.after_norm.weight", 0, encoder.width),
        num_heads=encoder.num_heads,
        ffn_width=size_of(shapes, first + "feed_forward.w_1.weight", 0, encoder.ffn_width),
        num_blocks=encoder.num_blocks,
        num_tp_blocks=num_tp_blocks,
        kernel=size_of(shapes, first + "self_attn.fsmn_block.weight", 2, encoder.kernel),
        norm_eps=norm_eps,
    )


def side_by_side(
    features: Sequence[NDArray[np.float32]], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Utterances [F, M] as one batch [B, F, M] with zeros after the end, and their lengths [B]."""
    sounds = [torch.from_numpy(np.ascontiguousarray(one)) for one in features]
    padded = nn.utils.rnn.pad_sequence(sounds, batch_first=True).to(device)
    return padded, torch.tensor([len(one) for one in sounds], device=device)
