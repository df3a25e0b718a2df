"""Whisper searched by ourselves: beams in which others have a say, a language model for one.

    search = WhisperSearch(whisper)
    search.decode(chunks, "en", DecodeOptions(), max_tokens=50, adjust=..., ilm_weight=0.2)

`adjust`, given the tokens so far, changes the scores [V] of the next one in place. `ilm_weight` is
how much is taken off of what the decoder expects without hearing anything. Tokens that are never
text are ruled out as in OpenAI's decoding (whisper/decoding.py), which CTranslate2 follows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mooer.engines.token_search import (
    MAX_BEAMS,
    BeamSearch,
    Generated,
    GenerateOptions,
    RowSearch,
    Step,
)
from mooer.engines.whisper import Decoded, DecodeOptions, Encoded, Whisper
from mooer.engines.whisper_decoder import DecoderState, WhisperDecoder
from mooer.errors import ConfigError, ModelError

Floats = NDArray[np.float32]
Adjust = Callable[[Sequence[int], Floats], None]

_LATEST_BEGIN = 50  # the first time token is at most 1 s
_NEVER = np.float32(-np.inf)


class WhisperSearch:
    """Beams of a Whisper, its decoder in numpy beside CTranslate2's. ModelError as its parts."""

    def __init__(self, whisper: Whisper) -> None:
        self._whisper = whisper
        self._decoder = WhisperDecoder(whisper.folder)
        self._ids = whisper.special_ids
        self._suppressed, self._suppressed_first = _suppressed(whisper.folder)

    @cached_property
    def vocabulary(self) -> list[bytes]:
        """What each token writes, where it is text."""
        texts = [b""] * self._decoder.num_tokens
        for token, index in self._whisper.vocabulary.items():
            if index < self.end:
                texts[index] = bytes(_BYTE_OF[character] for character in token)
        return texts

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return self._ids["endoftext"]

    def decode(
        self,
        chunks: Sequence[Encoded],
        language: str,
        options: DecodeOptions,
        max_tokens: int,
        *,
        adjust: Adjust | None = None,
        ilm_weight: float = 0.0,
    ) -> list[Decoded]:
        """As `Whisper.decode`, one chunk after the other. ConfigError if it is to draw."""
        found = self.hypotheses(
            chunks, language, options, max_tokens, adjust=adjust, ilm_weight=ilm_weight
        )
        return [each[0] for each in found]

    def hypotheses(
        self,
        chunks: Sequence[Encoded],
        language: str,
        options: DecodeOptions,
        max_tokens: int,
        *,
        adjust: Adjust | None = None,
        ilm_weight: float = 0.0,
    ) -> list[list[Decoded]]:
        """What ended of each chunk, the best first; logs are the decoder's own, nothing added."""
        if options.temperature > 0:
            raise ConfigError("this search does not draw: leave the temperature at 0")
        prompt = self._whisper.prompt(language, options)
        most = min(self._decoder.max_tokens, len(prompt) + max_tokens) - len(prompt)
        wanted = GenerateOptions(
            max_new_tokens=most,
            stop_ids=frozenset({self.end}),
            num_beams=min(options.beam_size, MAX_BEAMS),
            length_penalty=options.length_penalty,
        )
        rules = _Rules(options.timestamps, adjust, ilm_weight)
        return [self._search(chunk, prompt, wanted, rules) for chunk in chunks]

    def _search(
        self, chunk: Encoded, prompt: list[int], options: GenerateOptions, rules: _Rules
    ) -> list[Decoded]:
        state = self._decoder.start(np.asarray(chunk.output)[0])
        begin = prompt.index(self._ids["startoftranscript"]) + 1
        silence = self._decoder.step(state, [prompt[:begin]], [0])[0]
        logits = self._decoder.step(state, [prompt[begin:]], [0])
        unheard = _Unheard(self._decoder, prompt) if rules.ilm_weight else None

        def change(said: Sequence[int], scores: Floats) -> None:
            if unheard is not None:
                scores -= np.float32(rules.ilm_weight) * unheard.expects(said)
            if rules.adjust is not None:
                rules.adjust(said, scores)

        wanted = replace(options, adjust=change)
        search = BeamSearch(wanted) if options.num_beams > 1 else RowSearch(wanted)
        rows: list[tuple[int, ...]] = [()]
        while steps := search.advance(self._allowed(rows, logits, timestamps=rules.timestamps)):
            rows = [(*rows[step.parent], step.token) for step in steps]
            parents = [step.parent for step in steps]
            logits = self._decoder.step(state, [[step.token] for step in steps], parents)
            if unheard is not None:
                unheard.go_on(steps)
        no_speech = self._no_speech(silence)
        ended = search.results() if isinstance(search, BeamSearch) else [search.result()]
        return [self._decoded(one, no_speech) for one in ended]

    def _decoded(self, found: Generated, no_speech: float) -> Decoded:
        tokens = tuple(token for token in found.tokens if token < self.end)
        text = self._whisper.text(tokens)
        return Decoded(text, tokens, found.avg_logprob, no_speech, sum(found.logprobs))

    def _no_speech(self, logits: Floats) -> float:
        token = self._ids["notimestamps"] - 1  # <|nospeech|> or <|nocaptions|>
        return float(1 / np.exp(logits - logits[token]).sum(dtype=np.float64))

    def _allowed(
        self, rows: Sequence[Sequence[int]], logits: Floats, *, timestamps: bool
    ) -> Floats:
        """Logits [R, V] with what is no text after each row ruled out, in place.

        Before logarithms are taken: what is left sums up to 1, as in CTranslate2.
        """
        for said, row in zip(rows, logits, strict=True):
            self._rule_out(said, row, timestamps=timestamps)
        return logits

    def _rule_out(self, said: Sequence[int], scores: Floats, *, timestamps: bool) -> None:
        """What is no text here: marks of sounds, tasks and languages, times out of order."""
        first_time = self._ids["notimestamps"] + 1
        scores[self._suppressed] = _NEVER
        scores[self.end + 1 : first_time] = _NEVER
        if not timestamps:
            scores[first_time:] = _NEVER
        if not said:
            scores[self._suppressed_first] = _NEVER
        if timestamps:
            _order_times(said, scores, first_time, self.end)


