"""Released layouts with small random weights: loaded exactly, and every fault named.

No released weights are read here: only their layout, names and full-size shapes are tested.
"""

from __future__ import annotations

import json
import shutil
from types import MappingProxyType

import pytest
import torch
from tests.models import folders
from tests.tiny import tiny_llm

from mooer.errors import ModelError
from mooer.models.adapter import AdapterConfig, build_adapter
from mooer.models.encoders.sanm import SanmConfig, SanmEncoder
from mooer.models.llm import has_lora
from mooer.models.load import load, save
from mooer.models.released import ReleasedOptions, checksums, inspect, load_released
from mooer.models.released.pieces import FULL_ADAPTERS, FULL_ENCODER

IDS = torch.tensor([[5, 6, 7, 200]])
ANY = ReleasedOptions(check_md5=False)
TASKS = ("asr", "ast", "asr_ast_mtl")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("released") / "pretrained_models"
    folders.save_mooer(root, TASKS)
    return root


@pytest.fixture
def root(whole, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(whole, tmp_path / "pretrained_models")


def edit(path, change):
    """Change the tensors of a pickled file."""
    tensors = dict(torch.load(path, weights_only=True))
    change(tensors)
    torch.save(tensors, path)


def options(task, **others):
    return ReleasedOptions(task=task, check_md5=False, **others)


@pytest.mark.parametrize(("seed", "task"), list(enumerate(TASKS)))
def test_each_task_loads_exactly(whole, seed, task):
    model = load_released(whole, options(task))
    assert model.template == "mooer"
    assert model.embedding_ms == 120
    for name, tensor in folders.random_encoder().state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], tensor)
    for name, tensor in folders.random_adapter(seed=seed).state_dict().items():
        assert torch.equal(model.adapter.state_dict()[name], tensor)
    adapted = folders.random_lora(tiny_llm(), seed=seed)
    assert not has_lora(model.llm)
    torch.testing.assert_close(model.llm(IDS).logits, adapted(IDS).logits, rtol=0, atol=1e-4)
    apart = load_released(whole, options(task, merge=False))
    assert has_lora(apart.llm)
    assert torch.equal(apart.llm(IDS).logits, adapted(IDS).logits)
    lora = apart.config.llm.lora
    assert (lora.rank, lora.alpha, lora.dropout, len(lora.targets)) == (4, 16.0, 0.05, 7)


def test_a_released_model_is_saved_and_loaded_in_our_layout(whole, tmp_path):
    for merge in (True, False):
        model = load_released(whole, options("asr", merge=merge))
        save(model, tmp_path / str(merge))
        again = load(tmp_path / str(merge))
        assert torch.equal(again.llm(IDS).logits, model.llm(IDS).logits)
        assert torch.equal(again.encoder.after_norm.weight, model.encoder.after_norm.weight)
        report = inspect(tmp_path / str(merge))
        assert report.usable, report
        assert report.kind == "a speech LLM saved by mooer"
        assert {p.name for p in report.pieces} == {"encoder", "adapter", "LLM"} | (
            set() if merge else {"LoRA"}
        )


def test_a_task_folder_finds_what_lies_beside_it(whole):
    model = load_released(whole / "ast", ANY)
    assert torch.equal(model.adapter.linear1.weight, folders.random_adapter(seed=1).linear1.weight)


def test_all_in_one_folder(whole, tmp_path):
    flat = tmp_path / "MooER-S2ST"
    shutil.copytree(whole / "paraformer_encoder", flat)
    shutil.copy(whole / "ast" / "adapter_project.pt", flat)
    shutil.copytree(whole / "ast" / "lora_weights", flat / "lora")
    shutil.copytree(whole / "Qwen2-7B-Instruct", flat / "llm")
    assert torch.equal(
        load_released(flat, ANY).llm(IDS).logits,
        load_released(whole, options("ast")).llm(IDS).logits,
    )


