"""The same network from operators that onnxruntime computes quickly on the processor.

Convolutions of whole numbers (ConvInteger) lay their windows out and multiply them by weights in
the wrong order for the fast kernels, packing the weights anew each time. Here the windows are rows,
gathered from the time-first sound, and one product of matrices with the weights packed beforehand
does the rest: the same whole numbers, hence the same result. Norms over time, which the file spells
out in nine operators, are one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mooer.onnx_messages import Attribute
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
    num = sum(graph.replace(list(found(graph))) for found in PASSES)
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
    window = _window(node, weights)
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


@dataclass(frozen=True)
class _Window:
    """What one output of a convolution over time sees."""

    size: int
    dilation: int
    stride: int
    pads: tuple[int, int]
    width: int  # channels


def _window(node: Node, weights: Array) -> _Window | None:
    get = node.attributes.get
    if weights.ndim != 3 or get("group", 1) != 1 or get("auto_pad", "NOTSET") != "NOTSET":
        return None
    [stride], [dilation], [left, right] = (
        get("strides", [1]),
        get("dilations", [1]),
        get("pads", [0, 0]),
    )
    return _Window(weights.shape[2], dilation, stride, (left, right), weights.shape[1])


def _rows(graph: OnnxGraph, value: str, zero: str, window: _Window) -> tuple[str, list[Node]]:
    """[1, C, T] to windows [1, T, K * C]; what is padded is the number that stands for zero."""
    nodes: list[Node] = []

    def add(kind: str, *inputs: str, **attributes: Attribute) -> str:
        nodes.append(Node(kind, list(inputs), [graph.new_name()], attributes))
        return nodes[-1].output

    frames = add("Transpose", value, perm=[0, 2, 1])
    if any(window.pads):
        left, right = window.pads
        frames = add("Pad", frames, graph.add_numbers(0, left, 0, 0, right, 0), zero)
    if window.size == 1 and window.stride == 1:
        return frames, nodes
    offsets = np.arange(window.size, dtype=np.int64) * window.dilation
    num = add("Squeeze", add("Shape", frames, start=1, end=2))
    num = add("Add", num, graph.add_constant(-offsets[-1]))
    first, step = (graph.add_constant(np.array(n, np.int64)) for n in (0, window.stride))
    starts = add("Unsqueeze", add("Range", first, num, step), graph.add_numbers(1))
    places = add("Add", starts, graph.add_constant(offsets))
    rows = add("Gather", frames, places, axis=1)
    return add("Reshape", rows, graph.add_numbers(0, -1, window.size * window.width)), nodes


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
            flat = graph.add_numbers(-1)
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
    if (
        epsilon is None
        or [_axes(graph, one) for one in (mean, variance)] != [[2], [2]]
        or mean.inputs[0] != centred.inputs[0]
        or square.inputs != [centred.output] * 2
    ):
        return None
    return centred.inputs[0], float(epsilon.item())


def _axes(graph: OnnxGraph, mean: Node) -> object:
    """An attribute up to opset 17, an input from 18 on."""
    if len(mean.inputs) == 1:
        return mean.attributes.get("axes")
    axes = graph.constant(mean.inputs[1])
    return None if axes is None else axes.tolist()


def _squares(graph: OnnxGraph) -> Iterator[Replacement]:
    """The power of 2 by a product."""
    for node in graph.nodes:
        if node.kind == "Pow":
            power = graph.constant(node.inputs[1])
            if power is not None and power.size == 1 and power.item() == 2:
                yield node, [Node("Mul", [node.inputs[0]] * 2, node.outputs)]


def _snakes(graph: OnnxGraph) -> Iterator[Replacement]:
    """Behind a norm x + sin(a x)^2 / a: the norm's gain and shift give a x at once."""
    for sine in graph.nodes:
        if sine.kind != "Sin" or (found := _snake(graph, sine)) is None:
            continue
        norm, scaled, square, less, last, factor = found
        names = [graph.new_name() for _ in range(4)]
        by = graph.add_constant(factor.reshape(-1))
        yield (
            norm,
            [
                *(Node("Mul", [norm.inputs[1 + i], by], [names[i]]) for i in (0, 1)),
                Node(norm.kind, [norm.inputs[0], *names[:2]], [names[2]], norm.attributes),
            ],
        )
        yield scaled, []
        yield sine, [Node("Sin", [names[2]], sine.outputs)]
        yield less, []
        yield (
            last,
            [
                Node("Add", [names[2], square.output], [names[3]]),
                Node("Mul", [names[3], less.inputs[0]], last.outputs),
            ],
        )


def _snake(graph: OnnxGraph, sine: Node) -> tuple[Node, Node, Node, Node, Node, Array] | None:
    """Norm, times a, square, over a, sum; and a."""
    scaled = graph.maker(sine.inputs[0], "Mul")
    norm = graph.maker(scaled.inputs[1], "InstanceNormalization") if scaled else None
    square = graph.only_user(sine.output, "Mul")
    less = graph.only_user(square.output, "Mul") if square else None
    last = graph.only_user(less.output, "Add") if less else None
    if not (scaled and norm and square and less and last):
        return None
    factor, inverse = graph.constant(scaled.inputs[0]), graph.constant(less.inputs[0])
    if (
        factor is None
        or inverse is None
        or not np.allclose(factor * inverse, 1.0)
        or last.inputs != [norm.output, less.output]
        or len(graph.users(norm.output)) != 2
    ):
        return None
    return norm, scaled, square, less, last, factor


