"""CTC over the adapter's embeddings, whose output layer is the LLM's own token embeddings.

The score of a token is the scaled cosine between what the adapter makes of the sound and the
LLM's embedding of that token; the blank is a learned direction beside them (Graves et al. 2006,
"Connectionist Temporal Classification"). So an adapter that has learned to spell by it already
speaks in the space that the LLM reads. Afterwards the head gives a draft, aligns and hears
whether anybody spoke.

Units are token ids. Each Chinese character is spelled by itself, everything else by words, in
lower case and without punctuation: what is heard, not how it is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mooer.errors import ModelError
from mooer.models.tensors import StrPath, fill, read_tensors
from mooer.text.units import START, spoken_runs

BLANK = 0  # class; unit u is class u + 1


@dataclass(frozen=True)
class CtcConfig:
    """How the head is begun."""

    scale: float = 30.0  # of the cosine, at first
    norm_weight: float = 0.1  # of (length / the LLM's mean length - 1)^2, so that the LLM can read


def spell(text: str, tokenizer: Any) -> list[int]:
    """Token ids of what is heard in a text: characters of Chinese, words of all else."""
    runs = (run.replace(START, " ") for run in spoken_runs(text))
    return [id for run in runs for id in tokenizer.encode(run, add_special_tokens=False)]


def units_of(texts: Iterable[str], tokenizer: Any) -> list[int]:
    """Token ids that these texts are spelled by, in order."""
    return sorted({token for text in texts for token in spell(text, tokenizer)})


class EmbeddingCtc(nn.Module):
    """Letters: N embeddings of sound, W width, U units. `ids` and `units` never learn."""

    ids: Tensor
    units: Tensor

    def __init__(self, config: CtcConfig, ids: Sequence[int], embedding: Tensor) -> None:
        super().__init__()
        if not ids:
            raise ModelError("a CTC head needs texts to take its units from: they hold none")
        rows = embedding.detach()[list(ids)].float()
        self.config = config
        self.register_buffer("ids", torch.tensor(list(ids), dtype=torch.int64))
        self.register_buffer("units", functional.normalize(rows, dim=-1), persistent=False)
        self.target_norm = float(rows.norm(dim=-1).mean())
        self.blank = nn.Parameter(torch.randn(rows.shape[1]))
        self.bias = nn.Parameter(torch.zeros(()))  # of the blank
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.scale)))
        self._classes = {token: place + 1 for place, token in enumerate(ids)}

    def forward(self, embeddings: Tensor) -> Tensor:
        """Log-probabilities [..., U + 1], float32, of embeddings [..., W]."""
        heard = functional.normalize(embeddings, dim=-1)
        blank = functional.normalize(self.blank, dim=0).to(heard.dtype)
        to_units = heard @ self.units.to(heard.dtype).T
        to_blank = (heard @ blank)[..., None]
        scores = torch.cat([to_blank, to_units], -1).float() * self.log_scale.exp()
        shift = functional.pad(self.bias[None], (0, len(self.ids)))
        log_probs: Tensor = (scores + shift).log_softmax(-1)
        return log_probs

    def norm_loss(self, embeddings: Tensor) -> Tensor:
        """Squared distance of the length of each embedding [..., W] to the LLM's mean, relative."""
        lengths = embeddings.float().norm(dim=-1)
        away: Tensor = (lengths / self.target_norm - 1).square()
        return away

    def targets(self, text: str, tokenizer: Any) -> list[int]:
        """Classes of a text; units that the head has not are left out."""
        return [self._classes[t] for t in spell(text, tokenizer) if t in self._classes]

    def tokens(self, classes: Iterable[int]) -> list[int]:
        """Token ids of classes; repeats and blanks must be gone already."""
        ids: list[int] = self.ids.tolist()
        return [ids[c - 1] for c in classes]

    def load_weights(self, path: StrPath) -> None:
        """Fill strictly; ModelError lists what is off."""
        fill(self, read_tensors(path), path, "CTC head")


def read_units(path: StrPath) -> list[int]:
    """The token ids of a saved head."""
    ids: list[int] = read_tensors(path)["ids"].tolist()
    return ids


def collapse(classes: Iterable[int]) -> list[int]:
    """A path through the classes as what it says: repeats once, blanks not at all.

    >>> collapse([0, 3, 3, 0, 3, 1])
    [3, 3, 1]
    """
    said: list[int] = []
    last = BLANK
    for one in classes:
        if one not in (last, BLANK):
            said.append(one)
        last = one
    return said
