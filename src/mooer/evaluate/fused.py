"""A model with a fusion, as something to evaluate."""

from __future__ import annotations

from typing import Any

from mooer.decoding.hotwords import Hotword
from mooer.infer import Model
from mooer.infer.fusion import Fusion
from mooer.transcript import Transcript


class Fused:
    """It transcribes one input after the other, each with the same language models."""

    def __init__(self, model: Model, fusion: Fusion, hotwords: tuple[Hotword, ...] = ()) -> None:
        self._model = model
        self._fusion = fusion
        self._hotwords = hotwords

    def transcribe(self, source: Any, *, language: str | None = None) -> Transcript:
        """See `benchmark.Model`."""
        return self._model.transcribe(
            source, language=language, fusion=self._fusion, hotwords=self._hotwords
        )
