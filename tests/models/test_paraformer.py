"""Paraformer against the numbers of the funasr package, and its released folder with its faults."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from tests.models import paraformer_folder
from tests.models.paraformer_folder import NAMES, SANM, TOOL, golden_network, read_golden

from mooer.engines.onnx_file import Graph
from mooer.engines.paraformer import ParaformerOnnx
from mooer.errors import ModelError
from mooer.export.paraformer import export_onnx, write_onnx
from mooer.models.cif import gather
from mooer.models.cif_times import token_times
from mooer.models.funasr_folder import ONNX, QUANTISED
from mooer.models.paraformer import FULL, Paraformer, ParaformerConfig, load
from mooer.models.paraformer_folder import holds_paraformer, read_settings, read_tokens
from mooer.models.released import inspect
from mooer.models.tensors import shapes_of

UTTERANCES = [SANM.features()[i, :n] for i, n in enumerate(SANM.LENGTHS)]


@pytest.fixture(scope="module")
def golden():
    return read_golden()


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def whole(name, tmp_path_factory):
    return paraformer_folder.save(tmp_path_factory.mktemp("paraformer") / "model", name)


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(whole, tmp_path / "model")


@pytest.fixture(scope="module")
def exported(whole, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "model"
    export_onnx(whole, out, ("float32", "int8"))
    return out


def edit(folder, change):
    """Change config.yaml."""
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    change(settings)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


def weights_of(golden, name, i):
    """What tokens are timed by."""
    key = "alphas" if name == "Paraformer" else "us_alphas"
    return golden.get(f"{name}_{i}_{key}")


def assert_same(said, golden, name, atol):
    for i, one in enumerate(said):
        assert len(one.log_probs) == golden[f"{name}_{i}_count"]
        if len(one.log_probs):
            np.testing.assert_allclose(one.log_probs, golden[f"{name}_{i}_log_probs"], atol=atol)
            np.testing.assert_allclose(one.weights, weights_of(golden, name, i), atol=atol)


# --- the network ------------------------------------------------------------------------------


def test_it_says_what_funasr_says(golden, name, whole):
    network = load(whole)
    assert sorted(network.state_dict()) == golden[f"{name}_keys"].tolist()
    assert_same(network.say(UTTERANCES), golden, name, 1e-4)  # all in one batch, which changes none


def silent(network):
    """Hears no token."""
    with torch.no_grad():
        network.predictor.cif_output.bias[:] = -30
    return network


def test_silence_has_no_token(name, tmp_path):
    network = silent(golden_network(name))
    write_onnx(network, tmp_path / ONNX)
    for said in (network.say(UTTERANCES), ParaformerOnnx(tmp_path / ONNX).say(UTTERANCES)):
        for one in said:
            assert one.log_probs.shape == (0, len(TOOL.TOKENS))
            assert np.isfinite(one.weights).all()


def test_padding_changes_nothing_even_where_it_is_nan(name):
    network = golden_network(name)
    padded = torch.full((2, 30, 560), torch.nan)
    lengths = torch.tensor([len(one) for one in UTTERANCES[2:]])
    for row, one in zip(padded, UTTERANCES[2:], strict=True):
        row[: len(one)] = torch.from_numpy(one)
    with torch.no_grad():
        log_probs, counts, _ = network(padded, lengths)
    for row, count, one in zip(log_probs.numpy(), counts.tolist(), UTTERANCES[2:], strict=True):
        [alone] = network.say([one])
        np.testing.assert_allclose(row[:count], alone.log_probs, atol=1e-4)


def test_the_default_has_the_released_size():
    with torch.device("meta"):
        network = Paraformer(ParaformerConfig())
    assert sum(p.numel() for p in network.parameters()) == FULL == 220_084_533
    shapes = shapes_of(network.state_dict())
    assert shapes["decoder.embed.0.weight"] == (8404, 512)
    assert shapes["predictor.cif_conv1d.weight"] == (512, 512, 3)
    assert "decoder.decoders.15.src_attn.linear_k_v.weight" in shapes


def test_what_is_left_over_goes_to_the_next_token():
    hidden = torch.eye(4)[None]
    weights = torch.tensor([[0.6, 0.6, 0.5, 0.3]])
    shares = gather(hidden, weights.double().cumsum(1), 2)[0]
    torch.testing.assert_close(shares, torch.tensor([[0.6, 0.4, 0.0, 0.0], [0.0, 0.2, 0.5, 0.3]]))


# --- times ------------------------------------------------------------------------------------


def test_times_are_those_of_funasr(golden, name):
    compared = 0
    for i in range(len(UTTERANCES)):
        wanted = golden.get(f"{name}_{i}_times_ms")
        if wanted is None or not len(wanted):
            continue
        part = 1 if name == "Paraformer" else 3
        found = token_times(weights_of(golden, name, i), len(wanted), 0.06 / part)
        np.testing.assert_allclose(
            1000 * np.array(found), np.maximum(wanted, 0), atol=1.01
        )  # funasr cuts to whole ms
        compared += len(wanted)
    assert compared > 10


def test_times_of_nothing():
    assert token_times(np.zeros(5, np.float32), 0, 0.06) == []
    [(start_s, end_s)] = token_times(np.zeros(5, np.float32), 1, 0.06)
    assert 0 <= start_s <= end_s <= 0.3


def test_a_long_token_ends_in_silence():
    weights = np.zeros(60, np.float32)
    weights[[3, 30, 33]] = 1.0
    found = token_times(weights, 2, 0.06)
    np.testing.assert_allclose(found, [(0.09, 0.81), (1.71, 2.745)], atol=1e-6)
    weights[[30, 33]] = 0, 1
    weights[8] = 1.0
    found = token_times(weights, 2, 0.06)  # the last one is cut, too
    np.testing.assert_allclose(found, [(0.09, 0.39), (0.39, 1.11)], atol=1e-6)


# --- the folder -------------------------------------------------------------------------------


def test_a_folder_is_recognised_and_found_whole(name, whole):
    assert holds_paraformer(whole)
    report = inspect(whole)
    assert report.kind == name
    assert report.usable, report.problems
    assert "3 blocks of width 32, decoder of 3, 39 tokens" in report.pieces[0].says


def test_weights_that_end_early_are_seen(folder):
    tensors = torch.load(folder / "model.pt", weights_only=True)
    (folder / "model.pt").unlink()  # it may be mapped by an earlier test
    for key in [key for key in tensors if key.startswith("decoder.decoders2.")]:
        del tensors[key]
    torch.save(tensors, folder / "model.pt")
    with pytest.raises(ModelError, match=r"missing: \d+, decoder\.decoders2\.0\."):
        load(folder)


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("predictor_conf", "threshold", 0.9, "another weight than 1"),
        ("predictor_conf", "tail_threshold", "x", "tail_threshold as a number"),
        ("decoder_conf", "sanm_shfit", 5, "shifts the memory of its decoder"),
        ("decoder_conf", "num_blocks", None, "num_blocks as a whole number"),
    ],
)
def test_settings_that_are_not_read(folder, section, key, value, words):
    edit(folder, lambda settings: settings[section].update({key: value}))
    with pytest.raises(ModelError, match=words):
        read_settings(folder)


def test_other_kinds_of_paraformer_are_refused(folder, name):
    edit(folder, lambda settings: settings.update(predictor="CifPredictor"))
    with pytest.raises(ModelError, match=f"'CifPredictor', but {name} is read with"):
        read_settings(folder)
    edit(folder, lambda settings: settings.update(model="SeacoParaformer"))
    assert not holds_paraformer(folder)
    with pytest.raises(ModelError, match="'SeacoParaformer', not of Paraformer or Bi"):
        read_settings(folder)


def test_a_vocabulary_of_another_model_is_refused(folder):
    tokens = read_tokens(folder)
    assert tokens.names[3] == "今"
    with pytest.raises(ModelError, match="39 tokens, but the network 41"):
        tokens.require(41)
    (folder / "tokens.json").write_text(json.dumps(["<pad>", "a"]))
    with pytest.raises(ModelError, match="is not Paraformer's vocabulary"):
        read_tokens(folder)
    (folder / "tokens.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        read_tokens(folder)
    (folder / "tokens.json").unlink()
    with pytest.raises(ModelError, match=r"tokens\.json is missing"):
        read_tokens(folder)
    assert not inspect(folder).usable


# --- ONNX -------------------------------------------------------------------------------------


def test_the_exported_network_says_what_funasr_says(golden, name, exported):
    engine = ParaformerOnnx(exported / ONNX)
    assert engine.num_tokens == len(TOOL.TOKENS)
    assert_same(engine.say(UTTERANCES), golden, name, 1e-4)


def test_in_int8_it_says_nearly_the_same(exported):
    exact, packed = (ParaformerOnnx(exported / file).say(UTTERANCES) for file in (ONNX, QUANTISED))
    for one, other in zip(exact, packed, strict=True):
        assert abs(float(one.weights.sum() - other.weights.sum())) < 0.5
        if len(one.log_probs) == len(other.log_probs) > 0:
            assert np.abs(one.log_probs - other.log_probs).mean() < 0.3


def test_an_exported_folder_is_whole_without_the_weights(exported):
    assert sorted(path.name for path in exported.iterdir()) == sorted(
        [ONNX, QUANTISED, "config.yaml", "am.mvn", "tokens.json"]
    )
    assert inspect(exported).usable


def test_another_network_is_refused(tmp_path):
    graph = Graph()
    speech = graph.input("speech", np.float32, ["batch", "frames", 3])
    graph.output(speech, "logits", np.float32, ["batch", "frames", 3])
    graph.write(tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="is no Paraformer: it reads speech"):
        ParaformerOnnx(tmp_path / "other.onnx")
