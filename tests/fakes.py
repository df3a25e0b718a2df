"""Small stand-ins for the heavy parts of the house."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Generator, Sequence

import numpy as np

from mooer.engines.whisper import Decoded, DecodeOptions, Encoded, TimedWord, window_for
from mooer.tasks import Message


class FakeLLM:
    """Answers from a script, or by a function of the messages, one character a piece.

    Where the last message is the assistant's, its last answer goes on from there.
    `requests` are the conversations it was given, `num_pieces` how much it was made to say.
    """

    def __init__(self, answers: Sequence[str] | Callable[[Sequence[Message]], str]) -> None:
        self._answers = answers
        self._num_begun = 0
        self._last = ""
        self.requests: list[list[Message]] = []
        self.num_pieces = 0
        self.num_closed = 0

    def chat(
        self, messages: Sequence[Message], *, max_tokens: int, grammar: str | None = None
    ) -> Generator[str, None, None]:
        self.requests.append(list(messages))
        if messages[-1].role == "assistant":
            answer = self._last.removeprefix(messages[-1].content)
        elif callable(self._answers):
            answer = self._last = self._answers(messages)
        else:
            answer = self._last = self._answers[self._num_begun]
            self._num_begun += 1
        try:
            for piece in answer[: 8 * max_tokens]:
                self.num_pieces += 1
                yield piece
        finally:
            self.num_closed += 1

    def complete(
        self,
        prompt: str,
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        grammar: str | None = None,
    ) -> Generator[str, None, None]:
        return self.chat([Message("user", prompt)], max_tokens=max_tokens)


class LoudnessVad:
    """Speech is what is loud: stands in for `audio.vad.SpeechModel`."""

    def start(self) -> None:
        return None

    def step(self, frames, state):
        return (np.abs(frames).mean(axis=1) > 0.01).astype(np.float32), None


class ScriptedWhisper:
    """Says `texts` in turn, one word each half second; stands in for `engines.whisper.Whisper`.

    `decodings` are the (window in seconds, temperature, prompt) of every decoding asked for.
    """

    is_multilingual = True

    def __init__(
        self, texts: Sequence[str], *, no_speech_prob: float = 0.0, workers: int = 1
    ) -> None:
        self.workers = workers
        self.is_loaded = True
        self._texts = iter(texts)
        self._no_speech_prob = no_speech_prob
        self.decodings: list[tuple[float, float, str]] = []
        self.options: list[DecodeOptions] = []  # of every call
        self.batches: list[int] = []
        self._said: dict[tuple[int, ...], str] = {}

    def unload(self) -> None:
        self.is_loaded = False

    def check_language(self, language: str) -> str:
        return language

    def encode(self, samples, window_s=None) -> Encoded:
        duration_s = len(samples) / 16_000
        return Encoded(None, window_s or window_for(duration_s), duration_s)

    def detect_language(self, encoded: Encoded) -> list[tuple[str, float]]:
        return [("en", 0.9), ("zh", 0.1)]

    def decode(self, chunks, language, options, max_tokens) -> list[Decoded]:
        self.is_loaded = True
        self.batches.append(len(chunks))
        self.options.append(options)
        found = []
        for chunk in chunks:
            self.decodings.append((chunk.window_s, options.temperature, options.prompt))
            text = next(self._texts)
            tokens = (len(self.decodings),)
            self._said[tokens] = text
            found.append(Decoded(text, tokens, -0.2, self._no_speech_prob))
        return found

    def tokens(self, text) -> tuple[int, ...]:
        return tuple(text.encode())

    def align(self, chunk, tokens, language) -> list[TimedWord]:
        words = self._said[tuple(tokens)].split()
        step = chunk.duration_s / max(1, len(words))
        return [TimedWord(" " + w, i * step, (i + 1) * step, 0.9) for i, w in enumerate(words)]


def speech(*pattern: tuple[float, float], rate_hz: int = 16_000):
    """Samples of (seconds, loudness) one after the other: loud noise is speech to LoudnessVad."""
    generator = np.random.default_rng(0)
    return np.concatenate(
        [
            (generator.uniform(-1, 1, round(s * rate_hz)) * loudness).astype(np.float32)
            for s, loudness in pattern
        ]
    )


class FakeSpeechLLM:
    """Says `answers` in turn; stands in for `engines.speech_llm.SpeechLLM`, and for its `llm`.

    Ids are UTF-8 bytes, and from 256 on special tokens; ten embeddings are a second. `prompts` are
    those that were answered: special tokens as «name», audio as [number of embeddings].
    """

    template = "mini"
    path = "fake.gguf"

    def __init__(self, answers: Sequence[str], *, context_tokens: int = 4096) -> None:
        self.llm = self
        self.context_tokens = context_tokens
        self.prompts: list[str] = []
        self.options = []  # of every answer
        self.encoded: list[int] = []  # recordings, by call
        self.is_closed = False
        self._answers = iter(answers)
        self._special: list[str] = []
        self.stop_ids = frozenset(self.encode("<|im_end|>"))

    def encode(self, what, special=True):
        if not isinstance(what, str):
            self.encoded.append(len(what))
            return [np.ones((len(samples) // 1600, 4), np.float32) for samples in what]
        ids = []
        for piece in re.split(r"(<\|\w+\|>)", what) if special else [what]:
            if special and piece.startswith("<|"):
                if piece not in self._special:
                    self._special.append(piece)
                ids.append(256 + self._special.index(piece))
            else:
                ids += piece.encode()
        return ids

    def decode(self, ids) -> str:
        return bytes(ids).decode(errors="replace")

    def stream(self, prompt, options):
        self.prompts.append("".join(map(self._shown, prompt)))
        self.options.append(options)
        for token in next(self._answers).encode():
            if token == 0x03:  # as if ctrl-C came
                raise KeyboardInterrupt
            yield token, -0.1

    def _shown(self, part) -> str:
        if isinstance(part, np.ndarray):
            return f"[{len(part)}]"
        text = ""
        for is_special, ids in itertools.groupby(part, lambda token: token > 255):
            if is_special:
                text += "".join(f"«{self._special[token - 256][2:-2]}»" for token in ids)
            else:
                text += bytes(ids).decode()
        return text

    def __enter__(self):
        return self

    def __exit__(self, *reason) -> None:
        self.is_closed = True


class LetterCtc:
    """A CTC model that hears how loud each 20 ms are: stands in for `decoding.ctc.CtcModel`.

    `say` makes the sound of words; where nothing is said it is silent. `windows` are the seconds of
    every sound that it was shown.
    """

    frame_s = 0.02
    blank = 0
    letters = "abcdefghijklmnopqrstuvwxyz今天气很好我们你世界是的有个一二三四五六七八九十零点年"

    def __init__(self, sure: float = 0.9) -> None:
        self.sure = sure
        self.windows: list[float] = []

    def spell(self, word: str) -> tuple[int, ...]:
        units = tuple(self.letters.find(letter) + 1 for letter in word)
        return units if all(units) else ()

    def log_probs(self, samples):
        self.windows.append(len(samples) / 16_000)
        frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
        loud = np.abs(frames).mean(axis=1)
        units = np.where(loud > 0.05, np.round((loud - 0.1) / 0.005), 0).astype(int)
        num = len(self.letters) + 1
        found = np.full((len(frames), num), np.log((1 - self.sure) / (num - 1)), np.float32)
        found[np.arange(len(frames)), np.clip(units, 0, num - 1)] = np.log(self.sure)
        return found

    def say(self, words: Sequence[str | float], *, unit_frames: int = 3, rests: int = 1):
        """The sound of words, a number among them is so many seconds of silence.

        A letter takes `unit_frames`, its first `rests` silent. Gives samples [T] and the
        (word, start, end) of every word, in seconds.
        """
        levels: list[float] = []
        times: list[tuple[str, float, float]] = []
        for word in words:
            if not isinstance(word, str):
                levels += [0.0] * round(word / self.frame_s)
                continue
            start = len(levels)
            for letter in word:
                loud = 0.1 + 0.005 * (self.letters.index(letter) + 1)
                levels += [0.0] * rests + [loud] * (unit_frames - rests)
            times.append((word, (start + rests) * self.frame_s, len(levels) * self.frame_s))
        signs = np.where(np.arange(320) % 2, 1.0, -1.0).astype(np.float32)
        return np.outer(levels, signs).ravel().astype(np.float32), times
