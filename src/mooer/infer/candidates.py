"""N-best lists of whole utterances by any recogniser that has one, to tune a fusion on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.data.manifest import Item
from mooer.decoding.fusion import ILM, FusionOptions
from mooer.decoding.lm.text_lm import TextLM
from mooer.decoding.nbest import Candidate, NBest
from mooer.decoding.tuning import Grid
from mooer.engines.whisper import MAX_WINDOW_S
from mooer.errors import ConfigError
from mooer.infer.answering import language_of
from mooer.infer.ctc_recognizer import CtcRecognizer
from mooer.infer.domain import compose
from mooer.infer.drafted import DraftedRecognizer
from mooer.infer.fusion import Fusion
from mooer.infer.guarded import GuardedDecoder, RecognizeOptions, detect_language
from mooer.infer.longform import Chunk, Samples
from mooer.infer.recognizer import Recognizer
from mooer.infer.run import Listener
from mooer.infer.sense_voice import SenseVoiceRecognizer
from mooer.infer.sense_voice_ctc import SenseVoiceCtc

logger = logging.getLogger(__name__)

NUM_TUNED = 32  # candidates of an utterance: of a CTC search; Whisper gives as many as its beams
WHISPER_BEAMS = 16
_MOST_BONUS = 5.0  # of β/λ in a graph: with more, it would say short words all the time
_GRAPHS = ((1.0, 3.0), (1.0, _MOST_BONUS))  # λ and β; `CtcSearch.nbest` tries others of one β/λ
_PRIORS = (0.0, 0.4)  # λ_I
_GRAPH_GRID = Grid(
    lm_weight=(0.5, 0.75, 1.0, 1.25, 1.5),
    ilm_weight=(0.0, 0.1, 0.2, 0.3, 0.4),
    length_bonus=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
    max_bonus=_MOST_BONUS,
)


def candidates(
    recognizer: Listener,
    samples: Samples,
    *,
    language: str | None = None,
    ilm: bool = False,
    prior: NDArray[np.float32] | None = None,
    fusions: Sequence[Fusion] = (),
) -> list[Candidate]:
    """What a recogniser makes of samples [T] of up to 30 s, the best by sound first.

    The search is asked once without and once with each of the `fusions`, and what they find is
    put together: of a long utterance the best by sound alone differ in a word or two. Graphs are
    asked alone: their candidates are scored by one path, and that of the model itself is beside
    them.

    With `ilm` each has the score of Whisper's internal LM, with `prior`, the mean posterior [V] of
    a CTC model, that of this model's. ConfigError for a recogniser without n-best lists.
    """
    if isinstance(recognizer, DraftedRecognizer):
        recognizer = recognizer.first
    if isinstance(recognizer, Recognizer):
        return _of_whisper(recognizer, samples, language, ilm, fusions)
    if isinstance(recognizer, CtcRecognizer | SenseVoiceRecognizer):
        if isinstance(recognizer, CtcRecognizer):
            log_probs = recognizer.model.log_probs(samples)
        else:
            log_probs = SenseVoiceCtc(recognizer, language).log_probs(samples)
        found: dict[str, Candidate] = {}
        by_graph = any(fusion.graph is not None for fusion in fusions)
        first = recognizer.search(RecognizeOptions(language=language))
        if by_graph:
            listed = [first.first(log_probs, prior)]
        else:
            listed = first.nbest(log_probs, NUM_TUNED, prior)
        for fusion in fusions:
            options = RecognizeOptions(language=language, fusion=fusion)
            listed += recognizer.search(options).nbest(log_probs, NUM_TUNED, prior)
        for one in listed:
            if one.text not in found or one.logprob > found[one.text].logprob:
                found[one.text] = one
        return sorted(found.values(), key=lambda one: -one.logprob)
    raise ConfigError(f"{recognizer.name} gives no n-best lists: take Whisper or a CTC model")


def fusions_for_tuning(recognizer: Listener, lm: TextLM[Any]) -> tuple[Fusion, ...]:
    """Searches with an LM that find what one without it does not, at weights a recogniser bears."""
    is_ctc = isinstance(recognizer, CtcRecognizer | SenseVoiceRecognizer)
    weights = ((0.5, 3.0), (1.0, 5.0)) if is_ctc else ((0.3, 1.0),)
    return tuple(
        Fusion(FusionOptions(lm_weight=share, length_bonus=bonus), lm) for share, bonus in weights
    )


def graphs_for_tuning(
    recognizer: CtcRecognizer, lm: Path, prior: NDArray[np.float32]
) -> tuple[Fusion, ...]:
    """The same through graphs of an LM's file, with and without the prior; errors as `compose`."""
    found = []
    for share, bonus in _GRAPHS:
        options = FusionOptions("wfst", share, length_bonus=bonus)
        graph = compose(lm, recognizer, options)[0]
        found += [
            Fusion(replace(options, ilm_weight=weight), prior=prior, graph=graph)
            for weight in _PRIORS
        ]
    return tuple(found)


def grid_for(recognizer: Listener, method: str = "shallow") -> Grid:
    """What is tried: no more than `fusions_for_tuning` and `graphs_for_tuning` have searched with.

    Whisper, which knows much of language, is led astray by more, and drops words without a bonus.
    """
    if method == "wfst":
        return _GRAPH_GRID
    if isinstance(recognizer, CtcRecognizer | SenseVoiceRecognizer):
        return Grid()
    weights = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
    return Grid(weights, weights, weights, length_bonus=(0.25, 0.5, 0.75, 1.0, 1.5))


def nbest_of(
    recognizer: Listener,
    items: Iterable[Item],
    read: Callable[[Item], Samples],
    *,
    ilm: bool = False,
    prior: NDArray[np.float32] | None = None,
    fusions: Sequence[Fusion] = (),
) -> Iterator[NBest]:
    """The lists of a manifest's items, with their `text` as reference.

    Items of more than 30 s are left out, and said so: only what is heard at once has a list.
    """
    for item in items:
        samples = read(item)
        if len(samples) > MAX_WINDOW_S * SAMPLE_RATE_HZ:
            logger.warning("%s is longer than %.0f s: left out", item.id, MAX_WINDOW_S)
            continue
        text = item.fields.get("text")
        known = item.fields.get("language")
        language = known if isinstance(known, str) else None
        found = candidates(
            recognizer, samples, language=language, ilm=ilm, prior=prior, fusions=fusions
        )
        language = language or language_of(text or found[0].text)
        yield NBest(item.id, tuple(found), language, text if isinstance(text, str) else None)


def _of_whisper(
    recognizer: Recognizer,
    samples: Samples,
    language: str | None,
    ilm: bool,
    fusions: Sequence[Fusion],
) -> list[Candidate]:
    chunk = Chunk(np.asarray(samples, np.float32), ((0, len(samples)),), 1.0)
    engine = recognizer.engine
    language = language or detect_language(engine, [chunk])[0]
    options = RecognizeOptions(beam_size=WHISPER_BEAMS)
    decoder = GuardedDecoder(engine, options, engine.check_language(language))
    found, habits = decoder.nbest(chunk, WHISPER_BEAMS, fusions)
    scores = habits() if ilm else [None] * len(found)
    return [
        Candidate.of(one.text, one.logprob, None if score is None else {ILM: score})
        for one, score in zip(found, scores, strict=True)
    ]
