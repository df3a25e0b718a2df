"""Small heads on Whisper's encoder, without torch: who spells, and who tells labels and events.

    rich = Rich(fetch("rich-mini"), fetch("whisper-base"))
    rich.log_probs(samples)     # [F, V] every 20 ms, for alignment
    rich.labels(samples)        # language, emotion, gender, age
    rich.events(samples)        # with their times

A folder holds `speller/` and `labeller/`, each with a rich.yaml, weights in safetensors and the
names of its classes; either may be missing, and a folder may be one of them itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.config import read_yaml
from mooer.engines.device import CPU
from mooer.engines.rich_heads import Heard, LabellerHead, RegressionHead, SpellerHead
from mooer.engines.whisper_encoder import FRAME_MS, WhisperEncoder
from mooer.errors import ModelError
from mooer.tasks.rich import RichConfig
from mooer.text.units import BLANK, Units, read_units
from mooer.transcript import Event, Label

Floats = NDArray[np.float32]

CONFIG = "rich.yaml"
MAX_S = 30.0  # of sound at a time
MIN_S = 0.1  # of sound, or silence is added: less than a frame of the encoder's window
_SMOOTH_FRAMES = 15  # over which the scores of events are averaged: 0.3 s
_JOIN_S = 0.5  # a shorter pause within an event is none
_MIN_EVENT_S = 0.1  # what is shorter is none, unless there is no more to hear


@dataclass(frozen=True)
class Labels:
    """What one recording, or a part of one, was taken for; None: this model does not tell."""

    language: Label | None = None
    emotion: Label | None = None
    gender: Label | None = None
    age: Label | None = None


class Rich:
    """The heads of one folder; a `CtcModel` if it has a speller.

    ModelError if the folder holds neither part, or what is in it does not fit.
    """

    frame_s = FRAME_MS / 1000
    blank = BLANK
    change_cost = 4.0  # nats, for `decoding.ctc.steady`; frames are told one by one

    def __init__(
        self,
        folder: Path,
        encoder: Path,
        *,
        device: str = CPU,  # of the encoder; see `engines.device.place`, also of None
        compute_type: str | None = None,
        num_threads: int = 0,
    ) -> None:
        self._settings: dict[str, Any] = {
            "device": device,
            "compute_type": compute_type,
            "num_threads": num_threads,
        }
        self._encoder_folder = Path(encoder)
        self._encoders: dict[int, WhisperEncoder] = {}
        self.units: Units | None = None
        self._speller: SpellerHead | None = None
        self._labeller: LabellerHead | RegressionHead | None = None
        self._layers: dict[str, tuple[int, ...]] = {}
        parts = [p for p in (folder, folder / "speller", folder / "labeller") if _is_part(p)]
        for part in parts:
            self._read(part)
        if not self._layers:
            raise ModelError(
                f"{folder} is no rich model: it holds no {CONFIG}, nor do speller/ and labeller/ "
                "in it"
            )

    def _read(self, folder: Path) -> None:
        config = read_yaml(RichConfig, folder / CONFIG)
        if config.speller is not None:
            self.units = read_units(folder / config.speller.units)
            width = self._encoder(config.layers).width
            path = folder / "speller.safetensors"
            self._speller = SpellerHead(path, config.speller, width, len(self.units))
            self._layers["speller"] = (config.layers,)
        if config.labeller is not None:
            width = self._encoder(config.layers).width
            path = folder / "labeller.safetensors"
            self._labeller = LabellerHead(path, config.labeller, width)
            self._layers["labeller"] = (config.layers,)
        if (regression := config.regression) is not None:
            width = sum(self._encoder(layer).width for layer in regression.layers)
            self._labeller = RegressionHead(folder / "labeller.safetensors", regression, width)
            self._layers["labeller"] = regression.layers

    # --- spelling ---------------------------------------------------------------------------------

    def log_probs(self, samples: Floats) -> Floats:
        """Log-probabilities [F, V] of classes every `frame_s`, of up to 30 s of 16 kHz sound."""
        if self._speller is None:
            raise ModelError("this rich model has no speller: it tells labels alone")
        return self._speller(self._frames(samples, "speller"))

    def spell(self, word: str) -> tuple[int, ...]:
        """Classes of a word or a Chinese character; () if it cannot be spelled."""
        return () if self.units is None else self.units.spell(word)

    # --- labels -----------------------------------------------------------------------------------

    def labels(self, samples: Floats) -> Labels:
        """What samples [T] are taken for; of more than 30 s, the first 30."""
        return self.tell(samples)[0]

    def events(self, samples: Floats) -> tuple[Event, ...]:
        """Sounds in samples [T] of up to 30 s, by the time they begin."""
        return self.tell(samples)[1]

    def tell(self, samples: Floats, *, threshold: float = 0.5) -> tuple[Labels, tuple[Event, ...]]:
        """Both at the price of one; an event is where its probability is at least `threshold`."""
        heard = self.hear(samples)
        assert self._labeller is not None
        config = self._labeller.config
        found = {}
        for name, probabilities in heard.classes.items():
            place = int(probabilities.argmax())
            label = config.classes[name][place]
            found[name] = Label(label, round(float(probabilities[place]), 4))
        return Labels(**found), spans(heard.frames, config.events, self.frame_s, threshold)

    def hear(self, samples: Floats) -> Heard:
        """Probabilities of every class and event, as the heads give them."""
        if self._labeller is None:
            raise ModelError("this rich model has no labeller: it spells alone")
        return self._labeller(self._frames(samples[: round(MAX_S * SAMPLE_RATE_HZ)], "labeller"))

    def means(self, samples: Floats) -> Floats:
        """What its regressions read of samples [T]: the mean [D] of the frames of their layers."""
        found: Floats = self._frames(samples[: round(MAX_S * SAMPLE_RATE_HZ)], "labeller").mean(0)
        return found

    # --- the encoder ------------------------------------------------------------------------------

    def _frames(self, samples: Floats, part: str) -> Floats:
        encoders = [self._encoder(layer) for layer in self._layers[part]]
        missing = round(MIN_S * SAMPLE_RATE_HZ) - len(samples)
        heard = np.pad(samples, (0, missing)) if missing > 0 else samples
        features = encoders[0].frontend(np.asarray(heard, np.float32))
        return np.concatenate([one.encode([features])[0] for one in encoders], axis=1)

    def _encoder(self, layers: int) -> WhisperEncoder:
        if layers not in self._encoders:
            self._encoders[layers] = WhisperEncoder(
                self._encoder_folder, num_layers=layers, **self._settings
            )
        return self._encoders[layers]


def _is_part(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def spans(
    frames: Floats, names: Sequence[str], frame_s: float, threshold: float
) -> tuple[Event, ...]:
    """Events where the smoothed probabilities [F, E] are at least `threshold`, by their beginning.

    The probability of an event is the highest within it.
    """
    found: list[Event] = []
    if not len(frames):
        return ()
    for name, curve in zip(names, frames.T, strict=True):
        smooth = _smooth(curve)
        edges = np.flatnonzero(np.diff(np.pad(smooth >= threshold, 1).astype(np.int8)))
        stretches: list[tuple[int, int]] = []
        for begin, end in edges.reshape(-1, 2).tolist():
            if stretches and (begin - stretches[-1][1]) * frame_s < _JOIN_S:
                begin = stretches.pop()[0]  # noqa: PLW2901
            stretches.append((begin, end))
        for begin, end in stretches:
            if (end - begin) * frame_s < min(_MIN_EVENT_S, len(frames) * frame_s):
                continue
            highest = round(float(smooth[begin:end].max()), 4)
            found.append(Event(round(begin * frame_s, 3), round(end * frame_s, 3), name, highest))
    return tuple(sorted(found, key=lambda event: (event.start_s, event.name)))


def _smooth(curve: Floats) -> Floats:
    """The mean over 0.3 s around each frame, at the ends over what there is."""
    width = min(_SMOOTH_FRAMES, len(curve) - 1 + len(curve) % 2)
    kernel = np.ones(max(1, width), np.float32)
    total = np.convolve(curve, kernel, "same")
    counts = np.convolve(np.ones_like(curve), kernel, "same")
    smooth: Floats = (total / counts).astype(np.float32)
    return smooth