def test_what_to_choose_is_asked_for(whole, root):
    with pytest.raises(ModelError, match="several tasks, asr, asr_ast_mtl, ast: name one"):
        load_released(whole, ANY)
    with pytest.raises(ModelError, match="no task 'asr_ats': did you mean asr"):
        load_released(whole, options("asr_ats"))
    shutil.rmtree(root / "Qwen2-7B-Instruct")
    with pytest.raises(ModelError, match="holds no LLM: put the LLM it was trained with there"):
        load_released(root, options("asr"))
    llm = str(whole / "Qwen2-7B-Instruct")
    assert load_released(root, options("asr", llm=llm)).config.llm.path == llm
    with pytest.raises(ModelError, match="holds no task"):
        load_released(root / "paraformer_encoder", ANY)
    shutil.rmtree(root / "paraformer_encoder")
    with pytest.raises(ModelError, match=r"holds no paraformer_encoder/paraformer-encoder\.pth"):
        load_released(root, options("asr", llm=llm))
    encoder = str(whole / "paraformer_encoder")
    assert load_released(root, options("asr", llm=llm, encoder=encoder)).encoder.width == 16


def test_widths_that_differ_are_one_sentence(root, tmp_path):
    folders.save_llm(tmp_path / "wide", width=48)
    with pytest.raises(ModelError, match=r"embeddings of width 32, but the LLM .*wide reads 48"):
        load_released(root, options("asr", llm=str(tmp_path / "wide")))
    shutil.rmtree(root / "Qwen2-7B-Instruct")
    shutil.move(tmp_path / "wide", root / "wide")
    with pytest.raises(ModelError, match=r"width 32, but .* holds wide of width 48"):
        load_released(root, options("asr"))
    report = inspect(root, check_md5=False)
    assert not report.usable
    assert any("holds wide of width 48" in problem for problem in report.problems)


ADAPTER = "asr/adapter_project.pt"
ENCODER = "paraformer_encoder/paraformer-encoder.pth"
LORA = "asr/lora_weights/adapter_model.bin"
A = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (ADAPTER, lambda t: t.pop("encoder_projector.linear2.bias"), "missing: 1, encoder_proj"),
        (ADAPTER, lambda t: t.update(epoch=torch.ones(1)), "unexpected: 1, epoch"),
        (
            ADAPTER,
            lambda t: t.update({"encoder_projector.linear1.bias": torch.ones(3)}),
            r"linear1\.bias \[3\] instead of \[24\]",
        ),
        (
            ADAPTER,
            lambda t: t["encoder_projector.linear2.weight"].fill_(torch.nan),
            r"not finite: 1, encoder_projector\.linear2\.weight",
        ),
        (ENCODER, lambda t: t.pop("encoders.0.norm2.bias"), r"missing: 1, encoders\.0\.norm2"),
        (ENCODER, lambda t: t["after_norm.bias"].fill_(torch.inf), "not finite: 1, after_norm"),
        (ENCODER, lambda t: t.update({"decoder.x": torch.ones(1)}), r"unexpected: 1, decoder\.x"),
        (
            ENCODER,
            lambda t: t.update({"encoders.0.norm1.bias": torch.ones(3)}),
            r"norm1\.bias \[3\] instead of \[16\]",
        ),
        (LORA, lambda t: t.pop(A), r"missing: 1, .*layers\.1\.self_attn\.q_proj\.lora_A"),
        (LORA, lambda t: t[A].fill_(torch.nan), r"not finite: 1, .*layers\.1\.self_attn"),
        (LORA, lambda t: t.update({A: torch.ones(4, 8)}), r"\[4, 8\] instead of \[4, 32\]"),
        (LORA, lambda t: t.update({A: torch.ones(2, 32)}), "several ranks.*rank 2: 1, .*rank 4"),
        (LORA, lambda t: t.update(bias=torch.ones(1)), "not of LoRA: 1, bias"),
        (
            LORA,
            lambda t: t.update({A.replace("layers.1", "layers.2"): torch.ones(4, 32)}),
            r"unexpected: 1, .*layers\.2",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_listed(root, file, change, message):
    edit(root / file, change)
    with pytest.raises(ModelError, match=message):
        load_released(root, options("asr"))
    assert not inspect(root, check_md5=False).usable


def renamed(old, new):
    def change(tensors):
        for name in list(tensors):
            tensors[name.replace(old, new, 1)] = tensors.pop(name)

    return change


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (ADAPTER, "", "module.", "begin with 'module.', which is not wanted there"),
        (ADAPTER, "encoder_projector.", "", "lack 'encoder_projector.' in front"),
        (ADAPTER, "encoder_projector.", "projector.", "linear1.weight"),
        (ENCODER, "", "encoder.", "begin with 'encoder.', which is not wanted there"),
        (ENCODER, "", "module.", "begin with 'module.', which is not wanted there"),
        (LORA, "base_model.model.", "", "begin with 'model.' instead of 'base_model.model.'"),
        (LORA, "", "llm.", "begin with 'llm.' instead of 'base_model.model.'"),
        (LORA, ".weight", ".default.weight", "not of LoRA"),
    ],
)
def test_a_wrong_prefix_is_named(root, file, old, new, message):
    edit(root / file, renamed(old, new))
    with pytest.raises(ModelError, match=message):
        load_released(root, options("asr"))
    assert not inspect(root, check_md5=False).usable


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("r", 8, "says rank 8, but the tensors have 4"),
        ("target_modules", ["q_proj"], "says targets q_proj, but the tensors are of down_proj"),
        ("lora_alpha", None, "says no lora_alpha"),
        ("use_dora", True, "sets use_dora to True: only plain LoRA is read"),
        ("use_rslora", True, "sets use_rslora"),
        ("rank_pattern", {"q_proj": 8}, "sets rank_pattern"),
        ("modules_to_save", ["lm_head"], "sets modules_to_save"),
        ("peft_type", "IA3", "sets peft_type to 'IA3'"),
    ],
)
def test_lora_options_that_the_tensors_contradict(root, key, value, message):
    path = root / "asr" / "lora_weights" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ModelError, match=message):
        load_released(root, options("asr"))


