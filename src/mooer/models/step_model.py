"""A causal LM of transformers as decoding wants it: a prompt once, then id by id.

The beams of an utterance read one copy of the keys and values of its prompt. A speech prompt has
hundreds of them and an answer a few dozen, so a step reads a fraction of what a cache for each
beam would, and choosing other beams moves only the answers. Without beams, prompt and answer lie
in one memory that has room to grow. `SharedSteps` does that by an attention function of its own
(transformers' attention interface); `CachedSteps` is the plain way for models without that
interface, or with attention that is not plain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

_ATTENTION = "mooer_shared_prefix"
_BLOCK_TOKENS = 32  # by which the memory of the answers grows


def step_model(llm: nn.Module) -> SharedSteps | CachedSteps:
    """The quickest step model for an LLM, be it wrapped by peft or not; it must be in eval mode."""
    unwrap: Any = getattr(llm, "get_base_model", None)
    base: Any = unwrap() if unwrap else llm
    return SharedSteps(base) if _attends_plainly(base) else CachedSteps(base)


def _attends_plainly(llm: Any) -> bool:
    config = llm.config
    layers = getattr(config, "layer_types", None)
    if layers:
        is_full = set(layers) == {"full_attention"}
    else:
        is_full = getattr(config, "sliding_window", None) is None
    return (
        is_full
        and getattr(llm, "_supports_attention_backend", False)
        and not getattr(config, "attn_logit_softcapping", None)
        and _has_interface()
    )


def _positions(mask: Tensor) -> Tensor:
    """Positions [B, L] counted from the first that is not padding."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


# --- one prompt for all its beams ---------------------------------------------------------------


@dataclass
class SharedState:
    """Letters: U utterances, R = U * fan rows, H key heads, P prompt, D head width; by layer."""

    bias: Tensor  # [U, 1, 1, P], -inf on padding; without beams [R, 1, 1, room]
    positions: Tensor  # [R], of the next id
    owners: list[int]  # of each row, its utterance; rows of one stand together
    is_padded: bool
    prompt_keys: list[Tensor] = field(default_factory=list)  # [U, H, P, D]
    prompt_values: list[Tensor] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)  # [R, H, room, D]
    values: list[Tensor] = field(default_factory=list)
    num_new: int = 0
    num_before: int = 0  # where in `keys` answers begin: after the prompt, if it is in there too
    allowed: Tensor | None = None  # [U, 1, P, P], only while the prompt is read

    @property
    def fan(self) -> int:
        """Rows of each utterance."""
        return len(self.owners) // len(self.bias)

    @property
    def used(self) -> int:
        """Filled places of `keys` and `values`."""
        return self.num_before + self.num_new


