"""An ONNX graph as a JAX function, for the operators of the measured networks."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax import lax


def function(path, upto=None):
    """A function of the input that returns the graph's output, or the value that the node `upto` computes."""
    graph = onnx.load(path).graph
    name = next((n.output[0] for n in graph.node if n.name == upto), graph.output[0].name)
    return lambda x: _walk(graph, x)[name]


def values(path, names, x):
    """The values called `names`, for the input `x`, as JAX computes them."""
    graph = onnx.load(path).graph
    found = jax.jit(lambda x: _walk(graph, x))(jnp.asarray(x))
    return [np.array(found[n]) for n in names]


def _walk(graph, x):
    """Every value of the graph; those that nobody asks for are dropped by the compiler."""
    found = {i.name: jnp.asarray(onnx.numpy_helper.to_array(i)) for i in graph.initializer} | {graph.input[0].name: x}
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        found[node.output[0]] = _apply(node.op_type, attributes, [found[i] for i in node.input])
    return found


def _apply(op, a, v):
    if op == "Conv":
        pads = a.get("pads", [0, 0, 0, 0])
        y = lax.conv_general_dilated(v[0], v[1], a.get("strides", [1, 1]), [(pads[0], pads[2]), (pads[1], pads[3])],
                                     rhs_dilation=a.get("dilations"), feature_group_count=a.get("group", 1))
        return y + v[2][:, None, None] if len(v) > 2 else y
    if op == "Relu":
        return jax.nn.relu(v[0])
    if op == "MaxPool":
        pads, strides, kernel = a.get("pads", [0, 0, 0, 0]), a["strides"], a["kernel_shape"]
        if a.get("ceil_mode") and any((n + 2 * p - k) % s for n, p, k, s in zip(v[0].shape[2:], pads, kernel, strides)):
            raise NotImplementedError("a MaxPool whose last window is cut off")
        return lax.reduce_window(v[0], -jnp.inf, lax.max, (1, 1, *kernel), (1, 1, *strides),
                                 [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
    if op == "Gemm":
        if a.get("transA") or a.get("alpha", 1.0) != 1.0 or a.get("beta", 1.0) != 1.0:
            raise NotImplementedError("a Gemm that scales or transposes A")
        return v[0] @ (v[1].T if a.get("transB") else v[1]) + v[2]
    if op == "GlobalAveragePool":
        return v[0].mean((2, 3), keepdims=True)
    if op == "Flatten":
        return v[0].reshape(v[0].shape[0], -1)
    if op == "Concat":
        return jnp.concatenate(v, a["axis"])
    if op == "Add":
        return v[0] + v[1]
    if op == "Identity":
        return v[0]
    raise NotImplementedError(op)
