"""Our training loop beside transformers' Trainer: tokens a second at equal loss; where time goes.

    python bench/train.py            # speed, on tones made in runs/bench
    PYTHONPATH=. python bench/train.py --memory   # and hours, on paper; formula checked

Both learn the same model from the same recordings with the same AdamW, on one CPU thread. The
Trainer gets what one writes without this package: batches in random order padded to the longest,
and a model whose forward puts every position through the vocabulary head. Features are computed
once and kept, so that both measure training alone. A token is an id of prompt, audio or answer;
padding does not count. Our steps are shorter, so more of them (--lead) are taken, to reach the
Trainer's held-out loss or a lower one: then the seconds are those at equal loss.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mooer.batch import IGNORE, Batch
from mooer.config import from_mapping
from mooer.data.collate import Features
from mooer.data.stages import Example
from mooer.data.supervision import read_manifest
from mooer.train import build as building
from mooer.train import journal
from mooer.train.recipe import Recipe
from mooer.train.run import Parts, Run

VOCABULARY = 32_000  # Qwen2 has 151,936: there the gain is larger


class Cached:
    """Features of every recording, computed once, for both sides."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.kept: dict[str, Features] = {}

    def __call__(self, examples: Any) -> list[tuple[Features]]:
        """Features, from memory if they are there."""
        for example in examples:
            if example.utterance.id not in self.kept:
                self.kept[example.utterance.id] = self.reader.read(example)
        return [(self.kept[example.utterance.id],) for example in examples]


def recipe(folder: Path, steps: int) -> Recipe:
    return from_mapping(
        Recipe,
        {
            "model": {
                "encoder": {
                    "name": "sanm",
                    "config": {
                        "num_mels": 40, "num_stack": 3, "stride": 3, "width": 128,
                        "ffn_width": 256, "num_blocks": 3, "kernel": 5,
                    },
                },
                "adapter": {"hidden_width": 256},
                "llm": {"path": str(folder / "llm"), "lora": {"rank": 32, "alpha": 64.0}},
            },
            "data": {
                "tones": {
                    "folder": str(folder), "num_train": 1200, "num_validation": 100,
                    "max_digits": 12, "llm_width": 256, "llm_layers": 4,
                },
                "train": [{"manifest": str(folder / "train.jsonl")}],
                "budget": {"max_frames": 1100, "max_utterances": 32},
                "num_workers": 0,
            },
            "stages": [
                {
                    "name": "all", "train": ["encoder", "adapter", "lora"], "steps": steps,
                    "lr": 1e-3, "schedule": {"name": "linear"},
                }
            ],
            "parallel": {"device": "cpu", "num_threads": 1},
        },
    )  # fmt: skip


def widen(folder: Path) -> None:
    """Give the toy LLM a vocabulary of a real one's order."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder / "llm")
    if model.config.vocab_size < VOCABULARY:
        torch.manual_seed(0)
        model.resize_token_embeddings(VOCABULARY, mean_resizing=False)
        model.save_pretrained(folder / "llm")


def loss_of(model: Any, batches: list[Batch]) -> float:
    """Loss per learned token over held-out batches."""
    model.eval()
    with torch.no_grad():
        found = [model(batch) for batch in batches]
    return float(sum(f.loss for f in found) / sum(f.num_tokens for f in found))


class Quiet:
    """Tells nobody."""

    def step(self, stage: Any, step: int, num_steps: int, result: Any) -> None:
        """Nothing."""

    def validation(self, name: str, step: int, values: dict[str, float]) -> None:
        """Nothing."""


def ours(chosen: Recipe, held_out: list[Example]) -> dict[str, Any]:
    """Our loop. Its own journal says how long each part of a step took."""
    kept: list[Parts] = []

    def build(asked: Recipe) -> Parts:
        parts = building.build(asked)
        collate = building._collator(asked, parts.model)
        cached = replace(collate, read=Cached(collate.read))
        for i in range(0, len(held_out), 50):
            cached.read(held_out[i : i + 50])
        cached.read([Example(u) for u in read_manifest(asked.data.train[0].manifest)])
        kept.append(
            replace(parts, load=lambda stream: ((cached(items), at) for items, at in stream))
        )
        return kept[-1]

    with tempfile.TemporaryDirectory() as out:
        Run(chosen, Path(out), build=build, score=_no_score, report=Quiet()).start()
        rows = list(journal.read(Path(out)))
    part = {
        name: sum(row[f"{name}_s"] for row in rows)
        for name in ("wait", "forward", "backward", "update", "step")
    }
    batches = held_out_batches(chosen, kept[-1].model, held_out)
    return {
        "steps": len(rows),
        "tokens": sum(row["positions"] for row in rows),
        "places": sum(row["places"] for row in rows),
        "seconds": part["step"],
        "parts": part,
        "loss": loss_of(kept[-1].model, batches),
    }


def _no_score(*args: Any) -> float:
    return 0.0


def held_out_batches(chosen: Recipe, model: Any, held_out: list[Example]) -> list[Batch]:
    collate = building._collator(chosen, model)
    return [collate(held_out[i : i + 10]) for i in range(0, len(held_out), 10)]


class Plain(nn.Module):
    """The same network as one writes it first: every position through the vocabulary head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.speech = model

    def forward(self, batch: Batch) -> dict[str, Any]:
        """The loss as the Trainer wants it."""
        logits = self.speech.llm(
            inputs_embeds=self.speech.embed(batch), attention_mask=batch.mask.long(),
            use_cache=False,
        ).logits  # fmt: skip
        flat = logits[:, :-1].reshape(-1, logits.shape[-1]).float()
        return {"loss": cross_entropy(flat, batch.labels[:, 1:].reshape(-1), ignore_index=IGNORE)}


