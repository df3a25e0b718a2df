"""What a recipe of `kind: rich` may say: heads on a frozen encoder instead of a speech LLM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mooer.errors import ConfigError, did_you_mean
from mooer.tasks.rich import RichConfig
from mooer.train.recipe import Checkpoints, DataPart, Parallel, Stage, Validation

_PARTS = ("speller", "labeller")


@dataclass(frozen=True)
class RichRecipe:
    """A training run.

    Of a stage, `answer_weight` is that of labels, and of units frame by frame where the times of
    words are known; `ctc_weight` that of CTC.
    """

    kind: Literal["rich"]
    model: RichConfig
    stages: tuple[Stage, ...]
    start: str | None = None  # a model written by such a run, whose weights are gone on from
    data: DataPart = field(default_factory=DataPart)
    validation: Validation = field(default_factory=Validation)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    parallel: Parallel = field(default_factory=Parallel)
    seed: int = 0
    tensorboard: bool = False
    log_every_steps: int = 10

    def __post_init__(self) -> None:
        for sentence, is_wrong in self._faults().items():
            if is_wrong:
                raise ConfigError(sentence)
        for stage in self.stages:
            _check_stage(self, stage)

    @property
    def num_steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def _faults(self) -> dict[str, bool]:
        names = [stage.name for stage in self.stages]
        metrics = {one.metric for one in self.validation.sets}
        spelled = metrics - {"labels"}
        return {
            "stages is empty: write at least one": not names,
            "two stages have one name": len(set(names)) < len(names),
            "data.train lists no manifest: add one": not self.data.train,
            "data.tones is for speech LLMs": self.data.tones is not None,
            "data.augment.speeds and wave cannot change stored frames, which heads learn from: let "
            "`mooer data encode --variants` do it": self.data.augment.speeds != (1.0,)
            or self.data.augment.wave is not None,
            "metric bleu is for speech LLMs": "bleu" in metrics,
            "a validation set has an error rate of words, but model.speller is not set": bool(
                spelled
            )
            and self.model.speller is None,
            "a validation set is scored by labels, but model.labeller is not set": "labels"
            in metrics
            and self.model.labeller is None,
            "a run is for one rank: parallel.strategy must be none": self.parallel.strategy
            != "none",
            "checkpoints.merge_lora is for speech LLMs": self.checkpoints.merge_lora,
        }


def _check_stage(recipe: RichRecipe, stage: Stage) -> None:
    where = f"stage {stage.name!r}"
    faults = {
        f"{where} trains nothing: name speller or labeller in train": not stage.train,
        f"{where} has {stage.steps} steps: write at least 1": stage.steps < 1,
        f"{where} has lr {stage.lr}: it must be above 0": not stage.lr > 0,
        f"{where} has accumulate {stage.accumulate}: write at least 1": stage.accumulate < 1,
        f"{where} learns from nothing: set answer_weight or ctc_weight": not (
            stage.answer_weight or stage.ctc_weight
        ),
        f"{where} has ctc_weight {stage.ctc_weight}, but model.speller is not set": (
            stage.ctc_weight > 0 and recipe.model.speller is None
        ),
    }
    for sentence, is_wrong in faults.items():
        if is_wrong:
            raise ConfigError(sentence)
    for pattern in stage.train:
        part = pattern.partition(".")[0]
        if part not in _PARTS:
            raise ConfigError(
                f"{where}: {pattern!r} matches no part of the model: " + did_you_mean(part, _PARTS)
            )
        if getattr(recipe.model, part) is None:
            raise ConfigError(f"{where} trains the {part}, but model.{part} is not set")
