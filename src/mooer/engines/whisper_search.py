"""Whisper searched by ourselves: beams in which others have a say, a language model for one.

    whisper = SearchedWhisper(fetch("whisper-base"))
    whisper.adjust = ...          # given the tokens so far, changes scores [V] of the next in place
    whisper.ilm_weight = 0.2      # and less of what the decoder expects without hearing anything

Tokens that are never text are ruled out as in OpenAI's decoding (whisper/decoding.py), which
CTranslate2 follows. It encodes and aligns as before; draws of a temperature are CTranslate2's too,
and nobody else has a say in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.engines.token_search import BeamSearch, GenerateOptions, RowSearch, Step
from mooer.engines.whisper import Decoded, DecodeOptions, Encoded, Whisper
from mooer.engines.whisper_decoder import DecoderState, WhisperDecoder
from mooer.errors import ModelError

Floats = NDArray[np.float32]
Adjust = Callable[[Sequence[int], Floats], None]

_LATEST_BEGIN = 50  # the first time token is at most 1 s
_NEVER = np.float32(-np.inf)


class SearchedWhisper(Whisper):
    """A Whisper whose searches may be joined; two times the memory of the decoder."""

    def __init__(
        self, folder: Path, *, compute_type: str = "int8", num_threads: int = 0, workers: int = 1
    ) -> None:
        super().__init__(
            folder, compute_type=compute_type, num_threads=num_threads, workers=workers
        )
        self.adjust: Adjust | None = None
        self.ilm_weight = 0.0
        self._decoder = WhisperDecoder(folder)
        self._suppressed, self._suppressed_first = _suppressed(folder)

    @property
    def vocabulary(self) -> list[bytes]:
        """What each token writes, where it is text."""
        texts = [b""] * self._decoder.num_tokens
        for token, index in self._tokenizer.get_vocab(with_added_tokens=True).items():
            if index < self._ids["endoftext"]:
                texts[index] = bytes(_BYTE_OF[character] for character in token)
        return texts

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return self._ids["endoftext"]

    def decode(
        self, chunks: Sequence[Encoded], language: str, options: DecodeOptions, max_tokens: int
    ) -> list[Decoded]:
        """As Whisper's, but beams are searched one chunk after the other."""
        if options.temperature > 0 or options.prefix:
            return super().decode(chunks, language, options, max_tokens)
        prompt = self._prompt(language, options)
        most = min(448, len(prompt) + max_tokens) - len(prompt)
        return [self._search(chunk, prompt, options, most) for chunk in chunks]

    def _search(
        self, chunk: Encoded, prompt: list[int], options: DecodeOptions, most: int
    ) -> Decoded:
        state = self._decoder.start(np.asarray(chunk.output)[0])
        begin = prompt.index(self._ids["startoftranscript"]) + 1
        silence = self._decoder.step(state, [prompt[:begin]], [0])[0]
        logits = self._decoder.step(state, [prompt[begin:]], [0])
        unheard = _Unheard(self._decoder, prompt) if self.ilm_weight else None

        def change(said: Sequence[int], scores: Floats) -> None:
            if unheard is not None:
                scores -= np.float32(self.ilm_weight) * unheard.expects(said)
            self._rule_out(said, scores, timestamps=options.timestamps)
            if self.adjust is not None:
                self.adjust(said, scores)

        wanted = GenerateOptions(
            max_new_tokens=most,
            stop_ids=frozenset({self.end}),
            num_beams=options.beam_size,
            length_penalty=options.length_penalty,
            adjust=change,
        )
        search = BeamSearch(wanted) if options.beam_size > 1 else RowSearch(wanted)
        while steps := search.advance(logits):
            parents = [step.parent for step in steps]
            logits = self._decoder.step(state, [[step.token] for step in steps], parents)
            if unheard is not None:
                unheard.go_on(steps)
        found = search.result()
        tokens = tuple(token for token in found.tokens if token < self.end)
        text = self._tokenizer.decode(list(tokens)).strip()
        return Decoded(text, tokens, found.avg_logprob, self._no_speech(silence))

    def _no_speech(self, logits: Floats) -> float:
        token = self._ids["notimestamps"] - 1  # <|nospeech|> or <|nocaptions|>
        return float(1 / np.exp(logits - logits[token]).sum(dtype=np.float64))

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
