"""What a recipe of `kind: sense_voice` may say: SenseVoice, gone on from its released folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mooer.errors import ConfigError, did_you_mean
from mooer.train.recipe import Checkpoints, DataPart, Parallel, Stage, Validation

_PARTS = ("*", "encoder", "embed", "ctc")


@dataclass(frozen=True)
class SenseVoiceModel:
    """Where it is, and how it is taught."""

    folder: str  # SenseVoiceSmall as released, or as such a run has written it
    dropout: float = 0.1
    label_smoothing: float = 0.0  # share of a label's probability that is spread over all classes
    untold_language: float = 0.2  # share of recordings whose language is not told, but asked


@dataclass(frozen=True)
class SenseVoiceRecipe:
    """A training run.

    Of a stage, `answer_weight` is that of the labels (per label), `ctc_weight` that of CTC (per
    piece of text).
    """

    kind: Literal["sense_voice"]
    model: SenseVoiceModel
    stages: tuple[Stage, ...]
    start: str | None = None  # as `model.folder`, which is enough
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
            _check_stage(stage)

    @property
    def num_steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def _faults(self) -> dict[str, bool]:
        names = [stage.name for stage in self.stages]
        model = self.model
        return {
            "stages is empty: write at least one": not names,
            "two stages have one name": len(set(names)) < len(names),
            "start is for speech LLMs: name the model by model.folder": self.start is not None,
            "data.train lists no manifest: add one": not self.data.train,
            "data.tones is for speech LLMs": self.data.tones is not None,
            "metric bleu is for speech LLMs": any(
                one.metric == "bleu" for one in self.validation.sets
            ),
            "model.dropout must be 0 or more, and below 1": not 0 <= model.dropout < 1,
            "model.label_smoothing must be 0 or more, and below 1": (
                not 0 <= model.label_smoothing < 1
            ),
            "model.untold_language is a share, 0 to 1": not 0 <= model.untold_language <= 1,
            "parallel.strategy must be none or ddp for SenseVoice": (
                self.parallel.strategy not in ("none", "ddp")
            ),
            "checkpoints.merge_lora is for speech LLMs": self.checkpoints.merge_lora,
        }


def _check_stage(stage: Stage) -> None:
    where = f"stage {stage.name!r}"
    faults = {
        f"{where} trains nothing: name encoder, embed or ctc in train": not stage.train,
        f"{where} has {stage.steps} steps: write at least 1": stage.steps < 1,
        f"{where} has lr {stage.lr}: it must be above 0": not stage.lr > 0,
        f"{where} has accumulate {stage.accumulate}: write at least 1": stage.accumulate < 1,
        f"{where} learns from nothing: set answer_weight or ctc_weight": not (
            stage.answer_weight or stage.ctc_weight
        ),
    }
    for sentence, is_wrong in faults.items():
        if is_wrong:
            raise ConfigError(sentence)
    for pattern in stage.train:
        part = pattern.partition(".")[0]
        if part not in _PARTS:
            raise ConfigError(
                f"{where}: {pattern!r} matches no part of SenseVoice: " + did_you_mean(part, _PARTS)
            )
