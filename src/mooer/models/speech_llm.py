"""The speech LLM: an encoder hears, an adapter makes embeddings, a language model answers.

The audio's embeddings stand among those of the prompt wherever the layout puts AUDIO (MooER:
Liang et al. 2024, "MooER: LLM-based Speech Recognition and Translation Models from Moore
Threads"). Only the positions of answers go through the vocabulary head: its logits are by far the
largest tensor of a step, and the prompt's would be thrown away.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mooer.batch import AUDIO, IGNORE, Batch
from mooer.errors import ModelError
from mooer.models.adapter import Adapter, AdapterConfig
from mooer.models.ctc import CtcConfig, EmbeddingCtc
from mooer.models.encoders.base import Encoder, inside
from mooer.models.llm import LlmConfig, llm_width, plain, vocabulary_logits
from mooer.tasks.templates import template as check_template


@dataclass(frozen=True)
class EncoderConfig:
    """An encoder of the table, the fields of its own config, and where its weights are."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None  # a file or folder, or store:NAME of the catalog; null: random


@dataclass(frozen=True)
class ModelConfig:
    """What `build` makes a speech LLM of; `mooer.yaml` in the folder of a saved one."""

    encoder: EncoderConfig
    llm: LlmConfig
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    adapter_weights: str | None = None  # a file; null: random
    template: str = "mooer"
    ctc: CtcConfig | None = None  # a head that spells what the adapter makes of the sound
    draft: str | None = None  # the recogniser whose text is shown to the LLM, when it is used
    draft_alone: bool = False  # then without the sound


@dataclass(frozen=True)
class Loss:
    """Sums over the learned tokens of a batch: divide them by `num_tokens`."""

    loss: Tensor  # cross-entropy, natural logarithm, float32
    num_tokens: Tensor  # int64
    num_correct: Tensor  # int64, of them the most probable token


class SpeechLLM(nn.Module):
    """Letters: B utterances, R recordings, F feature frames, N embeddings of audio, L tokens, W
    width.

    `llm` is a causal LM of transformers, or one that peft has put LoRA into. `config` is kept for
    saving. ConfigError for an unknown template.
    """

    def __init__(
        self,
        encoder: Encoder,
        adapter: Adapter,
        llm: Any,
        tokenizer: Any,
        template: str,
        config: ModelConfig | None = None,
    ) -> None:
        super().__init__()
        check_template(template)
        self.encoder = encoder
        self.adapter = adapter
        self.llm = llm
        self.tokenizer = tokenizer
        self.template = template
        self.config = config
        self.ctc: EmbeddingCtc | None = None  # see `set_units`
        self.owns_llm = False  # True if the LLM is no longer the one that `config` names

    def set_units(self, ids: Sequence[int]) -> None:
        """Give it a CTC head for these token ids; what an earlier head has learned is kept."""
        before = self.ctc
        config = self.config.ctc if self.config and self.config.ctc else CtcConfig()
        self.ctc = EmbeddingCtc(config, ids, self.llm.get_input_embeddings().weight)
        if before is not None:
            self.ctc.load_state_dict({**before.state_dict(), "ids": self.ctc.ids})

    @property
    def draft_alone(self) -> bool:
        """Whether, where the LLM is shown a draft, it is not given the sound."""
        return self.config is not None and self.config.draft_alone

    @property
    def embedding_ms(self) -> float:
        """Milliseconds of sound that one embedding stands for."""
        return self.encoder.frame_ms * self.adapter.stride

    def num_embeddings(self, num_samples: int) -> int:
        """Embeddings of a recording of so many samples at 16 kHz."""
        num_features = self.encoder.frontend.num_features(num_samples)
        return self.adapter.num_embeddings(self.encoder.num_frames(num_features))

    def embed_audio(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features [R, F, M] of lengths [R] as embeddings [R, N, W], and how many count [R]."""
        hidden, num_frames = self.encoder(features, lengths)
        dtype = next(self.adapter.parameters()).dtype  # an encoder that learns nothing may differ
        embeddings: Tensor
        embeddings, num_embeddings = self.adapter(hidden.to(dtype), num_frames)
        if embeddings.shape[-1] != (width := llm_width(self.llm)):
            raise ModelError(
                f"the adapter makes embeddings of width {embeddings.shape[-1]}, but the LLM reads "
                f"{width}: take the adapter that was trained with this LLM"
            )
        return embeddings, num_embeddings

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings [B, L, W] of a batch: tokens, and audio where AUDIO stands.

        ModelError if an utterance has more or fewer places than embeddings.
        """
        places = batch.ids == AUDIO
        words: Tensor = self.llm.get_input_embeddings()(batch.ids.masked_fill(places, 0))
        audio, counts = self.embed_audio(batch.features, batch.feature_lengths)
        wanted, given = places.sum(dim=1), counts
        if batch.num_recordings is not None:
            given = torch.stack(
                [one.sum() for one in counts.split_with_sizes(batch.num_recordings)]
            )
        if not bool((wanted == given).all()):
            wrong = int((wanted != given).nonzero()[0, 0])
            raise ModelError(
                f"utterance {batch.keys[wrong]!r} has {int(wanted[wrong])} places for "
                f"{int(given[wrong])} embeddings of audio: lay it out with num_embeddings()"
            )
        heard = audio[inside(counts, audio.shape[1]) & (counts > 0)[:, None]]
        return words.masked_scatter(places[..., None], heard.to(words.dtype))

    def forward(self, batch: Batch) -> Loss:
        """The loss of the answers of a batch, padded on either side."""
        hidden = self.read(self.embed(batch), batch.mask)
        targets = batch.labels[:, 1:]
        learned = targets != IGNORE
        logits = vocabulary_logits(self.llm, hidden[:, :-1][learned]).float()
        answers = targets[learned]
        return Loss(
            cross_entropy(logits, answers, reduction="sum"),
            learned.sum(),
            (logits.detach().argmax(dim=-1) == answers).sum(),
        )

    def read(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Last hidden states [B, L, W] of the LLM over embeddings [B, L, W] and mask [B, L]."""
        decoder = plain(self.llm).base_model
        options = {}
        if "position_ids" in inspect.signature(decoder.forward).parameters:
            options["position_ids"] = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
        hidden: Tensor = decoder(
            inputs_embeds=embeddings, attention_mask=mask.long(), use_cache=False, **options
        ).last_hidden_state
        return hidden
