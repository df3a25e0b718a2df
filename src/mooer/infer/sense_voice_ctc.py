"""SenseVoice as what an aligner asks for: log-probabilities of units, and how a word is spelled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mooer.infer.ctc_search import log_softmax
from mooer.infer.sense_voice import SenseVoiceRecognizer, query_of
from mooer.models.sense_voice_labels import BLANK, FRAME_S, NUM_QUERIES, STYLE_QUERIES

_SPACE = "\u2581"


class SenseVoiceCtc:
    """A CTC model of Chinese, English, Cantonese, Japanese and Korean; it asks for plain words."""

    frame_s = FRAME_S
    blank = BLANK

    def __init__(self, recognizer: SenseVoiceRecognizer, language: str | None = None) -> None:
        self._recognizer = recognizer
        self._language = query_of(language)

    def log_probs(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Natural logarithms [F, V] of at most about 30 s of sound [T] at 16 kHz."""
        features = self._recognizer.frontend(samples)
        style = STYLE_QUERIES["woitn"]
        [logits] = self._recognizer.network.logits([features], self._language, style)
        return log_softmax(logits[NUM_QUERIES:])

    def spell(self, word: str) -> tuple[int, ...]:
        """Classes of a word or a character; () if the vocabulary lacks some of its letters."""
        vocabulary = self._recognizer.vocabulary
        ids = vocabulary.encode(word)
        if len(ids) > 1 and vocabulary.spelling.pieces[ids[0]].text == _SPACE:
            ids = ids[1:]  # a space is not heard
        return () if BLANK in ids else tuple(ids)
