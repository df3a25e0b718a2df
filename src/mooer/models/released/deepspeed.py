"""Checkpoint folders of DeepSpeed, and what its `zero_to_fp32.py` makes of them.

checkpoint/
  latest                                   the name of the folder that counts
  global_step1000/
    mp_rank_00_model_states.pt             ZeRO-0, 1, 2: all weights under `module`
    bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt …   read for ZeRO-3 alone
    zero_pp_rank_0_mp_rank_00_model_states.pt …        ZeRO-3: shards of both kinds, see zero3
  zero_to_fp32.py
"""

from __future__ import annotations

import re
from pathlib import Path

from mooer.errors import ModelError
from mooer.models.released.zero3 import is_zero3, num_processes, read_zero3
from mooer.models.tensors import Tensors, only_tensors, read_pickle, read_tensors

_STATES = "*mp_rank_*_model_states.pt"
_RANK = re.compile(r"mp_rank_(\d+)_model_states\.pt")
_MERGED = ("pytorch_model.bin", "model.safetensors")


def is_deepspeed(folder: Path) -> bool:
    """Whether DeepSpeed has written this folder, or it is what zero_to_fp32.py has made of one."""
    return bool(_steps(folder)) or _merged(folder) is not None


def read_deepspeed(folder: Path) -> tuple[Path, Tensors]:
    """The file that counts, and the weights in it, on disk until they are used.

    Of ZeRO-3 it is the folder of the step, and its shards are put together in memory; weights of
    the LLM itself that were frozen are shapes alone. ModelError for tensor-parallel shards.
    """
    merged = _merged(folder)
    if merged is not None:
        return merged, read_tensors(merged)
    step = _latest(folder)
    if is_zero3(step):
        return step, read_zero3(step, lambda name: name.startswith("llm.") and ".lora_" not in name)
    files = [f for f in sorted(step.glob(_STATES)) if _RANK.fullmatch(f.name)]
    if len(files) != 1:
        raise ModelError(
            f"{step} holds {len(files)} files of model states: one is read, of a model that was "
            f"not cut into tensor-parallel ranks"
        )
    states = read_pickle(files[0])
    if not isinstance(states, dict) or not states.get("module"):
        raise ModelError(f"{files[0]} has no weights under `module`: take another step")
    return files[0], only_tensors(states["module"], files[0])


def describe(folder: Path) -> str:
    """What kind of DeepSpeed's folder it is, in words."""
    if _merged(folder) is not None:
        return "merged by zero_to_fp32.py"
    step = _latest(folder)
    if is_zero3(step):
        return f"{step.name}, ZeRO-3 in shards of {num_processes(step)} processes"
    return f"{step.name}, ZeRO-0, 1 or 2"


def _merged(folder: Path) -> Path | None:
    """A state of a whole model in one file, beside which there is no config.json of an LLM."""
    if not folder.is_dir() or (folder / "config.json").exists():
        return None
    return next((folder / name for name in _MERGED if (folder / name).is_file()), None)


def _steps(folder: Path) -> list[Path]:
    """Folders of steps with model states in them, the folder itself perhaps."""
    if not folder.is_dir():
        return []
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return [place for place in places if any(place.glob(_STATES))]


def _latest(folder: Path) -> Path:
    steps = _steps(folder)
    if folder in steps:
        return folder
    mark = folder / "latest"
    if mark.is_file():
        name = mark.read_text("utf-8").strip()
        for step in steps:
            if step.name == name:
                return step
        raise ModelError(f"{mark} names {name!r}, which is not there")
    if len(steps) > 1:
        names = ", ".join(step.name for step in steps)
        raise ModelError(f"{folder} holds several steps ({names}) and no `latest`: give one")
    return steps[0]
