"""The networks whose cost is measured, one family a sweep, with random weights from a fixed seed.

Weights are scaled so that activities neither vanish nor overflow however deep a network is: numbers too
small for float32's normal range would be slow, and that would be mistaken for a cliff.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """Collects nodes and weights; each method appends one layer to `value` and returns the new value's name."""

    def __init__(self):
        self.random = np.random.RandomState(0)
        self.nodes, self.weights = [], []

    def node(self, op, *inputs, **attributes):
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=f"{op}{len(self.nodes)}", **attributes))
        return out

    def weight(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def conv(self, value, channels, width, side, **attributes):
        """`side` x `side` convolution from `channels` to `width`, with ReLU."""
        kernel = self.random.randn(width, channels, side, side) * np.sqrt(2 / (channels * side * side))
        bias = self.weight(self.random.rand(width) * 0.02)
        return self.node("Relu", self.node("Conv", value, self.weight(kernel), bias, **attributes))

    def near_identity(self, value, width):
        """A 3 x 3 convolution close to the identity, with ReLU."""
        kernel = self.random.randn(width, width, 3, 3) * 0.005
        kernel[np.arange(width), np.arange(width), 1, 1] += 1
        bias = self.weight(self.random.rand(width) * 0.001)
        return self.node("Relu", self.node("Conv", value, self.weight(kernel), bias, pads=[1] * 4))

    def pool(self, value, side, stride):
        return self.node("MaxPool", value, kernel_shape=[side, side], strides=[stride, stride])

    def full(self, value, inputs, outputs):
        kernel = self.random.randn(inputs, outputs) / np.sqrt(inputs)
        return self.node("Gemm", value, self.weight(kernel), self.weight(self.random.rand(outputs) * 0.02))

    def save(self, path, shape, outputs):
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes, "growth",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], outputs])], self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def squeezenet(path):
    """SqueezeNet 1.1 with 1,000 outputs, at 64 x 64 pixels."""
    net = Net()
    v, channels = net.conv("x", 3, 64, 3, strides=[2, 2]), 64
    for squeeze, expand in ((0, 0), (16, 64), (16, 64), (0, 0), (32, 128), (32, 128), (0, 0),
                            (48, 192), (48, 192), (64, 256), (64, 256)):
        if not squeeze:
            v = net.pool(v, 3, 2)
            continue
        s = net.conv(v, channels, squeeze, 1)
        v = net.node("Concat", net.conv(s, squeeze, expand, 1), net.conv(s, squeeze, expand, 3, pads=[1] * 4), axis=1)
        channels = 2 * expand
    net.node("Flatten", net.node("GlobalAveragePool", net.conv(v, channels, 1000, 1)))
    net.save(path, [1, 3, 64, 64], 1000)


def deep(path, layers):
    """`layers` convolutions of 8 channels with ReLU on 16 x 16 pixels, and 10 outputs."""
    net = Net()
    v = "x"
    for _ in range(layers):
        v = net.near_identity(v, 8)
    net.full(net.node("Flatten", v), 8 * 16 * 16, 10)
    net.save(path, [1, 8, 16, 16], 10)


def two_conv(path):
    """2CONV for 32 x 32 pixels with a symbolic batch size N."""
    net = Net()
    v = net.pool(net.conv("x", 3, 64, 5), 2, 2)
    v = net.pool(net.conv(v, 64, 64, 5), 2, 2)
    v = net.node("Relu", net.full(net.node("Flatten", v), 1600, 256))
    net.full(v, 256, 10)
    net.save(path, ["N", 3, 32, 32], 10)


def small(path, side):
    """Three convolutions and two poolings on `side` x `side` pixels, a mean over space, and 10 outputs."""
    net = Net()
    v = net.pool(net.conv("x", 3, 8, 3, pads=[1] * 4), 2, 2)
    v = net.pool(net.conv(v, 8, 16, 3, pads=[1] * 4), 2, 2)
    v = net.node("GlobalAveragePool", net.conv(v, 16, 16, 3, pads=[1] * 4))
    net.full(net.node("Flatten", v), 16, 10)
    net.save(path, [1, 3, side, side], 10)
