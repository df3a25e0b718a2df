"""A small random language model that says different things and ends: for tests of decoding."""

from __future__ import annotations

import torch
from tests.tiny import VOCABULARY, ByteTokenizer, tiny_llm
from torch import nn

EOS = ByteTokenizer.eos_token_id
WIDTH = 32


def talker(seed: int = 0, *, end: float = 6.0):
    """A Qwen2 whose layers matter, with an end that is likely by `end`."""
    llm = tiny_llm(seed=seed, width=WIDTH)
    with torch.no_grad():
        for parameter in llm.model.layers.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
        llm.lm_head = nn.Linear(WIDTH, VOCABULARY)
        nn.init.normal_(llm.lm_head.weight, std=0.4)
        nn.init.zeros_(llm.lm_head.bias)
        llm.lm_head.bias[EOS] = end
    return llm.eval()


def prompts(seed: int, *lengths: int):
    """Embeddings [B, L, W] and mask [B, L] of prompts of these lengths, padded to the left."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    embeds = torch.randn(len(lengths), longest, WIDTH, generator=generator)
    mask = torch.arange(longest) >= longest - torch.tensor(lengths)[:, None]
    embeds[~mask] = 1e3  # what is padding must not matter
    return embeds, mask


class TableModel:
    """Log-probabilities from a table by the last two ids: a model whose best text can be counted.

    `rows_read` are the rows of every step. The state is the ids of each row.
    """

    def __init__(self, num_ids: int, seed: int = 0, *, sharpness: float = 1.5) -> None:
        generator = torch.Generator().manual_seed(seed)
        shape = (num_ids + 1, num_ids + 1, num_ids)
        self.table = (torch.randn(shape, generator=generator) * sharpness).log_softmax(-1)
        self.num_ids = num_ids
        self.rows_read: list[int] = []

    def logits(self, said):
        before = [self.num_ids, self.num_ids, *said]
        return self.table[before[-2], before[-1]] + 3.0  # logits need not be normalised

    def start(self, embeds, mask):
        state = [[] for _ in embeds]
        self.rows_read.append(len(state))
        return torch.stack([self.logits(said) for said in state]), state

    def step(self, ids, state):
        state = [[*said, int(i)] for said, i in zip(state, ids, strict=True)]
        self.rows_read.append(len(state))
        return torch.stack([self.logits(said) for said in state]), state

    def reorder(self, state, indices):
        return [state[i] for i in indices.tolist()]