@pytest.mark.parametrize("file", [ADAPTER, ENCODER, LORA])
def test_code_is_refused_and_named(root, file):
    class Code:
        def __reduce__(self):
            return (eval, ("print('code ran')",))

    torch.save({"encoder_projector.linear1.weight": Code()}, root / file)
    with pytest.raises(ModelError, match="refused: the pickle asks for eval to be run"):
        load_released(root, options("asr"))
    assert any("asks for eval" in p for p in inspect(root, check_md5=False).problems)


def test_files_that_are_missing(root):
    (root / "paraformer_encoder" / "am.mvn").unlink()
    with pytest.raises(ModelError, match=r"am\.mvn is missing"):
        load_released(root, options("asr"))
    folders.save_cmvn(root / "paraformer_encoder" / "am.mvn", 48)
    with pytest.raises(ModelError, match="normalises 48 values, but the front end makes 56"):
        load_released(root, options("asr"))
    assert any("normalises 48" in p for p in inspect(root, check_md5=False).problems)
    (root / LORA).unlink()
    with pytest.raises(ModelError, match=r"neither adapter_model\.safetensors nor adapter_model"):
        load_released(root, options("asr"))
    shutil.rmtree(root / "asr" / "lora_weights")
    with pytest.raises(ModelError, match="lora_weights is missing"):
        load_released(root, options("asr"))


def test_md5_is_compared_unless_told_otherwise(root, monkeypatch):
    with pytest.raises(ModelError, match=r"am\.mvn has md5 \w{32} instead of dc1dbdeeb896.*turn"):
        load_released(root, ReleasedOptions(task="asr"))
    encoder = root / "paraformer_encoder"
    sums = {name: checksums.md5_of(encoder / name) for name in checksums.ENCODER_FILES}
    monkeypatch.setattr(checksums, "ENCODER_FILES", sums)
    with pytest.raises(ModelError, match=r"adapter_project\.pt has md5 .* \(all known releases\)"):
        load_released(root, ReleasedOptions(task="asr"))
    places = list(checksums.RELEASES[0].files)
    files = {place: checksums.md5_of(root / "asr" / place) for place in places}
    release = checksums.Release("mine", "asr", MappingProxyType(files))
    monkeypatch.setattr(checksums, "RELEASES", (*checksums.RELEASES, release))
    load_released(root, ReleasedOptions(task="asr"))
    edit(root / LORA, lambda t: t[A].zero_())
    with pytest.raises(ModelError, match=r"adapter_model\.bin has md5 .* \(mine asr\)"):
        load_released(root, ReleasedOptions(task="asr"))
    load_released(root, options("asr"))