class SharedSteps:
    """Any decoder of transformers whose attention is a function that can be exchanged."""

    def __init__(self, llm: PreTrainedModel) -> None:
        self._llm = llm
        _register()

    @torch.no_grad()
    def start(self, embeds: Tensor, mask: Tensor) -> tuple[Tensor, SharedState]:
        """See `decoding.generation.StepModel`."""
        mask = mask.bool()
        positions = _positions(mask)
        bias = torch.zeros(mask.shape, dtype=embeds.dtype, device=embeds.device)
        bias = bias.masked_fill(~mask, float("-inf"))[:, None, None]
        is_padded = not bool(mask.all())
        state = SharedState(bias, positions[:, -1] + 1, list(range(len(embeds))), is_padded)
        if is_padded:
            length = mask.shape[1]
            causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
            itself = torch.eye(length, dtype=torch.bool, device=mask.device)
            state.allowed = (causal & mask[:, None] | itself)[:, None]  # padding sees itself
        logits = self._forward(state, positions, inputs_embeds=embeds)
        state.allowed = None
        return logits, state

    @torch.no_grad()
    def step(self, ids: Tensor, state: SharedState) -> tuple[Tensor, SharedState]:
        """See `decoding.generation.StepModel`."""
        if not state.keys or state.used == state.keys[0].shape[2]:
            _grow(state)
        ids = ids.to(state.bias.device)[:, None]
        logits = self._forward(state, state.positions[:, None], input_ids=ids)
        state.num_new += 1
        state.positions = state.positions + 1
        return logits, state

    @torch.no_grad()
    def reorder(self, state: SharedState, indices: Tensor) -> SharedState:
        """See `decoding.generation.StepModel`."""
        rows: list[int] = indices.tolist()
        owners = [state.owners[row] for row in rows]
        kept = list(dict.fromkeys(owners))
        fan = len(rows) // len(kept)
        if state.num_before or owners != [owner for owner in kept for _ in range(fan)]:
            kept, fan = owners, 1  # as many prompts as rows
        if kept != list(range(len(state.bias))):
            chosen = torch.tensor(kept, device=state.bias.device)
            state.bias = state.bias.index_select(0, chosen)
            for prompts in (state.prompt_keys, state.prompt_values):
                for layer, prompt in enumerate(prompts):
                    prompts[layer] = prompt.index_select(0, chosen)
        same = len(rows) == len(state.owners)
        if rows != list(range(len(state.owners))):
            indices = indices.to(state.bias.device)
            state.positions = state.positions.index_select(0, indices)
            for answers in (state.keys, state.values):
                for layer, answer in enumerate(answers):
                    moved = answer[:, :, : state.used].index_select(0, indices)
                    if not same:
                        answers[layer] = answer.new_empty((len(rows), *answer.shape[1:]))
                    answers[layer][:, :, : state.used] = moved
        state.owners = [place for place in range(len(kept)) for _ in range(fan)]
        return state

    def _forward(self, state: SharedState, positions: Tensor, **inputs: Tensor) -> Tensor:
        with _attention_of(self._llm):
            output = self._llm(
                **inputs,
                position_ids=positions,
                use_cache=False,
                logits_to_keep=1,
                shared_state=state,
            )
        logits: Tensor = output.logits[:, -1]
        return logits


def _grow(state: SharedState) -> None:
    """Room for more ids in every row."""
    more = max(_BLOCK_TOKENS, state.num_new)
    for prompts, answers in (
        (state.prompt_keys, state.keys),
        (state.prompt_values, state.values),
    ):
        if not answers and state.fan == 1:  # no beams: answers are written behind the prompts
            answers[:] = prompts
            prompts.clear()
            state.num_before = answers[0].shape[2]
        elif not answers:
            answers += [prompt[:1, :, :0].repeat(len(state.owners), 1, 1, 1) for prompt in prompts]
        for layer, answer in enumerate(answers):
            answers[layer] = nn.functional.pad(answer, (0, 0, 0, more))
    if state.num_before:
        state.bias = nn.functional.pad(state.bias, (0, more))


@contextmanager
def _attention_of(llm: PreTrainedModel) -> Iterator[None]:
    """The model with our attention, for the time of one call."""
    config: Any = llm.config
    before = config._attn_implementation
    config._attn_implementation = _ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before


def _has_interface() -> bool:
    """Older versions of transformers have not."""
    return hasattr(transformers, "AttentionInterface") and hasattr(
        transformers, "AttentionMaskInterface"
    )


def _register() -> None:
    """Make our attention known. No mask is made for a name that has an attention alone."""
    transformers.AttentionInterface.register(_ATTENTION, _attend)


def _attend(
    module: Any,
    query: Tensor,  # [R, heads, L, D]
    key: Tensor,  # [R, H, L, D]
    value: Tensor,
    attention_mask: None,
    **options: Any,
) -> tuple[Tensor, None]:
    state: SharedState = options["shared_state"]
    scale: float = options.get("scaling") or query.shape[-1] ** -0.5
    if not state.keys and len(state.prompt_keys) == module.layer_idx:
        state.prompt_keys.append(key)
        state.prompt_values.append(value)
        repeats = query.shape[1] // key.shape[1]
        out = nn.functional.scaled_dot_product_attention(
            query,
            key.repeat_interleave(repeats, 1),
            value.repeat_interleave(repeats, 1),
            attn_mask=state.allowed,
            is_causal=state.allowed is None,
            scale=scale,
        )
        return out.transpose(1, 2).contiguous(), None
    return _attend_step(state, module.layer_idx, query[:, :, 0] * scale, key, value), None


