"""Neural causal LMs as scorers of text: any model that says how likely ids are.

What a piece adds is log p(text so far, cut at the end of its last whole unit) less what was given
for it before, each with the ids that the tokenizer has for that text. So the sum over a text is
that of the whole text in its own ids, however it came and however the ids of its beginnings differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from mooer.decoding.lm.text_lm import whole_characters
from mooer.text import is_cjk


class TokenModel(Protocol):
    """A causal LM over ids: see `engines.causal_lm` and `models.causal_lm`."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        ...

    def logprobs(self, texts: Sequence[Sequence[int]], *, ends: bool) -> list[float]:
        """Natural log of the probability of each text in ids; `ends`: and of its end."""
        ...


class NeuralState(NamedTuple):
    """What was scored, how, and what may still go on."""

    text: str
    total: float
    open: str
    broken: bytes


class NeuralText:
    """A causal LM as a `TextLM`.

    The text is scored as it is: with the case and the punctuation that the recogniser writes.
    """

    def __init__(self, model: TokenModel) -> None:
        self.model = model

    def start(self) -> NeuralState:
        """See `TextLM`."""
        return NeuralState("", 0.0, "", b"")

    def advance(self, state: NeuralState, piece: str | bytes) -> tuple[float, NeuralState]:
        """See `TextLM`."""
        text, broken = whole_characters(state.broken, piece)
        opened = state.open + text
        cut = unit_end(opened)
        if not cut:
            return 0.0, state._replace(open=opened, broken=broken)
        done = state.text + opened[:cut]
        [total] = self.model.logprobs([self.model.encode(done)], ends=False)
        return total - state.total, NeuralState(done, total, opened[cut:], broken)

    def finish(self, state: NeuralState) -> float:
        """See `TextLM`; spaces at the end do not count."""
        [total] = self.logprobs([state.text + state.open])
        return total - state.total

    def logprobs(self, texts: Sequence[str]) -> list[float]:
        """See `TextLM`; what they begin with together is read once."""
        return self.model.logprobs([self.model.encode(text.strip()) for text in texts], ends=True)


def unit_end(text: str) -> int:
    """Where the last unit ends that nothing can be added to: before a word and the space before it.

    >>> [text[: unit_end(text)] for text in ("hello wor", "hel", "你好", "你好 wor", "hello ")]
    ['hello', '', '你好', '你好', 'hello']
    """
    end = len(text)
    while end and not text[end - 1].isspace() and not is_cjk(text[end - 1]):
        end -= 1
    while end and text[end - 1].isspace():
        end -= 1
    return end