class _Rules(NamedTuple):
    """Who has a say in a search."""

    timestamps: bool
    adjust: Adjust | None
    ilm_weight: float


class _Unheard:
    """What the decoder expects of the same beams without hearing anything."""

    def __init__(self, decoder: WhisperDecoder, prompt: list[int]) -> None:
        self._decoder = decoder
        self._state: DecoderState = decoder.start(None)
        self._said: list[tuple[int, ...]] = [()]
        self._expected = dict(
            zip(self._said, decoder.step(self._state, [prompt], [0]), strict=True)
        )

    def expects(self, said: Sequence[int]) -> Floats:
        """Log-probabilities [V] of what follows."""
        row = self._expected[tuple(said)]
        row = row - row.max()
        expected: Floats = row - np.log(np.exp(row).sum())
        return expected

    def go_on(self, steps: Sequence[Step]) -> None:
        """The beams as they are after these steps."""
        self._said = [(*self._said[step.parent], step.token) for step in steps]
        parents = [step.parent for step in steps]
        rows = self._decoder.step(self._state, [[step.token] for step in steps], parents)
        self._expected = dict(zip(self._said, rows, strict=True))


def _order_times(said: Sequence[int], scores: Floats, first_time: int, end: int) -> None:
    """Times come in pairs around text, in order, and where they are likelier than any text."""
    times = [token for token in said if token >= first_time]
    if not said:
        scores[:first_time] = _NEVER
        scores[first_time + _LATEST_BEGIN + 1 :] = _NEVER
        return
    is_time = said[-1] >= first_time
    is_pair = is_time and (len(said) < 2 or said[-2] >= first_time)
    if is_pair:
        scores[first_time:] = _NEVER
    elif is_time:
        scores[:end] = _NEVER
    if times:
        scores[first_time : times[-1] + (0 if is_time and not is_pair else 1)] = _NEVER
    open_times, texts = scores[first_time:], scores[:first_time]
    most = open_times.max()
    if most > _NEVER and most + np.log(np.exp(open_times - most).sum()) > texts.max():
        texts[:] = _NEVER


def _suppressed(folder: Path) -> tuple[list[int], list[int]]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        names = "suppress_ids", "suppress_ids_begin"
        never, never_first = ([int(token) for token in config[name]] for name in names)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} does not tell which tokens are no text ({error!r})") from error
    return never, never_first


def _bytes_of_characters() -> dict[str, int]:
    """GPT-2's way to write bytes: printable ones as they are, others from 256 on."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + i): b for i, b in enumerate(others)}


_BYTE_OF = _bytes_of_characters()