def theirs(chosen: Recipe, held_out: list[Example], batch_size: int) -> dict[str, Any]:
    """Train by transformers' Trainer, batches of a fixed number of recordings in random order."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    parts = building.build(chosen)
    collate = building._collator(chosen, parts.model)
    examples = [Example(u) for u in read_manifest(chosen.data.train[0].manifest)]
    cached = replace(collate, read=Cached(collate.read))
    cached.read(examples)
    counts = {"tokens": 0, "places": 0}

    def batch_of(rows: list[Example]) -> dict[str, Batch]:
        batch = cached(rows)
        counts["tokens"] += int(batch.mask.sum())
        counts["places"] += batch.mask.numel()
        return {"batch": batch}

    parts.model.encoder.requires_grad_(True)
    clock = {"began": 0.0, "ended": 0.0}

    class Clock(TrainerCallback):
        def on_train_begin(self, *args: Any, **options: Any) -> None:
            clock["began"] = time.perf_counter()

        def on_train_end(self, *args: Any, **options: Any) -> None:
            clock["ended"] = time.perf_counter()

    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            out, per_device_train_batch_size=batch_size, max_steps=chosen.stages[0].steps,
            learning_rate=chosen.stages[0].lr, lr_scheduler_type="linear", weight_decay=0.0,
            max_grad_norm=1.0, use_cpu=True, report_to=[], save_strategy="no",
            logging_strategy="no", remove_unused_columns=False, disable_tqdm=True, seed=0,
        )  # fmt: skip
        Trainer(
            Plain(parts.model), arguments, train_dataset=examples,  # type: ignore[arg-type]
            data_collator=batch_of, callbacks=[Clock()],
        ).train()  # fmt: skip
    batches = held_out_batches(chosen, parts.model, held_out)
    return {
        "steps": chosen.stages[0].steps,
        **counts,
        "seconds": clock["ended"] - clock["began"],
        "loss": loss_of(parts.model, batches),
    }


def compare(steps: int, lead: float) -> None:
    torch.set_num_threads(1)
    folder = Path("runs/bench")
    chosen = recipe(folder, steps)
    building.make(chosen.data.tones, chosen.model.template)
    widen(folder)
    held_out = [Example(u) for u in read_manifest(folder / "validation.jsonl")]
    mine = ours(recipe(folder, round(steps * lead)), held_out)
    other = theirs(chosen, held_out, 16)
    print("| loop | tokens/s | padding | steps | seconds | held-out loss |")
    print("|---|---|---|---|---|---|")
    for name, found in (("transformers Trainer", other), ("mooer", mine)):
        print(
            f"| {name} | {found['tokens'] / found['seconds']:.0f} | "
            f"{1 - found['tokens'] / found['places']:.0%} | {found['steps']} | "
            f"{found['seconds']:.1f} | {found['loss']:.3f} |"
        )
    print("\n| part of a step of ours | share |\n|---|---|")
    for name in ("wait", "forward", "backward", "update"):
        print(f"| {name} | {mine['parts'][name] / mine['parts']['step']:.0%} |")
    print(json.dumps({"mooer": mine, "trainer": other}, default=float))


# --- on paper -----------------------------------------------------------------------------------

GB = 1e9
MODELS = {  # parameters of the LLM, layers, width, LoRA of rank 64 on all linears
    "0.5B": (494e6, 24, 896, 35e6),
    "1.5B": (1.54e9, 28, 1536, 74e6),
    "7B": (7.62e9, 28, 3584, 161e6),
}
SHAPES = {"0.5B": (4864, 14, 2), "1.5B": (8960, 12, 2), "7B": (18944, 28, 4)}  # ffn, heads, groups
ENCODER, ADAPTER, VOCAB = 158e6, 9.4e6, 151_936
INSIDE = 140  # bytes kept of a position and width inside a layer: LoRA reads float32 copies
HEAD = 4  # bytes kept of a learned id and logit; its gradients pass with 6 more


def bytes_of(strategy: str, frozen: float, trained: float, num: int) -> float:
    """Parameters, gradients and AdamW's moments on one of `num` GPUs.

    Frozen parameters in bfloat16, 2 bytes. What learns: float32 master, gradient and two moments,
    4 + 4 + 8 bytes. ZeRO-2 shares out gradients and moments, ZeRO-3 and FSDP everything.
    """
    if strategy == "zero2":
        return 2 * frozen + 4 * trained + 12 * trained / num
    if strategy in ("zero3", "fsdp"):
        return (2 * frozen + 16 * trained) / num
    return 2 * frozen + 16 * trained


def activations(layers: float, width: float, positions: float, learned: float) -> float:
    """With activation checkpointing: the input of each layer, one layer's inside, the logits."""
    inputs, inside = 2 * layers * positions * width, INSIDE * positions * width
    return inputs + inside + (HEAD + 6) * learned * VOCAB