def test_a_release_without_published_md5_is_known_by_its_width(root, monkeypatch):
    from mooer.models.released.load import task_checks

    assert not any(check.good for check in task_checks(root / "asr", 3584))
    checks = task_checks(root / "asr", 1536)
    assert len(checks) == 3
    assert all(check.good and not check.wanted for check in checks)


def test_inspect_counts_what_is_there(whole):
    report = inspect(whole, check_md5=False)
    assert report.usable, report
    assert report.kind == "a speech LLM in MooER's layout, tasks: asr, asr_ast_mtl, ast"
    names = [piece.name for piece in report.pieces]
    assert names == ["encoder"] + ["adapter", "LoRA"] * 3 + ["LLM"]
    encoder, adapter, lora = report.pieces[:3]
    wanted = folders.random_encoder().state_dict()
    assert len(encoder.comparison.matched) == len(wanted)
    assert encoder.num_parameters == sum(t.numel() for t in wanted.values())
    assert "3 blocks of width 16 (not the released size)" in encoder.says
    assert "2 frames of 16 to 24 to 32" in adapter.says
    assert lora.says.startswith("rank 4, alpha 16, 7 targets")
    assert "2 layers" in lora.says
    with_md5 = inspect(whole)
    assert not with_md5.usable
    assert len(with_md5.files) == 2 + 3 * 3 + 4
    assert sum("has md5" in problem for problem in with_md5.problems) == len(with_md5.files)


def test_inspect_knows_parts_alone(whole, tmp_path):
    lora = inspect(whole / "asr" / "lora_weights")
    assert (lora.usable, lora.kind) == (True, "LoRA as peft writes it, without its LLM")
    edit_me = shutil.copytree(whole / "asr" / "lora_weights", tmp_path / "lora")
    edit(edit_me / "adapter_model.bin", lambda t: t.pop(A))
    spoiled = inspect(edit_me)
    assert not spoiled.usable
    assert spoiled.pieces[0].comparison.missing == (A,)
    llm = inspect(whole / "Qwen2-7B-Instruct", check_md5=False)
    assert (llm.usable, llm.kind) == (True, "an LLM as transformers writes it")
    assert llm.pieces[0].num_parameters == sum(p.numel() for p in tiny_llm().parameters())
    encoder = inspect(whole / "paraformer_encoder", check_md5=False)
    assert (encoder.usable, encoder.kind) == (True, "MooER's speech encoder")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("hi")
    other = inspect(tmp_path / "other")
    assert not other.usable
    assert "it holds notes.txt, but none of mooer.yaml" in other.problems[0]
    assert inspect(tmp_path / "absent").problems == [f"{tmp_path / 'absent'} is no folder"]


def test_an_encoder_of_another_size_is_said(whole, caplog):
    load_released(whole, options("asr"))
    assert "has 8440 parameters, the released one 157975648" in caplog.text


def test_full_size_parameters_are_those_of_the_released_files():
    with torch.device("meta"):
        encoder = SanmEncoder(SanmConfig())
        adapters = {w: build_adapter(AdapterConfig(), 512, w) for w in (3584, 1536)}
    count = {w: sum(p.numel() for p in a.parameters()) for w, a in adapters.items()}
    assert sum(p.numel() for p in encoder.parameters()) == FULL_ENCODER == 157_975_648
    assert count == FULL_ADAPTERS == {3584: 9_442_816, 1536: 5_246_464}
