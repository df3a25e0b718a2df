import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mooer.errors import ModelError
from mooer.store.safetensors import read_safetensors


@pytest.mark.parametrize("mapped", [False, True])
def test_every_type_is_read(tmp_path, mapped):
    tensors = {
        "a": torch.arange(6.0).view(2, 3),
        "b": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "c": torch.tensor([1.0, -3.0], dtype=torch.bfloat16),
        "d": torch.tensor(7, dtype=torch.int64),
        "e": torch.zeros(0, 4, dtype=torch.float64),
        "f": torch.tensor([1, -1], dtype=torch.int32),
        "g": torch.tensor([1, 255], dtype=torch.uint8),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = read_safetensors(tmp_path / "x.safetensors", mapped=mapped)
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].shape == tuple(tensor.shape)
        np.testing.assert_array_equal(found[name], tensor.double().numpy())


def whole(entry, data=bytes(8)):
    header = entry if isinstance(entry, bytes) else json.dumps({"a": entry}).encode()
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 100) + b"{}",
        whole(b"[1]"),
        whole(b"\xff{}"),
        whole(b"[" * 100_000),
        whole({"dtype": "F32", "shape": [2]}),
        whole({"dtype": "F8", "shape": [2], "data_offsets": [0, 8]}),
        whole({"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}),
        whole({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}),
        whole({"dtype": "F32", "shape": [2], "data_offsets": [0, 8], "more": 1}),
        whole({"dtype": "F32", "shape": "2", "data_offsets": [0, 8]}),
        whole({"dtype": "F32", "shape": [2], "data_offsets": [0, 8.0]}),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    for mapped in (False, True):
        with pytest.raises(ModelError, match="no whole safetensors file"):
            read_safetensors(tmp_path / "x.safetensors", mapped=mapped)


def test_what_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        read_safetensors(tmp_path / "x.safetensors")
