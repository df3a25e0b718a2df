"""The language model: any causal LM of transformers from a folder or a GGUF file, and LoRA on it.

LoRA (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models") is by peft. Nothing is
fetched, no code of a checkpoint is run: weights come from safetensors, or from pickles that hold
tensors alone; and a weight that is missing, left over or of a wrong shape is an error.
"""

from __future__ import annotations

import json
import logging
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mooer.errors import ConfigError, MissingExtra, ModelError, did_you_mean, first_line, listed
from mooer.models.tensors import refusal
from mooer.store import located

logger = logging.getLogger(__name__)

Dtype = Literal["float32", "bfloat16", "float16"]

_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "gate_proj", "down_proj")


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates of linear layers, by default of all in Qwen's and Llama's blocks."""

    rank: int = 64
    alpha: float = 16.0  # an update is scaled by alpha / rank
    dropout: float = 0.05
    targets: tuple[str, ...] = _LINEARS

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"LoRA of rank {self.rank}: use at least 1")
        if not self.targets:
            raise ConfigError("LoRA with no targets: name the linear layers it is for")


@dataclass(frozen=True)
class LlmConfig:
    """Where the LLM is, and what is added to it."""

    path: str  # a folder of transformers, a .gguf file, or store:NAME of the catalog
    dtype: Dtype = "float32"
    lora: LoraConfig | None = None


def load_llm(config: LlmConfig) -> tuple[Any, Any]:
    """The model, with LoRA if `config` has it, and its tokenizer; in eval mode, on the CPU.

    Without LoRA nothing of it learns until it is told to; with LoRA only that does. ModelError if
    anything is missing or does not fit.
    """
    folder, gguf = _place(config.path)
    transformers = _transformers()
    from safetensors import SafetensorError

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, gguf_file=gguf, local_files_only=True, trust_remote_code=False
        )
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=gguf,
            dtype=getattr(torch, config.dtype),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=None if gguf else bool(list(folder.glob("*.safetensors"))),
            weights_only=True,
            ignore_mismatched_sizes=True,  # refused below, by name
            output_loading_info=True,
        )
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"the LLM {config.path} is refused: {refusal(error)}; take weights in safetensors"
        ) from None
    except ImportError as error:
        raise MissingExtra(str(error.name or first_line(error)), "train") from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the LLM {config.path} cannot be loaded ({first_line(error)}): fetch it again, or "
            f"take one that transformers {transformers.__version__} knows"
        ) from error
    _refuse_gaps(config.path, loading)
    model.requires_grad_(False)
    if config.lora is not None:
        model = add_lora(model, config.lora)
    return model.eval(), tokenizer


def add_lora(model: Any, config: LoraConfig) -> Any:
    """The model with LoRA in it, of which the update is zero at first; only LoRA learns.

    ConfigError if a target is the name of no linear layer of the model.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("peft", "train") from error

    linears = {name.split(".")[-1] for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    for target in config.targets:
        if target not in linears:
            raise ConfigError(
                f"LoRA target {target!r} is no linear layer of the LLM: "
                + did_you_mean(target, linears)
            )
    options = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides it, an int or not
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():  # peft asks transformers in words of an older version
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(model, options)


def merge_lora(model: Any) -> Any:
    """The plain LLM with its LoRA added into the weights. ModelError if it has none."""
    if not has_lora(model):
        raise ModelError("the LLM has no LoRA to merge")
    merged = model.merge_and_unload()
    # Read from GGUF it is plain by now, but transformers still refuses to save it as quantized.
    merged.hf_quantizer = None
    if hasattr(merged.config, "quantization_config"):
        del merged.config.quantization_config
    return merged


def has_lora(model: Any) -> bool:
    """Whether `add_lora` made this."""
    return hasattr(model, "merge_and_unload") and hasattr(model, "peft_config")


def plain(model: Any) -> Any:
    """The causal LM of transformers inside, be it wrapped by peft or not."""
    return model.get_base_model() if has_lora(model) else model


def llm_width(model: Any) -> int:
    """Width W of its embeddings.

    >>> from types import SimpleNamespace
    >>> llm_width(SimpleNamespace(get_input_embeddings=lambda: nn.Embedding(7, 4)))
    4
    """
    return int(model.get_input_embeddings().weight.shape[1])


def vocabulary_logits(model: Any, hidden: Tensor) -> Tensor:
    """Logits [..., V] of last hidden states [..., W], as the whole model would give them.

    Some models scale or squash them after the vocabulary head: Granite, Cohere, Gemma 2.
    """
    causal = plain(model)
    logits: Tensor = causal.get_output_embeddings()(hidden)
    config = causal.config
    if divisor := getattr(config, "logits_scaling", None):
        logits = logits / divisor
    if factor := getattr(config, "logit_scale", None):
        logits = logits * factor
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits


def _place(path: str) -> tuple[Path, str | None]:
    """The folder, and the name of a GGUF file in it."""
    place = located(path)
    if place.is_dir() and not (place / "config.json").exists():
        single = list(place.glob("*.gguf"))
        place = single[0] if len(single) == 1 else place
    if place.is_file():
        if place.suffix.lower() != ".gguf":
            raise ModelError(f"the LLM {path} is a file but no .gguf: give its folder")
        return place.parent, place.name
    if not place.is_dir():
        raise ModelError(f"the LLM {path} is not there: fetch it, and give its folder")
    config = place / "config.json"
    try:
        content = json.loads(config.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the LLM folder {path} has no readable config.json ({first_line(error)}): fetch it "
            f"again, or give the path of a .gguf file"
        ) from None
    if isinstance(content, dict) and "auto_map" in content:
        logger.warning("%s brings code of its own: it is not run", path)
    return place, None


def _refuse_gaps(path: str, loading: dict[str, Any]) -> None:
    faults = {
        "missing": sorted(map(str, loading.get("missing_keys") or ())),
        "unexpected": sorted(map(str, loading.get("unexpected_keys") or ())),
        "of a wrong shape": sorted(str(one) for one in loading.get("mismatched_keys") or ()),
        "unreadable": sorted(map(str, loading.get("error_msgs") or ())),
    }
    found = [f"{kind}: {listed(names)}" for kind, names in faults.items() if names]
    if found:
        raise ModelError(
            f"the weights of the LLM {path} do not fit its config.json ({'; '.join(found)}): "
            f"fetch both again"
        )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", "train") from error
    return transformers
