"""The network of a folder that FunASR has released: on onnxruntime, or on torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeVar

from mooer.engines.llm import usable_cores
from mooer.errors import ConfigError, MissingExtra
from mooer.infer.one_pass import OnePassOptions
from mooer.infer.torch_device import tell_processor, torch_device
from mooer.models.funasr_folder import Precision, network_file

N = TypeVar("N")


@dataclass(frozen=True)
class ReleasedOptions(OnePassOptions):
    """Where the network is run."""

    engine: Literal["auto", "onnx", "torch"] = "auto"  # auto: onnx if a file for it is there
    precision: Precision = "auto"  # of two such files; auto: int8 if it is there


def open_network(
    folder: Path,
    options: ReleasedOptions,
    device: str,
    num_threads: int | None,
    *,
    on_onnx: Callable[[Path, int], N],
    on_torch: Callable[[Path, str], N],
) -> tuple[N, dict[str, str]]:
    """The network, and the versions of what runs it.

    On onnxruntime if the folder holds a file for it, else on torch, on the GPU if there is one or
    as `device` says. ConfigError where the options ask for what is not there, MissingExtra without
    torch, ModelError lists what is missing or does not fit.
    """
    versions = {"mooer": version("mooer")}
    path = None if options.engine == "torch" else network_file(folder, options.precision)
    if path is not None:
        tell_processor(device, folder.resolve().name)
        network = on_onnx(path, num_threads or usable_cores())
        return network, versions | {"onnxruntime": version("onnxruntime")}
    if options.engine == "onnx":
        raise ConfigError(
            f"{folder} holds no network for onnxruntime: write one by `mooer models export "
            f"{folder} --to onnx --out DIR`"
        )
    try:
        import torch

        if num_threads:
            torch.set_num_threads(num_threads)
        network = on_torch(folder, torch_device(device))
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    return network, versions | {"torch": version("torch")}
