"""How likely a text is under a causal LM of transformers: for rescoring, and for search.

The same as `engines.causal_lm`, for folders that llama.cpp does not read and for a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mooer.errors import DecodeError, ModelError

_TOKENS_AT_ONCE = 2048  # read together, padding included: bounds the memory of the logits
_MAX_KNOWN = 10_000  # texts whose probabilities are kept, since a search asks again


class TorchCausalLM:
    """A model and its tokenizer, as `models.llm.load_llm` gives them.

    A text is read after the id that begins a document, and after `context`, whose own probability
    does not count. Its end is any id that ends an answer. ModelError if the two name no such id.
    """

    def __init__(self, model: Any, tokenizer: Any, *, context: str = "") -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._ends = _end_ids(model, tokenizer)
        first = getattr(tokenizer, "bos_token_id", None)
        if first is None and self._ends:
            first = self._ends[0]
        if first is None or not self._ends:
            raise ModelError("the LLM names no id that begins or ends a text: use another")
        self._given = [int(first), *self.encode(context)]
        self._known: dict[tuple[int, ...], tuple[float, float]] = {}

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        return [int(token) for token in self._tokenizer.encode(text, add_special_tokens=False)]

    def logprobs(self, texts: Sequence[Sequence[int]], *, ends: bool) -> list[float]:
        """Natural log of the probability of each text in ids; `ends`: and of its end.

        DecodeError if the model gives NaN.
        """
        wanted = [tuple(ids) for ids in texts]
        if len(self._known) >= _MAX_KNOWN:
            self._known = {}
        waiting = sorted({ids for ids in wanted if ids not in self._known}, key=len)
        while waiting:
            num = max(1, _TOKENS_AT_ONCE // (len(self._given) + len(waiting[-1])))
            group, waiting = waiting[-num:], waiting[:-num]
            self._known.update(zip(group, self._read(group), strict=True))
        return [self._known[ids][0] + (self._known[ids][1] if ends else 0.0) for ids in wanted]

    @torch.no_grad()
    def _read(self, group: Sequence[tuple[int, ...]]) -> list[tuple[float, float]]:
        """Of each text its log-probability, and that of its end."""
        device = self._model.get_input_embeddings().weight.device
        rows = [torch.tensor([*self._given, *ids], device=device) for ids in group]
        # Padding stands behind what is read, and a causal model does not look there.
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        given = len(self._given)
        logits: Tensor = self._model(input_ids=padded).logits[:, given - 1 :].float()
        log_probs = logits.log_softmax(-1)
        found = []
        for ids, row in zip(group, log_probs, strict=True):
            picked = row[: len(ids)].gather(1, torch.tensor(ids, device=device).long()[:, None])
            end = row[len(ids)][self._ends].logsumexp(0)
            found.append((float(picked.double().sum()), float(end)))
            if any(map(math.isnan, found[-1])):
                raise DecodeError("the language model gives NaN: its weights are damaged")
        return found


def _end_ids(model: Any, tokenizer: Any) -> list[int]:
    """The ids that end an answer, by what model and tokenizer say."""
    settings = getattr(model, "generation_config", None)
    named = [getattr(settings, "eos_token_id", None), getattr(tokenizer, "eos_token_id", None)]
    found: set[int] = set()
    for one in named:
        found.update(one if isinstance(one, list | tuple) else [] if one is None else [one])
    return sorted(found)
