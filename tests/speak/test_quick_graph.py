"""Small networks of each part that is rewritten: the same numbers, by other operators."""

import numpy as np
import onnxruntime
import pytest

from mooer.engines.onnx_file import Graph
from mooer.errors import ModelError
from mooer.speak.onnx_graph import OnnxGraph
from mooer.speak.quick_graph import quicker

RANDOM = np.random.default_rng(7)


def normal(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def integer(*numbers):
    return np.array(numbers, np.int64)


def compared(graph, value, feed, shape=("B", "C", "T")):
    """The kinds of operators before and after; the numbers must agree."""
    graph.output(value, "y", np.float32, shape)
    data = graph.encode()
    quick, _ = quicker(data, keep="nothing")
    before, after = (
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]).run(None, feed)[0]
        for one in (data, quick)
    )
    np.testing.assert_allclose(after, before, rtol=2e-4, atol=2e-4 * np.abs(before).max())
    return [{node.kind for node in OnnxGraph(one).nodes} for one in (data, quick)]


def integer_convolution(graph, x, *, size=3, largest=127, with_bias=True, **attributes):
    """As onnxruntime's quantiser writes it."""
    weights = RANDOM.integers(0, largest + 1, (6, 4, size)).astype(np.uint8)
    rows, scale, zero = graph.ops("DynamicQuantizeLinear", 3, x)
    y = graph.op(
        "ConvInteger",
        *(rows, graph.constant(weights), zero, graph.constant(np.array(61, np.uint8))),
        **attributes,
    )
    both = graph.op("Mul", scale, graph.constant(np.array(0.01, np.float32)))
    if with_bias:
        parts = graph.op("Floor", graph.op("Div", graph.constant(normal(6)), both))
        whole = graph.op("Cast", parts, to=6)
        y = graph.op("Add", y, graph.op("Reshape", whole, graph.constant(integer(1, -1, 1))))
    return graph.op("Mul", graph.op("Cast", y, to=1), both)


@pytest.mark.parametrize(
    ("size", "attributes"),
    [
        (1, {}),
        (3, {"pads": [1, 1]}),
        (5, {"pads": [6, 6], "dilations": [3]}),
        (4, {"pads": [1, 2], "strides": [2]}),
        (1, {"strides": [2]}),
    ],
)
def test_convolutions_of_whole_numbers(size, attributes):
    graph = Graph()
    x = graph.input("x", np.float32, [1, 4, "T"])
    y = integer_convolution(graph, x, size=size, with_bias=False, **attributes)
    before, after = compared(graph, y, {"x": normal(1, 4, 37)})
    assert "ConvInteger" in before
    assert "ConvInteger" not in after


def test_a_bias_is_added_as_it_is_and_not_rounded():
    graph = Graph()
    x = graph.input("x", np.float32, [1, 4, "T"])
    graph.output(integer_convolution(graph, x, pads=[1, 1]), "y", np.float32, [1, 6, "T"])
    data = graph.encode()
    quick, num = quicker(data, keep="nothing")
    assert num == 1
    feed = {"x": normal(1, 4, 29)}
    before, after = (
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]).run(None, feed)[0]
        for one in (data, quick)
    )
    scale = (feed["x"].max() - feed["x"].min()) / 255 * 0.01
    # The bias in the file is rounded down to a multiple of the scale.
    assert (after - before).min() > -1e-6
    assert (after - before).max() < scale * 1.01


@pytest.mark.parametrize("change", [{"largest": 255}, {"group": 2}])
def test_convolutions_of_another_kind_stay(change):
    graph = Graph()
    x = graph.input("x", np.float32, [1, 8 if "group" in change else 4, "T"])
    y = integer_convolution(graph, x, with_bias=False, **change)
    feed = {"x": normal(1, 8 if "group" in change else 4, 20)}
    before, after = compared(graph, y, feed)
    assert before == after


def norm(graph, x, *, axis=2):
    mean = graph.op("ReduceMean", x, axes=[axis])
    centred = graph.op("Sub", x, mean)
    square = graph.op("ReduceMean", graph.op("Mul", centred, centred), axes=[axis])
    root = graph.op("Sqrt", graph.op("Add", square, graph.constant(np.array(1e-5, np.float32))))
    gained = graph.op("Mul", graph.constant(normal(1, 4, 1)), graph.op("Div", centred, root))
    return graph.op("Add", gained, graph.constant(normal(1, 4, 1)))


def test_snakes_behind_norms():
    graph = Graph()
    x = graph.input("x", np.float32, [1, 4, "T"])
    scale = 0.5 + RANDOM.random((1, 4, 1)).astype(np.float32)
    normed = norm(graph, x)
    sine = graph.op("Sin", graph.op("Mul", graph.constant(scale), normed))
    square = graph.op("Pow", sine, graph.constant(np.array(2, np.float32)))
    y = graph.op("Add", normed, graph.op("Mul", graph.constant(1 / scale), square))
    before, after = compared(graph, y, {"x": normal(1, 4, 41)})
    assert {"ReduceMean", "Pow"} <= before
    assert after == {"Mul", "Reshape", "InstanceNormalization", "Sin", "Add", "Identity"}


def test_a_norm_over_channels_stays():
    graph = Graph()
    x = graph.input("x", np.float32, [1, 4, "T"])
    before, after = compared(graph, norm(graph, x, axis=1), {"x": normal(1, 4, 41)})
    assert before == after


def test_spectra():
    graph = Graph()
    x = graph.input("x", np.float32, [1, "T"])
    window = np.hanning(21)[:20].astype(np.float32)
    whole = graph.op(
        "STFT",
        *(x, graph.constant(np.array(5)), graph.constant(window), graph.constant(np.array(20))),
        onesided=1,
    )
    turned = graph.op("Transpose", whole, perm=[0, 2, 1, 3])
    real, imaginary = (
        graph.op("Gather", turned, graph.constant(np.array(part)), axis=3) for part in (0, 1)
    )
    y = graph.op("Add", real, graph.op("Mul", imaginary, graph.constant(np.float32([3.0]))))
    before, after = compared(graph, y, {"x": normal(1, 500)})
    assert "STFT" in before
    assert "Conv" in after
    assert "STFT" not in after


@pytest.mark.parametrize(("stride", "pads"), [(3, [1, 2]), (4, [2, 2])])
def test_upsamplers(stride, pads):
    graph = Graph()
    x = graph.input("x", np.float32, [1, 4, "T"])
    y = graph.op(
        "ConvTranspose",
        *(x, graph.constant(normal(4, 5, 2 * stride)), graph.constant(normal(5))),
        strides=[stride],
        pads=pads,
    )
    before, after = compared(graph, y, {"x": normal(1, 4, 23)})
    assert "ConvTranspose" in before
    assert "ConvTranspose" not in after


def test_what_is_no_network():
    with pytest.raises(ModelError, match="no ONNX file"):
        quicker(b"", keep="x")
    with pytest.raises(ModelError, match="cut off"):
        quicker(b"\x3a\x7f", keep="x")
