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
        graph.replace(list(found(graph))) for found in PASSES
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


def _snakes(graph: OnnxGraph) -> Iterator[Replacement]:
    """x + sin(a x)^2 / a behind a norm: the norm's gain and shift give a x at once."""
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
    """A short Fourier transform of whose parts, real and imaginary, either is taken."""
    for node in graph.nodes:
        if node.kind != "STFT" or node.attributes.get("onesided", 1) != 1:
            continue
        turned = graph.only_user(node.output, "Transpose")
        parts = graph.users(turned.output) if turned else []
        step, window = graph.constant(node.inputs[1]), graph.constant(node.inputs[2])
        at = {
            int(index.item()): part
            for part in parts
            if part.kind == "Gather" and (index := graph.constant(part.inputs[1])) is not None
        }
        if (
            turned is None
            or turned.attributes.get("perm") != [0, 2, 1, 3]
            or sorted(at) != [0, 1]
            or len(parts) != 2
            or step is None
            or window is None
        ):
            continue
        filters, offsets = _fourier(window)
        names = [graph.new_name(), graph.new_name()]
        half = len(filters) // 2
        one, halves = (graph.add_constant(np.array(n, np.int64)) for n in ([1], [half, half]))
        weights = [graph.add_constant(array) for array in (filters, offsets)]
        strides = {"kernel_shape": [len(window)], "strides": [int(step.item())]}
        yield at[0], []
        yield at[1], []
        yield (
            node,
            [
                Node("Unsqueeze", [node.inputs[0], one], names[:1]),
                Node("Conv", [names[0], *weights], names[1:], strides),
                Node("Split", [names[1], halves], [at[0].output, at[1].output], {"axis": 1}),
            ],
        )


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
    """ConvTranspose of which two windows overlap: a product of matrices of this frame and the last."""
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
    both = weights.transpose(2, 0, 1).reshape(2, stride, width, channels).transpose(0, 2, 1, 3)
    names = [graph.new_name() for _ in range(9)]

    def constant(*numbers: int) -> str:
        return graph.add_constant(np.array(numbers, np.int64))

    first, one, end, time = constant(0), constant(1), constant(2**62), constant(1)
    matrix = graph.add_constant(both.reshape(2 * width, stride * channels))
    tiled = graph.add_constant(np.tile(bias, stride))
    return [
        Node("Transpose", [node.inputs[0]], [names[0]], {"perm": [0, 2, 1]}),
        Node("Pad", [names[0], constant(0, 1, 0, 0, 1, 0)], [names[1]]),
        Node("Slice", [names[1], one, end, time], [names[2]]),
        Node("Slice", [names[1], first, constant(-1), time], [names[3]]),
        Node("Concat", [names[2], names[3]], [names[4]], {"axis": 2}),
        Node("MatMul", [names[4], matrix], [names[5]]),
        Node("Add", [names[5], tiled], [names[6]]),
        Node("Reshape", [names[6], constant(0, -1, channels)], [names[7]]),
        Node("Slice", [names[7], constant(left), constant(-right), time], [names[8]]),
        Node("Transpose", [names[8]], node.outputs, {"perm": [0, 2, 1]}),
    ]


PASSES = (_convolutions, _norms, _squares, _snakes, _spectra, _upsamplers)
