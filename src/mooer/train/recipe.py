"""What a recipe may say, and what it may not: refused in one sentence before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol

from mooer.audio.augment import SpecAugment, WaveAugment
from mooer.data.batching import Budget
from mooer.data.stages import Limits
from mooer.errors import ConfigError, did_you_mean
from mooer.models.adapter import ADAPTERS
from mooer.models.encoders import ENCODERS
from mooer.models.speech_llm import ModelConfig
from mooer.tasks.templates import tasks

Strategy = Literal["none", "ddp", "fsdp", "zero2", "zero3"]
_PARTS = ("encoder", "adapter", "llm", "lora", "ctc")


@dataclass(frozen=True)
class Source:
    """A manifest of the mix."""

    manifest: str
    weight: float = 1.0  # share of utterances, relative to the other sources
    task: str = "asr"


@dataclass(frozen=True)
class Augment:
    """What happens to recordings of the training set; by default nothing."""

    speeds: tuple[float, ...] = (1.0,)  # drawn evenly, such as [0.9, 1.0, 1.1]
    wave: WaveAugment | None = None
    noises: tuple[str, ...] = ()  # recordings for `wave` to add
    spec: SpecAugment | None = None


@dataclass(frozen=True)
class Tones:
    """Keypad tones spelling digits, and a language model with random weights: a toy to learn from.

    Made in `folder` if it is not there: train.jsonl, validation.jsonl and llm/.
    """

    folder: str
    num_train: int = 800
    num_validation: int = 40
    min_digits: int = 1
    max_digits: int = 4
    llm_width: int = 64
    llm_layers: int = 2
    seed: int = 0


@dataclass(frozen=True)
class DataPart:
    """What is learned from, and how it is put into batches."""

    train: tuple[Source, ...] = ()
    tones: Tones | None = None
    budget: Budget = field(default_factory=Budget)  # of a batch
    pool: int = 2000  # utterances sorted by length at a time
    limits: Limits = field(default_factory=Limits)
    augment: Augment = Augment()
    on_error: Literal["raise", "skip"] = "raise"  # when a recording cannot be read
    num_workers: int = 2  # that read sound ahead of the training; 0: none
    workers: Literal["thread", "process"] = "thread"


@dataclass(frozen=True)
class Schedule:
    """The learning rate over a stage."""

    name: Literal["constant", "linear", "cosine", "warmup_decay"] = "cosine"
    warmup_steps: int = 0
    final: float = 0.0  # share of the learning rate that is left at the end


@dataclass(frozen=True)
class Group:
    """Parameters with a learning rate or decay of their own; the first that matches counts."""

    pattern: str
    lr_scale: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True)
class Stage:
    """Steps during which the same parameters learn."""

    name: str
    train: tuple[str, ...]  # encoder, adapter, lora, llm, ctc, or patterns: llm.*.layers.3.*
    steps: int
    lr: float = 1e-4
    schedule: Schedule = Schedule()
    groups: tuple[Group, ...] = ()
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    accumulate: int = 1  # batches per step and process
    max_grad_norm: float | None = 1.0
    answer_weight: float = 1.0  # of the answers' loss; 0: the LLM is not asked, which is quicker
    ctc_weight: float = 0.0  # of CTC: by model.ctc over the adapter, else bytes over the encoder


@dataclass(frozen=True)
class ValidationSet:
    """Recordings that are scored during training."""

    name: str
    manifest: str
    task: str = "asr"
    metric: Literal["wer", "cer", "mer", "bleu", "labels"] = "wer"  # bleu: of the translation
    language: str | None = None  # of what is compared; null: that of the first utterance
    limit: int | None = None  # at most so many utterances
    decode: bool = True  # otherwise only the loss is taken
    by: Literal["llm", "ctc"] = "llm"  # who writes the text that is scored


@dataclass(frozen=True)
class Validation:
    """What is scored, how often and how it is decoded."""

    sets: tuple[ValidationSet, ...] = ()
    every_steps: int = 1000
    num_beams: int = 1
    max_new_tokens: int = 200


@dataclass(frozen=True)
class Checkpoints:
    """What is kept, and what is written at the end."""

    every_steps: int = 500
    keep: int = 3  # the newest; the best one is kept besides
    # At the end, a model of the mean weights of so many checkpoints: the best, or the newest where
    # nothing is scored.
    average: int = 0
    merge_lora: bool = False  # at the end, write the LLM with LoRA merged into it


@dataclass(frozen=True)
class Parallel:
    """How the work is spread; `none` is one process, all others are started by torchrun."""

    strategy: Strategy = "none"
    device: Literal["auto", "cpu", "cuda", "mps", "musa", "npu", "xpu"] = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    activation_checkpointing: bool = False
    num_threads: int | None = None  # of torch on a CPU; null: as many as it likes

    @property
    def is_zero(self) -> bool:
        """Whether DeepSpeed spreads it."""
        return self.strategy in ("zero2", "zero3")


class AnyRecipe(Protocol):
    """What a run reads of a recipe, whatever kind of model it names."""

    @property
    def stages(self) -> tuple[Stage, ...]: ...  # noqa: D102 (as in `Recipe`)
    @property
    def validation(self) -> Validation: ...  # noqa: D102
    @property
    def checkpoints(self) -> Checkpoints: ...  # noqa: D102
    @property
    def parallel(self) -> Parallel: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def num_steps(self) -> int: ...  # noqa: D102
    @property
    def tensorboard(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True)
class Recipe:
    """A training run."""

    model: ModelConfig
    stages: tuple[Stage, ...]
    start: str | None = None  # a model written by `mooer train`, whose weights are gone on from
    made_by: str = ""  # what makes the files that it reads: told where one is missing
    data: DataPart = DataPart()
    validation: Validation = Validation()
    checkpoints: Checkpoints = Checkpoints()
    parallel: Parallel = Parallel()
    seed: int = 0
    tensorboard: bool = False
    log_every_steps: int = 10

    def __post_init__(self) -> None:
        for check in (_check_model, _check_data, _check_stages, _check_validation, _check_parallel):
            check(self)

    @property
    def num_steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def check_files(self) -> None:
        """ConfigError if something that `made_by` makes is missing."""
        files = [one.manifest for one in self.data.train]
        files += [one.manifest for one in self.validation.sets]
        files += [self.start] if self.start else []
        missing = [file for file in files if not Path(file).exists()]
        if self.made_by and missing:
            raise ConfigError(f"{missing[0]} is missing: run {self.made_by}, which makes it")


def _refuse(sentences: dict[str, bool]) -> None:
    for sentence, is_wrong in sentences.items():
        if is_wrong:
            raise ConfigError(sentence)


def _check_model(recipe: Recipe) -> None:
    model = recipe.model
    for table, name in ((ENCODERS, model.encoder.name), (ADAPTERS, model.adapter.name)):
        table[name]  # names the nearest


def _check_data(recipe: Recipe) -> None:
    data = recipe.data
    _refuse(
        {
            "data.train lists no manifest: add one": not data.train,
            "data.limits.max_s must be more than data.limits.min_s": data.limits.max_s
            <= data.limits.min_s,
            "data.pool must be at least 1": data.pool < 1,
            "data.num_workers must be at least 0": data.num_workers < 0,
            "data.augment.noises are listed, but data.augment.wave is not set": bool(
                data.augment.noises
            )
            and data.augment.wave is None,
        }
    )
    for source in data.train:
        if not source.weight > 0:
            raise ConfigError(f"the weight of {source.manifest} must be above 0")
    known = tasks(recipe.model.template)
    for task in [*(s.task for s in data.train), *(s.task for s in recipe.validation.sets)]:
        if task not in known:
            raise ConfigError(
                f"the template {recipe.model.template} has no task {task!r}: "
                + did_you_mean(task, known)
            )


def _check_stages(recipe: Recipe) -> None:
    if not recipe.stages:
        raise ConfigError("stages is empty: write at least one")
    names = [stage.name for stage in recipe.stages]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two stages are named {name!r}: give each its own name")
    for stage in recipe.stages:
        _check_stage(recipe, stage)


def _check_stage(recipe: Recipe, stage: Stage) -> None:
    where = f"stage {stage.name!r}"
    ctc = any(_part(p) == "ctc" for p in stage.train)
    lora = any("lora" in p for p in stage.train)
    _refuse(
        {
            f"{where} trains nothing: name parts or patterns in train": not stage.train,
            f"{where} has {stage.steps} steps: write at least 1, or leave it out": stage.steps < 1,
            f"{where} has lr {stage.lr}: it must be above 0": not stage.lr > 0,
            f"{where} has accumulate {stage.accumulate}: write at least 1": stage.accumulate < 1,
            f"{where} warms up for {stage.schedule.warmup_steps} of its {stage.steps} steps": (
                not 0 <= stage.schedule.warmup_steps <= stage.steps
            ),
            f"{where} trains LoRA, but model.llm.lora is not set: add its rank": lora
            and recipe.model.llm.lora is None,
            f"{where} trains the CTC head, but its ctc_weight is 0": ctc and stage.ctc_weight == 0,
            f"{where} has a negative weight": min(stage.ctc_weight, stage.answer_weight) < 0,
            f"{where} learns from nothing: set answer_weight or ctc_weight": not (
                stage.answer_weight or stage.ctc_weight
            ),
            f"{where} trains LoRA or the LLM with answer_weight 0, which does not ask it": (
                stage.answer_weight == 0 and any(_part(p) in ("llm", "lora") for p in stage.train)
            ),
            f"{where} has ctc_weight {stage.ctc_weight}: add ctc to its train": not ctc
            and stage.ctc_weight > 0
            and recipe.model.ctc is None,
            f"{where} trains all of the LLM and has LoRA in it: choose one": recipe.model.llm.lora
            is not None
            and "llm" in stage.train,
        }
    )
    for pattern in chain(stage.train, (group.pattern for group in stage.groups)):
        if _part(pattern) not in _PARTS:
            raise ConfigError(
                f"{where}: {pattern!r} matches no part of the model: "
                + did_you_mean(_part(pattern), _PARTS)
            )


def _part(pattern: str) -> str:
    return pattern.partition(".")[0]


def _check_validation(recipe: Recipe) -> None:
    validation, checkpoints = recipe.validation, recipe.checkpoints
    names = [one.name for one in validation.sets]
    _refuse(
        {
            "two validation sets have one name": len(set(names)) < len(names),
            "validation.every_steps must be at least 1": validation.every_steps < 1,
            "validation.num_beams must be at least 1": validation.num_beams < 1,
            "metric labels is of a recipe of kind rich": any(
                one.metric == "labels" for one in validation.sets
            ),
            "a validation set is written by ctc, but model.ctc is not set": recipe.model.ctc is None
            and any(one.by == "ctc" for one in validation.sets),
            "checkpoints.every_steps must be at least 1": checkpoints.every_steps < 1,
            "checkpoints.keep must be at least 1": checkpoints.keep < 1,
            "checkpoints.average must be at least 0": checkpoints.average < 0,
            "checkpoints.merge_lora is set, but model.llm.lora is not": checkpoints.merge_lora
            and recipe.model.llm.lora is None,
            "log_every_steps must be at least 1": recipe.log_every_steps < 1,
        }
    )


def _check_parallel(recipe: Recipe) -> None:
    parallel = recipe.parallel
    if parallel.num_threads is not None and parallel.num_threads < 1:
        raise ConfigError("parallel.num_threads must be at least 1")
    decoded = any(one.decode for one in recipe.validation.sets)
    if parallel.strategy == "zero3" and decoded:
        raise ConfigError(
            "parallel.strategy zero3 cannot decode while it trains: set decode to false in each "
            "of validation.sets, which leaves their loss"
        )


_FIXED = ("model", "start", "data", "stages", "seed")


def differences(begun: Any, now: Any) -> list[str]:
    """Sections that differ so that a run that was begun cannot go on as it would have."""
    return [name for name in _FIXED if getattr(begun, name) != getattr(now, name)]
