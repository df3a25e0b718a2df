"""Weights are read without running code, and fill a module whole or not at all."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mooer.errors import ModelError
from mooer.models.tensors import fill, read_tensors

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, 2.0])}


def same(found, expected=TENSORS):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# ---------------------------------------------------------------- reading


def test_files_of_every_kind(tmp_path):
    save_file(TENSORS, tmp_path / "a.safetensors")
    torch.save(TENSORS, tmp_path / "a.pth")
    torch.save(TENSORS, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "a.pth", "old.bin"):
        same(read_tensors(tmp_path / name))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_folders_whole_and_in_shards(tmp_path, name):
    write = save_file if name.endswith("safetensors") else torch.save
    write(TENSORS, tmp_path / name)
    same(read_tensors(tmp_path))
    (tmp_path / name).unlink()
    stem, suffix = name.split(".")
    places = {}
    for i, (key, tensor) in enumerate(TENSORS.items()):
        places[key] = f"{stem}-{i}.{suffix}"
        write({key: tensor}, tmp_path / places[key])
    (tmp_path / f"{name}.index.json").write_text(json.dumps({"weight_map": places}))
    same(read_tensors(tmp_path))


class Intruder:
    """What asks for a call when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, new):
    content = {"weight": torch.zeros(2), "x": Intruder(tmp_path / "written")}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(ModelError, match=r"a\.pth is refused: .*to be run"):
        read_tensors(tmp_path / "a.pth")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(content["x"]))
    with pytest.raises(ModelError, match=r"b\.pt is refused"):
        read_tensors(tmp_path / "b.pt")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"not weights" * 30, b"\xff" * 64])
def test_what_is_no_file_of_weights(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_cut_short(tmp_path, name):
    (save_file if name.endswith("safetensors") else torch.save)(TENSORS, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for part in (0.1, 0.5, 0.9, 0.99):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(ModelError, match=name):
            read_tensors(tmp_path / name)


@pytest.mark.parametrize("name", ["a.safetensors", "old.bin"])
def test_damaged_anywhere_it_is_read_or_refused(tmp_path, name):
    if name == "old.bin":
        torch.save(TENSORS, tmp_path / name, _use_new_zipfile_serialization=False)
    else:
        save_file(TENSORS, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    refused = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / name).write_bytes(damaged)
        try:
            read_tensors(tmp_path / name)
        except ModelError:
            refused += 1
    assert refused > 20


def test_what_else_cannot_be_read(tmp_path):
    with pytest.raises(ModelError, match=r"holds none of model\.safetensors"):
        read_tensors(tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_tensors(tmp_path / "a.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="no named tensors but a list"):
        read_tensors(tmp_path / "list.pth")
    torch.save({"epoch": 3, "model": TENSORS, "weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(ModelError, match="more than tensors: 2, epoch, model"):
        read_tensors(tmp_path / "more.pth")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"weight_map": {"a": "../a.safetensors"}}, "points outside its folder"),
        ({"weight_map": {"a": "/etc/a.safetensors"}}, "points outside its folder"),
        ({"weight_map": {"a": "gone.safetensors"}}, "gone.safetensors is missing"),
        ({"weight_map": ["a"]}, r"index\.json cannot be read"),
        ({}, r"index\.json cannot be read"),
    ],
)
def test_an_index_that_cannot_be_followed(tmp_path, index, words):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=words):
        read_tensors(tmp_path)


# ---------------------------------------------------------------- filling


def test_a_module_is_filled():
    module = nn.Linear(3, 2)
    fill(module, TENSORS, "here", "adapter")
    same(dict(module.state_dict()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias": None}, "missing: 1, bias"),
        ({"scale": torch.zeros(2)}, "unexpected: 1, scale"),
        ({"bias": torch.zeros(3)}, r"wrong shape: 1, bias \[3\] instead of \[2\]"),
        ({"bias": torch.tensor([1.0, torch.nan])}, "not finite: 1, bias"),
        ({"bias": torch.tensor([1.0, torch.inf])}, "not finite: 1, bias"),
        ({"bias": None, "x": torch.zeros(1)}, "missing: 1, bias; unexpected: 1, x"),
        ({f"n{i}": torch.zeros(1) for i in range(12)}, "unexpected: 12, n0.* n7 and 4 more"),
    ],
)
def test_what_does_not_fit_is_listed_and_nothing_copied(change, words):
    module = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    changed = {name: t for name, t in {**TENSORS, **change}.items() if t is not None}
    with pytest.raises(ModelError, match=words) as error:
        fill(module, changed, "here.pth", "adapter")
    assert "here.pth does not fit the adapter" in str(error.value)
    same(dict(module.state_dict()), before)
