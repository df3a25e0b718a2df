"""Where CTranslate2 computes: on the processor, or on an NVIDIA GPU.

Its Linux wheels hold all of CUDA that they need but cuBLAS, which they open by its bare name when
something is multiplied first. NVIDIA packs that as a wheel too, whose folder no loader looks into:
opened from there before, it is found by its name.
"""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mooer.errors import ConfigError, MissingExtra, did_you_mean

logger = logging.getLogger(__name__)

AUTO, CPU, CUDA = DEVICES = ("auto", "cpu", "cuda")
_CUBLAS = "libcublas.so.12"  # of CUDA 12, which CTranslate2 is built with
_WHEEL, _EXTRA = "nvidia-cublas-cu12", "cuda"


@dataclass(frozen=True)
class Placement:
    """A device and how numbers are kept there, by CTranslate2's names."""

    device: str  # cpu or cuda
    compute_type: str


def place(device: str = AUTO, compute_type: str | None = None) -> Placement:
    """Where to compute, and with `compute_type`, or what suits the device.

    "auto" is the GPU where there is one with its libraries; the log tells what is amiss where one
    could be meant. ConfigError for another word, and for "cuda" where no GPU is seen; MissingExtra
    where cuBLAS is not found.
    """
    check_device(device)
    chosen = _usual() if device == AUTO else device
    if chosen == CPU:
        return Placement(CPU, compute_type or "int8")
    import ctranslate2

    if device == CUDA:
        _require_gpu(ctranslate2.get_cuda_device_count())
    known = ctranslate2.get_supported_compute_types(CUDA)  # GPUs before Volta have no float16
    return Placement(CUDA, compute_type or ("float16" if "float16" in known else "float32"))


def check_device(device: str) -> None:
    """ConfigError for a word that is none of `DEVICES`."""
    if device not in DEVICES:
        raise ConfigError(f"unknown device {device!r}: {did_you_mean(device, DEVICES)}")


@cache  # it is told once
def _usual() -> str:
    """The GPU if it can be used."""
    import ctranslate2

    if not ctranslate2.get_cuda_device_count():
        if _wheel_folder() is not None:
            logger.warning("no NVIDIA GPU is seen here: Whisper runs on the processor")
        return CPU
    try:
        _open_cublas()
    except OSError as error:
        logger.warning(
            "the GPU is not used, Whisper runs on the processor, since cuBLAS is missing (%s): "
            "pip install 'mooer[%s]'",
            error,
            _EXTRA,
        )
        return CPU
    return CUDA


def _require_gpu(num_gpus: int) -> None:
    if not num_gpus:
        raise ConfigError(
            f"the device {CUDA} was asked for, but no NVIDIA GPU with its driver is seen here: "
            f"take {CPU} (a GPU needs pip install 'mooer[{_EXTRA}]', and a container --gpus all)"
        )
    try:
        _open_cublas()
    except OSError as error:
        raise MissingExtra(_WHEEL, _EXTRA, f"take the device {CPU}") from error


def _open_cublas() -> None:
    """Have cuBLAS in this process: of the wheel if it is there, else the system's. OSError."""
    folder = _wheel_folder()
    ctypes.CDLL(_CUBLAS if folder is None else str(folder / _CUBLAS))


def _wheel_folder() -> Path | None:
    """Where NVIDIA's wheel has its libraries; None if it is not installed."""
    try:
        spec = find_spec("nvidia.cublas")
    except ModuleNotFoundError:  # nothing of NVIDIA's
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "lib" if places else None
