"""What is told of a recording besides its words, and the sizes of the heads that tell it.

Emotions and the first eight events are SenseVoice's (An et al. 2024, "FunAudioLLM"), age groups
those of OSUM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mooer.errors import ConfigError

EMOTIONS = ("happy", "sad", "angry", "neutral", "fearful", "disgusted", "surprised", "unknown")
EVENTS = ("music", "speech", "applause", "laughter", "cry", "sneeze", "breath", "cough")
GENDERS = ("female", "male")
AGES = ("child", "adult", "old")
HEADS = ("language", "emotion", "gender", "age")  # one answer a recording; events are several


@dataclass(frozen=True)
class SpellerConfig:
    """Convolutions over frames and a linear layer to units: CTC."""

    units: str = "units.txt"  # a path; in the folder of a saved model its own
    stack: int = 2  # frames side by side, at whose rate the blocks compute
    width: int = 384
    num_blocks: int = 5
    kernel: int = 9  # stacked frames that a block sees
    ffn_width: int = 768
    embedding_width: int = 256
    dropout: float = 0.1
    unseen_bias: float = -4.0  # of units that no text of the training held
    blank_discount: float = 2.0  # taken from the log-probability of the blank while it learns

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0 or self.stack < 1:
            raise ConfigError(f"kernel must be odd and stack at least 1, got {self}")


@dataclass(frozen=True)
class LabellerConfig:
    """Attentive pooling and two layers for each of `classes`, frame scores for events."""

    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of some of HEADS
    events: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)  # of the losses; 1 where none is given
    width: int = 128
    hidden_width: int = 64
    dropout: float = 0.3
    smoothing: float = 0.1  # of labels

    def __post_init__(self) -> None:
        _check_classes(self.classes)
        for name in self.weights:
            if name not in self.classes and name != "events":
                raise ConfigError(f"a weight is given to {name!r}, which is no head")


@dataclass(frozen=True)
class RegressionConfig:
    """Logistic regressions on the mean of the frames of several layers, side by side."""

    layers: tuple[int, ...] = (1, 2, 3, 4)  # of the encoder, each under its last norm
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of some of HEADS
    events: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_classes(self.classes)
        if not self.layers or min(self.layers) < 1:
            raise ConfigError(f"layers are numbers from 1 on, got {self.layers}")


def _check_classes(classes: Mapping[str, Sequence[str]]) -> None:
    for name, labels in classes.items():
        if name not in HEADS:
            raise ConfigError(f"unknown head {name!r}: there are {', '.join(HEADS)}")
        if len(set(labels)) < max(2, len(labels)):
            raise ConfigError(f"the head {name} needs two classes or more, each once")


@dataclass(frozen=True)
class RichConfig:
    """Heads on a frozen encoder; `rich.yaml` in the folder of a saved model."""

    encoder: str = "store:whisper-base"
    layers: int = 6  # of the encoder beneath the heads
    speller: SpellerConfig | None = None
    labeller: LabellerConfig | None = None
    regression: RegressionConfig | None = None  # a labeller that is fitted, not trained

    def __post_init__(self) -> None:
        if self.speller is None and self.labeller is None and self.regression is None:
            raise ConfigError("a rich model needs a speller or a labeller")
        if self.labeller is not None and self.regression is not None:
            raise ConfigError("labeller and regression tell the same: leave one out")