def _attend_step(
    state: SharedState, layer: int, query: Tensor, key: Tensor, value: Tensor
) -> Tensor:
    """One id of every row [R, heads, D] looks at the prompt of its utterance and at its answer."""
    end = state.used + 1
    state.keys[layer][:, :, end - 1] = key[:, :, 0]
    state.values[layer][:, :, end - 1] = value[:, :, 0]
    answer_keys, answer_values = state.keys[layer][:, :, :end], state.values[layer][:, :, :end]
    num_rows, num_query_heads, width = query.shape
    num_heads = key.shape[1]
    group = num_query_heads // num_heads  # query heads that share a key head
    fan, num = state.fan, len(state.bias)
    by_row = query.view(num_rows, num_heads, group, width)
    if state.num_before:
        out = nn.functional.scaled_dot_product_attention(
            by_row,
            answer_keys,
            answer_values,
            attn_mask=state.bias[..., :end] if state.is_padded else None,
            scale=1.0,
        )
        return out.reshape(num_rows, 1, num_query_heads, width)
    by_prompt = _gather(by_row, num, fan)
    to_prompt = by_prompt @ state.prompt_keys[layer].transpose(-1, -2) + state.bias
    to_answer = by_row @ answer_keys.transpose(-1, -2)
    scores = torch.cat([to_prompt, _gather(to_answer, num, fan)], -1)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    prompt_tokens = state.bias.shape[-1]
    from_prompt = weights[..., :prompt_tokens] @ state.prompt_values[layer]
    from_answer = _scatter(weights[..., prompt_tokens:], fan) @ answer_values
    out = _scatter(from_prompt, fan) + from_answer
    return out.reshape(num_rows, 1, num_query_heads, width)


def _gather(rows: Tensor, num: int, fan: int) -> Tensor:
    """[R, H, G, X] to [U, H, fan * G, X]: what shares a prompt stands together."""
    if fan == 1:
        return rows
    _, heads, group, size = rows.shape
    return rows.view(num, fan, heads, group, size).transpose(1, 2).reshape(num, heads, -1, size)


def _scatter(gathered: Tensor, fan: int) -> Tensor:
    """The other way round."""
    if fan == 1:
        return gathered
    num, heads, many, size = gathered.shape
    rows = gathered.reshape(num, heads, fan, many // fan, size).transpose(1, 2)
    return rows.reshape(num * fan, heads, many // fan, size)


# --- the plain way ------------------------------------------------------------------------------


@dataclass
class CachedState:
    """The cache of transformers, and what it has seen."""

    cache: Any  # DynamicCache
    mask: Tensor  # [R, L]
    positions: Tensor  # [R], of the next id


class CachedSteps:
    """Any decoder of transformers, with its own cache for each row."""

    def __init__(self, llm: PreTrainedModel) -> None:
        self._llm = llm

    @torch.no_grad()
    def start(self, embeds: Tensor, mask: Tensor) -> tuple[Tensor, CachedState]:
        """See `decoding.generation.StepModel`."""
        positions = _positions(mask.bool())
        state = CachedState(
            DynamicCache(config=self._llm.config), mask.long(), positions[:, -1] + 1
        )
        return self._forward(state, positions, inputs_embeds=embeds), state

    @torch.no_grad()
    def step(self, ids: Tensor, state: CachedState) -> tuple[Tensor, CachedState]:
        """See `decoding.generation.StepModel`."""
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(ids), 1)], 1)
        ids = ids.to(state.mask.device)[:, None]
        logits = self._forward(state, state.positions[:, None], input_ids=ids)
        state.positions = state.positions + 1
        return logits, state

    @torch.no_grad()
    def reorder(self, state: CachedState, indices: Tensor) -> CachedState:
        """See `decoding.generation.StepModel`."""
        indices = indices.to(state.mask.device)
        state.cache.reorder_cache(indices)
        state.mask = state.mask.index_select(0, indices)
        state.positions = state.positions.index_select(0, indices)
        return state

    def _forward(self, state: CachedState, positions: Tensor, **inputs: Tensor) -> Tensor:
        output = self._llm(
            **inputs,
            attention_mask=state.mask,
            position_ids=positions,
            past_key_values=state.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits
