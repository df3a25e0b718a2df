"""The reader of torch's pickles: right for both layouts, and nothing in a file is ever run."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from mooer.errors import ModelError
from mooer.store.pickled import read_pickled

torch = pytest.importorskip("torch")


def tensors():
    torch.manual_seed(0)
    whole = torch.randn(4, 6)
    return OrderedDict(
        whole=whole,
        turned=whole.t(),
        part=whole[1:3, ::2],
        parameter=torch.nn.Parameter(torch.ones(2)),
        half=whole.half(),
        bfloat16=torch.tensor([1.0, -2.5, 3e38]).bfloat16(),
        double=whole.double(),
        long=torch.tensor([1 << 40, -1]),
        byte=torch.tensor([0, 255], dtype=torch.uint8),
        flag=torch.tensor([True, False]),
        scalar=torch.tensor(7.0),
        empty=torch.zeros(0, 3),
    )


def saved(tmp_path, content, *, archive=True):
    path = tmp_path / "weights.pt"
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    return path


def archive_of(tmp_path, structure, **members):
    path = tmp_path / "made.pt"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("archive/data.pkl", structure)
        for name, content in members.items():
            made.writestr(f"archive/data/{name}", content)
    return path


@pytest.mark.parametrize("archive", [True, False])
def test_every_type_and_shape_is_read(tmp_path, archive):
    found = read_pickled(saved(tmp_path, tensors(), archive=archive))
    assert list(found) == list(tensors())
    for name, tensor in tensors().items():
        wanted = tensor.detach().float() if name == "bfloat16" else tensor.detach()
        assert found[name].dtype == wanted.numpy().dtype, name
        np.testing.assert_array_equal(found[name], wanted.numpy())
        assert not found[name].flags.writeable or name == "bfloat16"


@pytest.mark.parametrize("archive", [True, False])
def test_an_entry_of_a_checkpoint(tmp_path, archive):
    module = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(module.parameters())
    module(torch.ones(3)).sum().backward()
    optimiser.step()
    content = {"step": 3, "model": module.state_dict(), "optimiser": optimiser.state_dict()}
    path = saved(tmp_path, content, archive=archive)
    found = read_pickled(path, "model")
    np.testing.assert_array_equal(found["weight"], module.weight.detach().numpy())
    with pytest.raises(ModelError, match="no entry 'net'"):
        read_pickled(path, "net")
    with pytest.raises(ModelError, match="more than tensors: 3, step, model, optimiser"):
        read_pickled(path)


class Evil:
    def __reduce__(self):
        return os.system, ("echo run > /tmp/mooer-was-here",)


@pytest.mark.parametrize("archive", [True, False])
def test_code_is_refused_by_name(tmp_path, archive):
    path = saved(tmp_path, {"model": {"a": torch.ones(1)}, "b": Evil()}, archive=archive)
    with pytest.raises(ModelError, match=r"asks for (posix|nt)\.system to be run"):
        read_pickled(path, "model")


def test_what_is_passed_over_is_not_run(tmp_path):
    path = saved(tmp_path, {"model": {"a": torch.ones(1)}, "b": [Evil()], "c": {"d": Evil()}})
    found = read_pickled(path, "model", passed_over=("posix", "nt"))
    assert found["a"].tolist() == [1.0]
    assert not os.path.exists("/tmp/mooer-was-here")  # noqa: PTH110
    path = saved(tmp_path, {"model": {"a": Evil()}})
    with pytest.raises(ModelError, match="more than tensors: 1, a"):
        read_pickled(path, "model", passed_over=("posix", "nt"))


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (pickle.dumps({"a": 1}), "more than tensors: 1, a"),
        (pickle.dumps([1]), "no named tensors but a list"),
        (pickle.dumps({}), "no named tensors but a dict"),
        (pickle.dumps({"a": len}), r"asks for builtins\.len to be run"),
        (b"\x80\x02ctorch\nload\n.", r"asks for torch\.load to be run"),
        (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", r"asks for os\.system"),
        (b"(S'ls'\nios\nsystem\n.", "uses STRING, which no tensor needs"),
        (b"\x80\x02}ccollections\nOrderedDict\nb.", "gives|more|no named"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "gives a state"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls torch FloatStorage"),
        (b"\x80\x02(X\x01\x00\x00\x00aX\x01\x00\x00\x00bK\x01K\x01K\x01tQ.", "points to a 'a'"),
        (b"\x80\x02", "whole file|exhausted"),
        (b"\x80\x02R.", "whole file"),
        (b"\x80\x02h\x07.", "whole file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, structure, words):
    with pytest.raises(ModelError, match=words):
        read_pickled(archive_of(tmp_path, structure))


def tensor_of(num=6, shape=(2, 3), strides=(3, 1), offset=0, key="0"):
    """A structure with one tensor, as torch writes it."""

    class Name:
        def __init__(self, text):
            self.text = text

    class Pickler(pickle._Pickler):
        def persistent_id(self, obj):
            return ("storage", Name("torch FloatStorage"), *obj) if type(obj) is Storage else None

        def save(self, obj, save_persistent_id=True):
            if isinstance(obj, Name):
                module, name = obj.text.split()
                self.write(f"c{module}\n{name}\n".encode())
            elif isinstance(obj, Call):
                self.save(obj.name)
                self.save(obj.given)
                self.write(b"R")
            else:
                super().save(obj, save_persistent_id)

    class Storage(tuple):
        __slots__ = ()

    class Call:
        def __init__(self, name, *given):
            self.name, self.given = Name(name), given

    made = Call(
        "torch._utils _rebuild_tensor_v2",
        Storage((key, "cpu", num)), offset, shape, strides, False, Call("collections OrderedDict"),
    )  # fmt: skip
    out = io.BytesIO()
    Pickler(out, protocol=2).dump({"a": made})
    return out.getvalue()


FLOATS = np.arange(6, dtype=np.float32)


def test_a_tensor_written_by_hand(tmp_path):
    path = archive_of(tmp_path, tensor_of(), **{"0": FLOATS.tobytes()})
    np.testing.assert_array_equal(read_pickled(path)["a"], FLOATS.reshape(2, 3))


@pytest.mark.parametrize(
    "how",
    [
        {"shape": (3, 3)},
        {"strides": (4, 1)},
        {"offset": 1},
        {"offset": -1},
        {"shape": (-2, 3)},
        {"strides": (-3, 1)},
        {"shape": (1 << 20, 1 << 20), "strides": (0, 0)},
        {"shape": (2,)},
        {"num": 7},
        {"num": 5},
        {"num": -1},
        {"key": "1"},
        {"key": "../data.pkl"},
        {"shape": (2.0, 3)},
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, how):
    path = archive_of(tmp_path, tensor_of(**how), **{"0": FLOATS.tobytes()})
    with pytest.raises(ModelError):
        read_pickled(path)


@pytest.mark.parametrize("archive", [True, False])
def test_damaged_anywhere_it_is_read_or_refused(tmp_path, archive):
    whole = saved(tmp_path, {"a": torch.arange(4.0)}, archive=archive).read_bytes()
    path = tmp_path / "damaged.pt"
    refused = 0
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError):
            read_pickled(path)
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            read_pickled(path)
        except ModelError:
            refused += 1
    assert refused > 20


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ModelError, match="no whole file of tensors"):
        read_pickled(tmp_path / "missing.pt")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match="0 structures in it"):
        read_pickled(tmp_path / "other.zip")
    (tmp_path / "numbers").write_bytes(struct.pack("<8f", *range(8)))
    with pytest.raises(ModelError):
        read_pickled(tmp_path / "numbers")
