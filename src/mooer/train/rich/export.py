"""The heads of a run, in folders: what a training goes on from, and what runs without torch.

rich.yaml                sizes and names of classes
units.txt                of the speller
heads.safetensors        float32, as they were trained
speller.safetensors      float16, the table of units merged; `mooer.engines.rich` reads these
labeller.safetensors     float16
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from mooer.config import write_yaml
from mooer.files import write_whole
from mooer.models.load import write_tensors
from mooer.models.rich import RichModel, Speller
from mooer.text.units import units_text
from mooer.train import checkpoint, state
from mooer.train.parameters import freeze, names_of, select
from mooer.train.products import aside, products
from mooer.train.rich.build import HEADS, heads_of, network
from mooer.train.rich.losses import RichGoal
from mooer.train.rich.recipe import RichRecipe

CONFIG, UNITS = "rich.yaml", "units.txt"


def export(recipe: RichRecipe, out: Path) -> list[Path]:
    """Write the models of the checkpoints in `out`: last, best, average; returns their folders."""
    wanted = products(out, recipe.checkpoints.average)
    return [_write(recipe, out / name, tensors) for name, tensors in wanted.items()]


def _write(recipe: RichRecipe, target: Path, tensors: dict[str, Tensor]) -> Path:
    model = network(recipe)
    goal = RichGoal(model)
    freeze(goal, select(names_of(goal), [p for stage in recipe.stages for p in stage.train]))
    state.load_parameters(goal, tensors)
    with aside(target) as partial:
        save(model, partial)
    return target


def save(model: RichModel, folder: Path) -> None:
    """Write a model's heads into a folder that is there."""
    config, parts = model.config, heads_of(model)
    if config.speller is not None:
        assert model.units is not None
        config = replace(config, speller=replace(config.speller, units=UNITS))
        write_whole(folder / UNITS, units_text(model.units).encode())
    write_yaml(config, folder / CONFIG)
    everything = {
        f"{name}.{key}": tensor
        for name, part in parts.items()
        for key, tensor in part.state_dict().items()
    }
    checkpoint.write_tensors(folder / HEADS, everything)
    for name, part in parts.items():
        tensors = merged(part) if isinstance(part, Speller) else part.state_dict()
        path = folder / f"{name}.safetensors"
        write_tensors(tensors, path, half=True)


def merged(speller: Speller) -> dict[str, Tensor]:
    """Its tensors, with the table of units as one linear layer."""
    tensors = {n: t for n, t in speller.state_dict().items() if not n.startswith("table.")}
    weight, bias = speller.table.merged()
    return {**tensors, "table.weight": weight.detach(), "table.bias": bias.detach()}
