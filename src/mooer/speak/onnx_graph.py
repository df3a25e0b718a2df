"""An ONNX file as a graph that can be changed: nodes are replaced, the rest stays byte by byte.

Numbers of fields are those of onnx.proto; what is not named here is kept and never looked into.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError
from mooer.onnx_messages import TYPES
from mooer.onnx_messages import node as node_message
from mooer.onnx_messages import tensor as tensor_message
from mooer.protobuf import Pieces, fields, message, number, signed

_GRAPH, _NODE, _TENSOR, _OUTPUT, _SHAPE = 7, 1, 5, 12, 13
_DTYPES = {code: name for name, code in TYPES.items()}

Array = NDArray[Any]


@dataclass
class Node:
    """One operator; of a domain other than ONNX's own it stands before the name, with a dot."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    raw: memoryview | None = None  # as it stood in the file

    @property
    def output(self) -> str:
        """The first, for most the only one."""
        return self.outputs[0]


class OnnxGraph:
    """Nodes in their order and constants by name, of the bytes of a file.

    ModelError if it is none, or one that keeps its constants elsewhere.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._model: Pieces = []  # what is no graph
        self._rest: Pieces = []  # of the graph: inputs, outputs, shapes
        self._raw_constants: dict[str, memoryview] = {}
        self._new_constants: dict[str, Array] = {}
        self.nodes: list[Node] = []
        self.outputs: list[str] = []
        self._num = 0
        for tag, value in fields(data):
            if tag == _GRAPH and isinstance(value, memoryview):
                self._read_graph(value)
            else:
                self._model += _again(tag, value)
        if not self.nodes:
            raise ModelError("no ONNX file: it has no operators")
        self._follow()

    def _read_graph(self, graph: memoryview) -> None:
        for tag, value in fields(graph):
            if tag == _NODE and isinstance(value, memoryview):
                self.nodes.append(_node(value))
            elif tag == _TENSOR and isinstance(value, memoryview):
                self._raw_constants[_name_of(value, 8)] = value
            elif tag != _SHAPE:  # what it says of values may no longer hold
                if tag == _OUTPUT and isinstance(value, memoryview):
                    self.outputs.append(_name_of(value, 1))
                self._rest += _again(tag, value)

    def _follow(self) -> None:
        self._makers = {out: node for node in self.nodes for out in node.outputs}
        self._users: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in node.inputs:
                self._users[name].append(node)

    def maker(self, value: str, kind: str = "") -> Node | None:
        """The node that makes a value, if there is one and if it is of this kind."""
        node = self._makers.get(value)
        return node if node and kind in ("", node.kind) else None

    def users(self, value: str, kind: str = "") -> list[Node]:
        """The nodes that take a value, of one kind."""
        return [node for node in self._users.get(value, ()) if kind in ("", node.kind)]

    def only_user(self, value: str, kind: str) -> Node | None:
        """The node of this kind that takes a value, once or twice, which nothing else takes."""
        users = self.users(value)
        same = all(user is users[0] for user in users)
        return users[0] if users and same and users[0].kind == kind else None

    def constant(self, name: str) -> Array | None:
        """The numbers of a constant; None if it is none, or of a type that is not known here."""
        if name in self._new_constants:
            return self._new_constants[name]
        raw = self._raw_constants.get(name)
        return None if raw is None else _array(raw)

    def add_constant(self, array: Array) -> str:
        """The name of a new constant."""
        name = self.new_name()
        self._new_constants[name] = np.asarray(array)
        return name

    def add_numbers(self, *numbers: int) -> str:
        """The name of a new constant of these whole numbers."""
        return self.add_constant(np.array(numbers, np.int64))

    def new_name(self) -> str:
        """A name that no value has."""
        self._num += 1
        return f"mooer_{self._num}"

    def replace(self, found: Iterable[tuple[Node, list[Node]]]) -> int:
        """Put nodes in the place of each; how many. What only they used goes by `drop_unused`."""
        instead = {id(node): nodes for node, nodes in found}
        self.nodes = [new for node in self.nodes for new in instead.get(id(node), [node])]
        self._follow()
        return len(instead)

    def drop_unused(self, keep: Iterable[str] = ()) -> None:
        """Leave out the nodes and constants that no output, and none of `keep`, needs."""
        needed = {*self.outputs, *keep}
        nodes: list[Node] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                nodes.append(node)
        self.nodes = nodes[::-1]
        for constants in (self._raw_constants, self._new_constants):
            for name in [name for name in constants if name not in needed]:
                del constants[name]
        self._follow()

    def encode(self) -> bytes:
        """The file."""
        graph: Pieces = []
        for node in self.nodes:
            graph += message(_NODE, _encoded(node))
        for raw in self._raw_constants.values():
            graph += message(_TENSOR, [raw])
        for name, array in self._new_constants.items():
            graph += message(_TENSOR, tensor_message(name, array))
        return b"".join([*self._model, *message(_GRAPH, graph + self._rest)])


def _again(tag: int, value: int | memoryview) -> Pieces:
    return number(tag, value) if isinstance(value, int) else message(tag, [value])


def _name_of(body: memoryview, tag: int) -> str:
    for found, value in fields(body):
        if found == tag and isinstance(value, memoryview):
            return bytes(value).decode()
    return ""


def _node(body: memoryview) -> Node:
    node = Node("", [], [], raw=body)
    domain = ""
    for tag, value in fields(body):
        if not isinstance(value, memoryview):
            continue
        if tag == 1:
            node.inputs.append(bytes(value).decode())
        elif tag == 2:
            node.outputs.append(bytes(value).decode())
        elif tag == 4:
            node.kind = bytes(value).decode()
        elif tag == 5:
            name, attribute = _attribute(value)
            node.attributes[name] = attribute
        elif tag == 7:
            domain = bytes(value).decode()
    if domain not in ("", "ai.onnx"):
        node.kind = f"{domain}.{node.kind}"
    return node


def _attribute(body: memoryview) -> tuple[str, Any]:
    """Name and value; None for a kind that is not known here."""
    name = ""
    value: float | str | None = None
    numbers: list[int] = []
    for tag, found in fields(body):
        if isinstance(found, int):
            if tag == 3:
                value = signed(found)
            elif tag == 8:
                numbers.append(signed(found))
        elif tag == 1:
            name = bytes(found).decode()
        elif tag == 2:
            value = struct.unpack("<f", found)[0]
        elif tag == 4:
            value = bytes(found).decode(errors="replace")
        elif tag == 8:
            numbers += _packed(found)
    return name, numbers or value


def _packed(body: memoryview) -> list[int]:
    """Numbers that follow one another without keys: as they would stand with them."""
    numbers, value, shift = [], 0, 0
    for byte in body:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(signed(value))
            value = shift = 0
    return numbers


def _array(body: memoryview) -> Array | None:
    dims: list[int] = []
    numbers: list[int] = []
    dtype = raw = None
    for tag, value in fields(body):
        if isinstance(value, int):
            if tag == 2:
                dtype = _DTYPES.get(value)
            elif tag == 1:
                dims.append(value)
            elif tag in (5, 7):
                numbers.append(signed(value))
        elif tag == 1:
            dims += _packed(value)
        elif tag in (5, 7):
            numbers += _packed(value)
        elif tag in (4, 9):
            raw = value
    if dtype is None:
        return None
    array = np.array(numbers, dtype) if raw is None else np.frombuffer(raw, dtype)
    return array.reshape(dims) if array.size == np.prod(dims) else None


def _encoded(node: Node) -> Pieces:
    if node.raw is not None:
        return [node.raw]
    return node_message(node.kind, node.inputs, node.outputs, node.attributes)