def paper() -> None:
    print("| LLM | ZeRO-2 | ZeRO-3 | FSDP2 | activations | h at 312 TFLOPS | h at 100 TFLOPS |")
    print("|---|---|---|---|---|---|---|")
    for name, (size, layers, width, lora) in MODELS.items():
        trained = lora + ADAPTER + ENCODER
        row = [bytes_of(s, size, trained, 8) / GB for s in ("zero2", "zero3", "fsdp")]
        positions, learned = 144 / 0.12 + 48 * 30, 144 * 5.0  # a batch of 144 s in 16 to 48 parts
        act = activations(layers, width, positions, learned) / GB
        print(
            f"| {name} | {row[0]:.1f} GB | {row[1]:.1f} GB | {row[2]:.1f} GB | {act:.1f} GB | "
            f"{hours(size):.1f} | {hours(size, peak=100e12):.1f} |"
        )


def hours(size: float, *, peak: float = 312e12, used: float = 0.4) -> float:
    """Hours of one pass over 5,000 h of speech on 8 GPUs of that peak (bf16) at 40 % of it.

    6 seconds a recording: 50 embeddings, 30 ids of prompt and 30 of answer. A frozen LLM costs
    forward and the gradient to its inputs, 2 + 2 FLOPs a parameter and position, and 2 more for
    the recomputation of activation checkpointing; the encoder learns, 8 at 17 frames a second.
    """
    recordings = 5_000 * 3600 / 6
    flops = recordings * ((50 + 30 + 30) * 6 * size + 6 * 16.7 * 8 * ENCODER)
    return flops / (8 * peak * used) / 3600


def check() -> None:
    """The formula of parameters, gradients and moments against a small run, in bytes of tensors."""
    from tests.train.stand import StandIn

    from mooer.train.parameters import freeze, names_of, select

    model = StandIn()
    learning = freeze(model, select(names_of(model), ["encoder", "adapter"]))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    learns = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learns)
    for parameter in learns:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moments = [t for s in optimizer.state.values() for t in s.values() if t.ndim]
    held = [*model.parameters(), *(p.grad for p in learns), *moments]
    measured = sum(t.numel() * t.element_size() for t in held)
    formula = bytes_of("ddp", frozen, trained, 1)
    print(f"{len(learning)} tensors learn: measured {measured} bytes, formula {formula:.0f}")
    assert np.isclose(measured, formula, rtol=0.01)


def check_activations() -> None:
    """The formula of what is kept for the backward pass against one layer and head of each LLM."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from mooer.models.llm import LoraConfig, add_lora

    positions, learned, vocabulary = 200, 20, 1000
    for name, (_, _, width, _) in MODELS.items():
        ffn, heads, groups = SHAPES[name]
        config = Qwen2Config(
            hidden_size=width, intermediate_size=ffn, num_attention_heads=heads,
            num_key_value_heads=groups, num_hidden_layers=1, vocab_size=vocabulary,
            attn_implementation="sdpa",
        )  # fmt: skip
        llm = add_lora(Qwen2ForCausalLM(config).bfloat16(), LoraConfig(rank=64)).get_base_model()
        block = llm.model.layers[0]
        head = torch.randn(width, vocabulary, dtype=torch.bfloat16)
        hidden = torch.randn(1, positions, width, dtype=torch.bfloat16, requires_grad=True)
        places = llm.model.rotary_emb(hidden, torch.arange(positions)[None])
        own = {p.untyped_storage().data_ptr() for p in llm.parameters()} | {head.data_ptr()}
        inside = kept_bytes(partial(block, hidden, position_embeddings=places), own)
        logits = kept_bytes(partial(answer_loss, hidden[0, :learned], head), own)
        print(
            f"{name}: a layer keeps {inside / positions / width:.1f} bytes a position and width, "
            f"the formula says {INSIDE}; the head {logits / learned / vocabulary:.1f}, "
            f"the formula {HEAD}"
        )


def answer_loss(hidden: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
    return cross_entropy((hidden @ head).float(), torch.arange(len(hidden)))


def kept_bytes(run: Any, own: set[int]) -> int:
    """Bytes that autograd keeps of a forward pass, parameters left out."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = run()
    assert found is not None
    return sum(kept.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument(
        "--lead", type=float, default=1.75, help="our steps for each of the Trainer's"
    )
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    if options.memory:
        check()
        check_activations()
        paper()
    else:
        compare(options.steps, options.lead)
