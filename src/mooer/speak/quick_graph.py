"""The same network from operators that onnxruntime computes quickly on the processor.

Convolutions of whole numbers (ConvInteger) lay their windows out and multiply them by weights in
the wrong order for the fast kernels, packing the weights anew each time. Here the windows are rows,
gathered from the time-first sound, and one product of matrices with the weights packed beforehand
does the rest: the same whole numbers, hence the same result. Norms over time, which the file spells
out in nine operators, are one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mooer.speak.onnx_graph import Array, Node, OnnxGraph

_PRODUCT = "com.microsoft.MatMulIntegerToFloat"
_LARGEST = 127  # of 7 bits: sums of two products stay in 16 bits, which old processors add in

Replacement = tuple[Node, list[Node]]


def quicker(data: bytes, *, keep: str) -> tuple[bytes, int]:
    """The file of the quicker network, and how many places of it are rewritten.

    `keep` is a value inside that must go on having its name. A part that does not look as expected
    stays as it is. ModelError if `data` is no ONNX file.
    """
    graph = OnnxGraph(data)
    num = sum(
        graph.replace(list(found(graph))) for found in (_convolutions, _norms, _squares, _spectra)
    )
    graph.drop_unused([keep])
    return graph.encode(), num


def _convolutions(graph: OnnxGraph) -> Iterator[Replacement]:
    for node in graph.nodes:
        if node.kind == "ConvInteger" and (found := _convolution(graph, node)):
            yield found


def _convolution(graph: OnnxGraph, node: Node) -> Replacement | None:
    """ConvInteger, its bias in whole numbers, Cast and Mul by the scale of both."""
    quantized = graph.maker(node.inputs[0], "DynamicQuantizeLinear")
    weights, zero = (graph.constant(name) for name in (node.inputs[1], node.inputs[3]))
    scaled = _scaled(graph, node)
    if quantized is None or weights is None or zero is None or scaled is None:
        return None
    last, bias, scale = scaled
    window = _Window.of(node, weights)
    if window is None or weights.max() > _LARGEST or zero.size != 1 or scale.size != 1:
        return None
    rows, nodes = _rows(graph, quantized.outputs[0], quantized.outputs[2], window)
    signed = (weights.astype(np.int16) - 64).astype(np.int8)
    inputs = [
        rows,
        graph.add_constant(signed.transpose(2, 1, 0).reshape(-1, len(weights))),
        quantized.outputs[1],
        graph.add_constant(scale.reshape(())),
        quantized.outputs[2],
        graph.add_constant((zero.reshape(()).astype(np.int16) - 64).astype(np.int8)),
        *([] if bias is None else [bias]),
    ]
    product = graph.new_name()
    nodes.append(Node(_PRODUCT, inputs, [product]))
    nodes.append(Node("Transpose", [product], [last.output], {"perm": [0, 2, 1]}))
    return last, nodes


def _scaled(graph: OnnxGraph, node: Node) -> tuple[Node, str | None, Array] | None:
    """The Mul behind a ConvInteger, the name of its bias, and the scale of its weights."""
    value, bias = node.output, None
    if added := graph.only_user(value, "Add"):
        shaped = graph.maker(added.inputs[1], "Reshape")
        for kind in ("Cast", "Floor", "Div"):
            shaped = graph.maker(shaped.inputs[0], kind) if shaped else None
        if shaped is None or graph.constant(shaped.inputs[0]) is None:
            return None
        value, bias = added.output, shaped.inputs[0]
    cast = graph.only_user(value, "Cast")
    last = graph.only_user(cast.output, "Mul") if cast else None
    scales = graph.maker(last.inputs[1], "Mul") if last else None
    scale = graph.constant(scales.inputs[1]) if scales else None
    return None if last is None or scale is None else (last, bias, scale)


class _Window:
    """What one output of a convolution over time sees."""

    def __init__(self, size: int, dilation: int, stride: int, pads: list[int], width: int) -> None:
        self.size, self.stride, self.pads, self.width = size, stride, pads, width
        self.offsets = np.arange(size, dtype=np.int64) * dilation

    @classmethod
    def of(cls, node: Node, weights: Array) -> _Window | None:
        get = node.attributes.get
        if weights.ndim != 3 or get("group", 1) != 1 or get("auto_pad", "NOTSET") != "NOTSET":
            return None
        [stride], [dilation] = get("strides", [1]), get("dilations", [1])
        return cls(weights.shape[2], dilation, stride, get("pads", [0, 0]), weights.shape[1])


def _rows(graph: OnnxGraph, value: str, zero: str, window: _Window) -> tuple[str, list[Node]]:
    """[1, C, T] to windows [1, T, K * C]: silence is the number that stands for zero."""
    names = iter(graph.new_name, None)
    nodes = [Node("Transpose", [value], [next(names)], {"perm": [0, 2, 1]})]

    def then(kind: str, *more: str, **attributes: int) -> None:
        nodes.append(Node(kind, [nodes[-1].output, *more], [next(names)], dict(attributes)))

    def constant(*numbers: int) -> str:
        return graph.add_constant(np.array(numbers, np.int64))

    if any(window.pads):
        then("Pad", constant(0, window.pads[0], 0, 0, window.pads[1], 0), zero)
    if window.size == 1 and window.stride == 1:
        return nodes[-1].output, nodes
    padded = nodes[-1].output
    one = graph.add_constant(np.array(1, np.int64))
    last = graph.add_constant(np.array(-window.offsets[-1], np.int64))
    nodes.append(Node("Shape", [padded], [next(names)], {"start": 1, "end": 2}))
    then("Squeeze")
    then("Add", last)
    zero_, step = (graph.add_constant(np.array(n, np.int64)) for n in (0, window.stride))
    nodes.append(Node("Range", [zero_, nodes[-1].output, step], [next(names)]))
    then("Unsqueeze", constant(1))
    then("Add", graph.add_constant(window.offsets))
    nodes.append(Node("Gather", [padded, nodes[-1].output], [next(names)], {"axis": 1}))
    then("Reshape", constant(0, -1, window.size * window.width))
    del one
    return nodes[-1].output, nodes


def _norms(graph: OnnxGraph) -> Iterator[Replacement]:
    """Mean and variance over time, and gain and shift of each channel, in one operator."""
    for node in graph.nodes:
        if node.kind != "Div" or (found := _normed(graph, node)) is None:
            continue
        value, epsilon = found
        for gained in graph.users(node.output, "Mul"):
            shifted = graph.only_user(gained.output, "Add")
            if shifted is None or node.output not in gained.inputs[1:]:
                continue
            channels = [graph.new_name(), graph.new_name()]
            flat = graph.add_constant(np.array([-1], np.int64))
            yield (
                shifted,
                [
                    Node("Reshape", [gained.inputs[0], flat], channels[:1]),
                    Node("Reshape", [shifted.inputs[1], flat], channels[1:]),
                    Node(
                        "InstanceNormalization",
                        [value, *channels],
                        shifted.outputs,
                        {"epsilon": epsilon},
                    ),
                ],
            )


def _normed(graph: OnnxGraph, node: Node) -> tuple[str, float] | None:
    """What is normed over its last axis by (x - mean) / sqrt(variance + epsilon), and epsilon."""
    centred = graph.maker(node.inputs[0], "Sub")
    root = graph.maker(node.inputs[1], "Sqrt")
    added = graph.maker(root.inputs[0], "Add") if root else None
    variance = graph.maker(added.inputs[0], "ReduceMean") if added else None
    square = graph.maker(variance.inputs[0], "Mul") if variance else None
    mean = graph.maker(centred.inputs[1], "ReduceMean") if centred else None
    if not (centred and added and variance and square and mean):
        return None
    epsilon = graph.constant(added.inputs[1])
    axes = [graph.constant(one.inputs[1]) for one in (mean, variance) if len(one.inputs) > 1]
    if (
        epsilon is None
        or [axis is not None and axis.tolist() for axis in axes] != [[2], [2]]
        or mean.inputs[0] != centred.inputs[0]
        or square.inputs != [centred.output] * 2
    ):
        return None
    return centred.inputs[0], float(epsilon.item())


def _squares(graph: OnnxGraph) -> Iterator[Replacement]:
    """x to the power of 2 by x * x."""
    for node in graph.nodes:
        if node.kind == "Pow":
            power = graph.constant(node.inputs[1])
            if power is not None and power.size == 1 and power.item() == 2:
                yield node, [Node("Mul", [node.inputs[0]] * 2, node.outputs)]


def _spectra(graph: OnnxGraph) -> Iterator[Replacement]:
    return iter(())
