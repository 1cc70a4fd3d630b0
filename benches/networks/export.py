"""Exports of a network, as each exporter writes them."""

import contextlib
import copy
import io
import logging
import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper


def torchscript(module, inputs, path, dynamic):
    names = [f"input{i}" if i else "input" for i in range(len(inputs))]
    axes = {name: {0: "batch"} for name in names + ["output"]} if dynamic else None
    torch.onnx.export(
        module, inputs, path, dynamo=False, input_names=names, output_names=["output"], dynamic_axes=axes
    )


def dynamo(module, inputs, path, dynamic):
    names = [f"input{i}" if i else "input" for i in range(len(inputs))]
    shapes = tuple({0: torch.export.Dim("batch")} for _ in inputs) if dynamic else None
    torch.onnx.export(
        module, inputs, path, dynamo=True, input_names=names, output_names=["output"], dynamic_shapes=shapes,
        verbose=False,
    )  # fmt: skip


def skl2onnx(module, inputs, path, dynamic):
    import skl2onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    kind = DoubleTensorType if inputs[0].dtype == torch.float64 else FloatTensorType
    shape = [None if dynamic else len(inputs[0]), *inputs[0].shape[1:]]
    options = {id(module.estimator): {"zipmap": False}} if hasattr(module.estimator, "classes_") else None
    model = skl2onnx.to_onnx(module.estimator, initial_types=[("input", kind(shape))], options=options)
    path.write_bytes(model.SerializeToString())


def narrow(graph):
    """Turns the float64 values of a graph into float32 ones."""
    double, single = onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT

    def tensor(t):
        if t.data_type == double:
            t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float32), t.name))

    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.tensor_type.elem_type == double:
            value.type.tensor_type.elem_type = single
    for t in graph.initializer:
        tensor(t)
    for node in graph.node:
        for a in node.attribute:
            if a.type == onnx.AttributeProto.TENSOR:
                tensor(a.t)
            elif a.type == onnx.AttributeProto.GRAPH:
                narrow(a.g)
            elif a.name in ("to", "dtype") and a.i == double:
                a.i = single


def exports(exporter, module, inputs, files, dynamic):
    """Writes the model in float64 and in float32, without the exporters' chatter.

    The new exporter of PyTorch is slow, so its float32 file is made of the float64 one.
    """
    write = {"torchscript": torchscript, "dynamo": dynamo, "skl2onnx": skl2onnx}[exporter]
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        for bits, kind in (64, torch.float64), (32, torch.float32):
            if exporter == "dynamo" and bits == 32:
                model = onnx.load(files[64])
                narrow(model.graph)
                onnx.save(model, files[32])
            else:
                write(copy.deepcopy(module).to(kind), tuple(i.to(kind) for i in inputs), files[bits], dynamic)
