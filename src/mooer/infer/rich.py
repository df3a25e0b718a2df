"""rich-mini as the enricher of any recogniser: emotion, events, gender, age, sure of language."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.engines.device import AUTO
from mooer.engines.rich import MAX_S, Labels, Rich
from mooer.store import located
from mooer.transcript import Event, Segment

Samples = NDArray[np.float32]

MIN_S = 0.3  # of speech that labels can be told from
MIN_LANGUAGE_S = 2.0
_SPEECH = "speech"  # the event that every segment with a text is


class Teller(Protocol):
    """Who tells labels and events: `mooer.engines.rich.Rich`."""

    def tell(self, samples: Samples) -> tuple[Labels, tuple[Event, ...]]:
        """Of samples [T] at 16 kHz, up to 30 s."""
        ...


def load_rich(
    model: str = "store:rich-mini",
    encoder: str = "store:whisper-base",
    *,
    device: str = AUTO,
    num_threads: int = 0,
) -> Rich:
    """Heads and the encoder beneath them: folders, or names of the catalog. ModelError, StoreError.

    `num_threads` 0 is what CTranslate2 likes best; `device` is where the encoder runs.
    """
    return Rich(located(model), located(encoder), device=device, num_threads=num_threads)


@dataclass(frozen=True)
class RichEnricher:
    """A teller as an `Enricher`."""

    teller: Teller

    def enrich(self, samples: Samples, segment: Segment) -> Segment:
        """The segment with labels and events, by its sound [T] at 16 kHz.

        Under 0.3 s it gets none. Of more than 30 s, labels are those of the first 30, events those
        of all of it.
        """
        if len(samples) < MIN_S * SAMPLE_RATE_HZ:
            return replace(segment, events=())
        labels, events = _tell(samples, segment.start_s, self.teller)
        probability = segment.language_probability
        same = labels.language is not None and labels.language.name == segment.language
        if probability is None and same and len(samples) >= MIN_LANGUAGE_S * SAMPLE_RATE_HZ:
            assert labels.language is not None
            probability = labels.language.probability
        return replace(
            segment,
            emotion=labels.emotion,
            gender=labels.gender,
            age=labels.age,
            events=tuple(event for event in events if event.name != _SPEECH),
            language_probability=probability,
        )


def _tell(samples: Samples, start_s: float, teller: Teller) -> tuple[Labels, tuple[Event, ...]]:
    """Labels of the beginning, and all events, in the time of the input."""
    size = round(MAX_S * SAMPLE_RATE_HZ)
    found: Labels | None = None
    events: list[Event] = []
    for begin in range(0, len(samples), size):
        part = samples[begin : begin + size]
        if begin and len(part) < MIN_S * SAMPLE_RATE_HZ:
            break
        labels, heard = teller.tell(part)
        found = found or labels
        shift_s = start_s + begin / SAMPLE_RATE_HZ
        for event in heard:
            start, end = (round(t + shift_s, 3) for t in (event.start_s, event.end_s))
            events.append(replace(event, start_s=start, end_s=end))
    return found or Labels(), tuple(events)
