"""Small random models in the folders and files that transformers and llama.cpp use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import torch
from peft import PeftModel
from tests.tiny import SPECIAL, tiny_llm
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from mooer.models.adapter import Adapter, AdapterConfig, build_adapter
from mooer.models.encoders.sanm import SanmConfig, SanmEncoder
from mooer.models.llm import LoraConfig, add_lora


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """264 ids: 256 bytes as byte-level BPE writes them, then the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<pad>"
    )


def save_llm(folder: Path, *, width: int = 32, seed: int = 0) -> Qwen2ForCausalLM:
    """Write a tiny Qwen2 and its tokenizer; returns the model."""
    model = tiny_llm(seed=seed, width=width)
    model.save_pretrained(folder)
    byte_level_tokenizer().save_pretrained(folder)
    return model


def save_gguf(path: Path, model: Qwen2ForCausalLM) -> None:
    """Write a Qwen2 as llama.cpp's converter lays it out, in float32."""
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    tokenizer = byte_level_tokenizer()
    tokens = [tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))]
    tokens += [f"[unused{i}]" for i in range(config.vocab_size - len(tokens) - 1)] + ["ab"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges(["a b"])  # without any, transformers takes it for another kind
    writer.add_token_types([1] * 256 + [3] * (len(tokens) - 257) + [1])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        stem, _, kind = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(stem)}.{kind}", tensor.to(torch.float32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def save_cmvn(path: Path, width: int) -> None:
    """Write am.mvn as Kaldi does."""
    shift = " ".join(["-0.5"] * width)
    scale = " ".join(["0.1"] * width)
    path.write_text(
        f"<Nnet> \n<Splice> {width} {width} \n[ 0 ]\n"
        f"<AddShift> {width} {width} \n<LearnRateCoef> 0 [ {shift} ]\n"
        f"<Rescale> {width} {width} \n<LearnRateCoef> 0 [ {scale} ]\n</Nnet> \n"
    )


def random_encoder(seed: int = 0) -> SanmEncoder:
    """MooER's encoder with all sizes small."""
    torch.manual_seed(seed)
    return SanmEncoder(SanmConfig(num_mels=8, width=16, ffn_width=24, num_blocks=3))


def random_adapter(out_width: int = 32, seed: int = 0) -> Adapter:
    """MooER's adapter over `random_encoder`."""
    torch.manual_seed(seed)
    return build_adapter(AdapterConfig(hidden_width=24), 16, out_width)


def random_lora(llm: Qwen2ForCausalLM, rank: int = 4, seed: int = 0) -> PeftModel:
    """LoRA of MooER's kind that changes something."""
    torch.manual_seed(seed)
    model = add_lora(llm, LoraConfig(rank=rank))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.normal_(std=0.1)
    return model.eval()


def save_mooer(root: Path, tasks: tuple[str, ...] = ("asr_ast_mtl",), *, width: int = 32) -> None:
    """Write `pretrained_models` as MooER's README lays it out, with small random weights."""
    encoder = root / "paraformer_encoder"
    encoder.mkdir(parents=True)
    save_cmvn(encoder / "am.mvn", 56)
    torch.save(random_encoder().state_dict(), encoder / "paraformer-encoder.pth")
    save_llm(root / "Qwen2-7B-Instruct", width=width)
    for seed, task in enumerate(tasks):
        (root / task).mkdir()
        adapter = random_adapter(width, seed).state_dict()
        named = {f"encoder_projector.{name}": t for name, t in adapter.items()}
        torch.save(named, root / task / "adapter_project.pt")
        lora = random_lora(tiny_llm(width=width), seed=seed)
        folder = root / task / "lora_weights"
        lora.save_pretrained(folder, safe_serialization=False, save_embedding_layers=False)
        options = json.loads((folder / "adapter_config.json").read_text())
        kept = {k: options[k] for k in _PEFT_0_5} | {"base_model_name_or_path": "/somewhere/Qwen2"}
        (folder / "adapter_config.json").write_text(json.dumps(kept))


_PEFT_0_5 = (  # what peft 0.5.0 wrote
    "auto_mapping",
    "bias",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "modules_to_save",
    "peft_type",
    "r",
    "revision",
    "target_modules",
    "task_type",
)


def save_deepspeed(root: Path, *, width: int = 32) -> None:
    """Write a checkpoint as DeepSpeed does under ZeRO-2, frozen weights left out."""
    step = root / "global_step7"
    step.mkdir(parents=True)
    (root / "latest").write_text("global_step7")
    adapter = random_adapter(width).state_dict()
    module = {f"encoder_projector.{name}": t for name, t in adapter.items()}
    for name, tensor in random_lora(tiny_llm(width=width)).state_dict().items():
        if ".lora_" in name:
            module[f"llm.{name}"] = tensor
    states = {
        "module": module,
        "buffer_names": [],
        "optimizer": None,
        "param_shapes": [{name: tensor.shape for name, tensor in module.items()}],
        "lr_scheduler": {"last_batch_iteration": 6},
        "sparse_tensor_module_names": set(),
        "global_steps": 7,
        "dp_world_size": 2,
        "ds_config": {"train_micro_batch_size_per_gpu": 8},
        "ds_version": "0.14.0",
    }
    torch.save(states, step / "mp_rank_00_model_states.pt")
    for rank in range(2):
        (step / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").write_bytes(b"not read")


def save_zero3(root: Path, *, num: int = 2) -> None:
    """Cut what `save_deepspeed` wrote into the shards of ZeRO-3, with frozen weights of the LLM."""
    save_deepspeed(root)
    step = root / "global_step7"
    whole = torch.load(step / "mp_rank_00_model_states.pt", weights_only=True)
    shutil.rmtree(step)
    step.mkdir()
    frozen = {"llm.base_model.model.model.norm.weight": torch.ones(33, dtype=torch.bfloat16)}
    for rank in range(num):
        flat = torch.cat([_share(tensor, rank, num) for tensor in whole["module"].values()])
        states = whole | {
            "frozen_param_shapes": {name: tensor.shape for name, tensor in frozen.items()},
            "frozen_param_fragments": {n: _share(t, rank, num) for n, t in frozen.items()},
            "shared_params": {},
        }
        moments = {"zero_stage": 3, "partition_count": num, "fp32_flat_groups": [flat]}
        name = f"zero_pp_rank_{rank}_mp_rank_00"
        torch.save(states | {"module": {}}, step / f"{name}_model_states.pt")
        torch.save({"optimizer_state_dict": moments}, step / f"bf16_{name}_optim_states.pt")


def _share(tensor: torch.Tensor, rank: int, num: int) -> torch.Tensor:
    size = -(-tensor.numel() // num)
    share = tensor.flatten()[rank * size : (rank + 1) * size]
    return torch.nn.functional.pad(share, (0, size - len(share)), value=7.0)
