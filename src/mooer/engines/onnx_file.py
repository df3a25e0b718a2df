"""Write ONNX files (onnx.proto, IR 8, opset 17) with nothing but numpy.

graph = Graph()
x = graph.input("x", np.float32, ["B", 3])
graph.output(graph.op("MatMul", x, graph.constant(weight)), "y", np.float32, ["B", 5])
graph.write(path)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mooer.errors import ModelError
from mooer.files import write_whole
from mooer.onnx_messages import TYPES, Attribute, node, tensor, tensor_outside
from mooer.protobuf import Pieces, message, number, size_of, text

_OPSETS = {"": 17, "com.microsoft": 1}  # the operators of onnxruntime, named with this prefix
_IR = 8
_MAX_BYTES = 2**31 - 1  # of one message of protobuf
_SMALL_BYTES = 4096  # not worth a page of another file
_PAGE_BYTES = 4096  # what is mapped begins at one

Shape = Sequence[int | str]  # a letter where the length is known at run time alone


class Graph:
    """Nodes in the order in which they are computed; every value goes by its name.

    With `outside`, a file that is being written, large constants go there at once, and onnxruntime
    maps them; `location` is the name that it will have beside this one.
    """

    def __init__(self, outside: BinaryIO | None = None, location: str = "") -> None:
        self._outside = outside
        self._location = location
        self._nodes: Pieces = []
        self._constants: Pieces = []
        self._inputs: Pieces = []
        self._outputs: Pieces = []
        self._num = 0

    def input(self, name: str, dtype: DTypeLike, shape: Shape) -> str:
        """A value that is given at run time."""
        self._inputs += message(11, _value(name, dtype, shape))
        return name

    def output(self, value: str, name: str, dtype: DTypeLike, shape: Shape) -> None:
        """Give out a value under this name."""
        self._outputs += message(12, _value(self.named(value, name), dtype, shape))

    def named(self, value: str, name: str) -> str:
        """A value under another name."""
        self._nodes += message(1, node("Identity", [value], [name], {}))
        return name

    def constant(self, array: NDArray[Any]) -> str:
        """Numbers that lie in the file."""
        name = self._name("c")
        if self._outside is None or array.nbytes < _SMALL_BYTES:
            self._constants += message(5, tensor(name, array))
            return name
        self._outside.write(bytes(-self._outside.tell() % _PAGE_BYTES))
        proto = tensor_outside(name, array, self._location, self._outside.tell())
        self._constants += message(5, proto)
        self._outside.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return name

    def op(self, kind: str, *values: str, **attributes: Attribute) -> str:
        """The only output of an operator; an empty value is one that is left out."""
        return self.ops(kind, 1, *values, **attributes)[0]

    def ops(self, kind: str, num: int, *values: str, **attributes: Attribute) -> list[str]:
        """All `num` outputs of an operator."""
        names = [self._name("v") for _ in range(num)]
        self._nodes += message(1, node(kind, values, names, attributes))
        return names

    def write(self, path: Path, notes: Mapping[str, str] | None = None) -> None:
        """The whole file, or none; `notes` are metadata by name.

        ModelError if it is more than an ONNX file holds (2 GiB).
        """
        write_whole(path, self.encode(notes, name=str(path)))

    def encode(self, notes: Mapping[str, str] | None = None, *, name: str = "the model") -> bytes:
        """What a file would hold, which onnxruntime opens as well; otherwise as `write`."""
        graph = [*self._nodes, *text(2, "mooer"), *self._constants, *self._inputs, *self._outputs]
        model = [*number(1, _IR), *text(2, "mooer"), *message(7, graph)]
        for domain, opset in _OPSETS.items():
            model += message(8, [*text(1, domain), *number(2, opset)])
        for name_of_note, note in (notes or {}).items():
            model += message(14, [*text(1, name_of_note), *text(2, note)])
        if (size := size_of(model)) > _MAX_BYTES:
            raise ModelError(f"{name} would have {size} bytes, but an ONNX file holds {_MAX_BYTES}")
        return b"".join(model)

    def _name(self, letter: str) -> str:
        self._num += 1
        return f"{letter}{self._num}"


def _value(name: str, dtype: DTypeLike, shape: Shape) -> Pieces:
    dims: Pieces = []
    for length in shape:
        dims += message(1, text(2, length) if isinstance(length, str) else number(1, length))
    tensor = [*number(1, TYPES[np.dtype(dtype).name]), *message(2, dims)]
    return [*text(1, name), *message(2, message(1, tensor))]
