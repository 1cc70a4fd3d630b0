"""The same network in another float type: every float tensor, type and Cast of one width in the other."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64}
# Operators whose attribute names a type.
TYPED = {"to", "dtype", "output_dtype"}


def tensor(proto, to):
    if proto.data_type in FLOATS:
        proto.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(proto).astype(FLOATS[to]), proto.name))


def attribute(attr, to):
    if attr.name in TYPED and attr.i in FLOATS:
        attr.i = to
    if attr.HasField("t"):
        tensor(attr.t, to)
    for t in attr.tensors:
        tensor(t, to)
    for inner in [attr.g] if attr.HasField("g") else attr.graphs:
        graph(inner, to)


def kind(proto, to):
    """The float types in a type: of a tensor, of a sequence of them, or of an optional one."""
    for which in ("tensor_type", "sparse_tensor_type"):
        if proto.HasField(which) and getattr(proto, which).elem_type in FLOATS:
            getattr(proto, which).elem_type = to
    for which in ("sequence_type", "optional_type"):
        if proto.HasField(which):
            kind(getattr(proto, which).elem_type, to)


def graph(proto, to):
    for t in proto.initializer:
        tensor(t, to)
    for value in [*proto.input, *proto.output, *proto.value_info]:
        kind(value.type, to)
    for node in proto.node:
        for attr in node.attribute:
            attribute(attr, to)
        # A float constant may stand in the operator itself, and one without `value` is float32.
        if node.op_type == "ConstantOfShape" and not node.attribute:
            zero = numpy_helper.from_array(np.zeros(1, FLOATS[to]))
            node.attribute.append(onnx.helper.make_attribute("value", zero))
        if node.op_type == "Constant" and node.attribute[0].name in ("value_float", "value_floats"):
            value = onnx.helper.get_attribute_value(node.attribute[0])
            made = onnx.helper.make_attribute("value", numpy_helper.from_array(np.asarray(value, FLOATS[to])))
            node.attribute[0].CopyFrom(made)


def of_type(model, to):
    """A copy of the model with its float tensors in float32 or float64."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph(model.graph, to)
    for function in model.functions:
        for node in function.node:
            for attr in node.attribute:
                attribute(attr, to)
    return model


def single(model):
    return of_type(model, TensorProto.FLOAT)


def double(model):
    """The model in float64, with no Gemm that adds C, which tract has in float32 only."""
    model = of_type(model, TensorProto.DOUBLE)
    for i in reversed([i for i, node in enumerate(model.graph.node) if node.op_type == "Gemm" and len(node.input) > 2]):
        node = model.graph.node[i]
        if any(a.name == "beta" and a.f != 1 for a in node.attribute) or not node.input[2]:
            continue
        inside = f"{node.output[0]}/product"
        model.graph.node.insert(i + 1, onnx.helper.make_node("Add", [inside, node.input[2]], [node.output[0]]))
        del node.input[2:]
        node.output[0] = inside
    return model
