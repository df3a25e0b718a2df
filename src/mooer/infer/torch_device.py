"""Where torch computes, by the words that CTranslate2's models are told it by."""

from __future__ import annotations

import logging

from mooer.engines.device import CPU, CUDA, check_device
from mooer.errors import ConfigError

logger = logging.getLogger(__name__)


def torch_device(device: str) -> str:
    """The word for torch: with "auto" the GPU if torch sees one. ConfigError for "cuda" if not."""
    import torch

    check_device(device)
    if device == CPU:
        return CPU
    if torch.cuda.is_available():
        return CUDA
    if device == CUDA:
        raise ConfigError(
            f"the device {CUDA} was asked for, but torch {torch.__version__} sees no GPU: take "
            f"{CPU}, or install a torch that is built with CUDA, and the GPU's driver"
        )
    return CPU


def tell_processor(device: str, name: str) -> None:
    """Warn who asked for the GPU that onnxruntime, here, runs on the processor alone."""
    check_device(device)
    if device == CUDA:
        logger.warning(
            "%s runs on the processor: its ONNX file is run there alone, its torch weights "
            "(engine=torch) on the GPU",
            name,
        )
