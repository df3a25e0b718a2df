"""Whisper with language models in its search."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from mooer.decoding.weighed import Weighed
from mooer.engines.whisper import Decoded, DecodeOptions, Encoded, Whisper
from mooer.engines.whisper_search import WhisperSearch
from mooer.infer.fusion import Fusion


@functools.lru_cache(maxsize=2)
def search_of(engine: Whisper) -> WhisperSearch:
    """The search beside an engine, made once: its decoder takes a second to read, and 200 MB."""
    return WhisperSearch(engine)


class JoinedWhisper:
    """An engine whose beams a fusion weighs; from any thread."""

    def __init__(self, engine: Whisper, fusion: Fusion) -> None:
        self._search = search_of(engine)
        self._scorer = fusion.text_scorer(self._search.vocabulary)
        self._ilm_weight = fusion.options.ilm_weight

    def decode(
        self, chunks: Sequence[Encoded], language: str, options: DecodeOptions, max_tokens: int
    ) -> list[Decoded]:
        """The best text of each chunk."""
        return [each[0] for each in self.hypotheses(chunks, language, options, max_tokens)]

    def hypotheses(
        self, chunks: Sequence[Encoded], language: str, options: DecodeOptions, max_tokens: int
    ) -> list[list[Decoded]]:
        """The texts that ended, the best first; in their log-probabilities is nothing of the LM.

        They are compared by sums, not by means: of lengths the formula has a part of its own.
        """
        scorer, ends = self._scorer, (self._search.end,)
        return self._search.hypotheses(
            chunks,
            language,
            replace(options, length_penalty=0.0),
            max_tokens,
            adjust=None if scorer is None else Weighed(scorer, ends),
            ilm_weight=self._ilm_weight,
        )