def _spectra(graph: OnnxGraph) -> Iterator[Replacement]:
    """A short Fourier transform, of which the real and the imaginary parts are taken apart."""
    for node in graph.nodes:
        if node.kind != "STFT" or node.attributes.get("onesided", 1) != 1:
            continue
        step, window = graph.constant(node.inputs[1]), graph.constant(node.inputs[2])
        parts = _parts(graph, node)
        if parts is None or step is None or window is None:
            continue
        filters, offsets = _fourier(window)
        names = [graph.new_name(), graph.new_name()]
        weights = [graph.add_constant(array) for array in (filters, offsets)]
        strides = {"kernel_shape": [len(window)], "strides": [int(step.item())]}
        halves = graph.add_numbers(len(filters) // 2, len(filters) // 2)
        outputs = [part.output for part in parts]
        yield from ((part, []) for part in parts)
        yield (
            node,
            [
                Node("Unsqueeze", [node.inputs[0], graph.add_numbers(1)], names[:1]),
                Node("Conv", [names[0], *weights], names[1:], strides),
                Node("Split", [names[1], halves], outputs, {"axis": 1}),
            ],
        )


def _parts(graph: OnnxGraph, node: Node) -> list[Node] | None:
    """The two nodes that take the real and the imaginary part, if nothing else takes any."""
    turned = graph.only_user(node.output, "Transpose")
    if turned is None or turned.attributes.get("perm") != [0, 2, 1, 3]:
        return None
    users = graph.users(turned.output)
    at = {
        int(index.item()): user
        for user in users
        if user.kind == "Gather"
        and user.attributes.get("axis") == 3
        and (index := graph.constant(user.inputs[1])) is not None
        and index.shape == ()
    }
    return [at[0], at[1]] if len(users) == 2 and sorted(at) == [0, 1] else None


def _fourier(window: Array) -> tuple[Array, Array]:
    """Filters [2 (N/2 + 1), 1, N] of the real and then the imaginary parts, and what is added.

    The sum of all samples has no imaginary part, nor has that of every other one; its sign would
    be that of an error of rounding, and decides about the phase. It is above zero here, as with
    PyTorch, by which the network was trained.
    """
    size = len(window)
    turn = np.arange(size // 2 + 1)[:, None] * np.arange(size)[None] * (2 * np.pi / size)
    real, imaginary = np.cos(turn) * window, -np.sin(turn) * window
    imaginary[[0, -1]] = 0.0
    offsets = np.zeros((2, len(real)), np.float32)
    offsets[1, [0, -1]] = 1e-20
    return np.concatenate([real, imaginary])[:, None].astype(np.float32), offsets.reshape(-1)


def _upsamplers(graph: OnnxGraph) -> Iterator[Replacement]:
    """ConvTranspose by twos: a product of matrices of each frame with the one before it."""
    for node in graph.nodes:
        if node.kind != "ConvTranspose" or len(node.inputs) != 3:
            continue
        weights, bias = (graph.constant(name) for name in node.inputs[1:])
        get = node.attributes.get
        stride, pads = get("strides", [1]), get("pads", [0, 0])
        if (
            weights is None
            or bias is None
            or weights.ndim != 3
            or [weights.shape[2]] != [2 * n for n in stride]
            or get("group", 1) != 1
            or get("dilations", [1]) != [1]
            or get("output_padding", [0]) != [0]
            or get("auto_pad", "NOTSET") != "NOTSET"
            or min(pads) < 1
        ):
            continue
        yield node, _upsampler(graph, node, weights, bias)


def _upsampler(graph: OnnxGraph, node: Node, weights: Array, bias: Array) -> list[Node]:
    width, channels, size = weights.shape
    stride, (left, right) = size // 2, node.attributes["pads"]
    halves = weights.transpose(2, 0, 1).reshape(2, stride, width, channels).transpose(0, 2, 1, 3)
    matrix = graph.add_constant(halves.reshape(2 * width, stride * channels))
    nodes: list[Node] = []

    def add(kind: str, *inputs: str, **attributes: Attribute) -> str:
        nodes.append(Node(kind, list(inputs), [graph.new_name()], attributes))
        return nodes[-1].output

    def sliced(value: str, start: int, end: int) -> str:
        return add("Slice", value, *(graph.add_numbers(n) for n in (start, end, 1)))

    frames = add("Transpose", node.inputs[0], perm=[0, 2, 1])
    frames = add("Pad", frames, graph.add_numbers(0, 1, 0, 0, 1, 0))
    pairs = add("Concat", sliced(frames, 1, 2**62), sliced(frames, 0, -1), axis=2)
    product = add("Add", add("MatMul", pairs, matrix), graph.add_constant(np.tile(bias, stride)))
    sound = add("Reshape", product, graph.add_numbers(0, -1, channels))
    sound = sliced(sound, left, -right)
    return [*nodes, Node("Transpose", [sound], node.outputs, {"perm": [0, 2, 1]})]


PASSES = (_convolutions, _norms, _squares, _snakes, _spectra, _upsamplers)
