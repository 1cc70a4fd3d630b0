"""Run an ONNX model in float64 as the standard defines it.

ONNX Runtime has no float64 kernels for convolutions and pooling, so onnx's own reference evaluator does it. The
operators it computes an element at a time are computed by PyTorch or in whole arrays here.
"""

import numpy as np
import torch
import torch.nn.functional as F
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_resize import Resize as SlowResize


def same_pads(sizes, kernel, strides, dilations, upper):
    """The pads of auto_pad SAME_UPPER and SAME_LOWER, in ONNX's order."""
    begins, ends = [], []
    for size, k, s, d in zip(sizes, kernel, strides, dilations):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if upper else large)
        ends.append(large if upper else small)
    return begins + ends


def window(sizes, kernel, auto_pad, dilations, pads, strides):
    """Dilations, pads and strides with their defaults filled in."""
    rank = len(kernel)
    dilations, strides = list(dilations or [1] * rank), list(strides or [1] * rank)
    auto = auto_pad.decode() if isinstance(auto_pad, bytes) else auto_pad
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return dilations, same_pads(sizes, kernel, strides, dilations, auto == "SAME_UPPER"), strides
    return dilations, list(pads or [0] * 2 * rank), strides


def pad(x, pads, value=0.0):
    """Pads the spatial axes; `pads` are ONNX's, all begins and then all ends."""
    rank = len(pads) // 2
    pairs = [p for axis in reversed(range(rank)) for p in (pads[axis], pads[axis + rank])]
    return F.pad(x, pairs, value=value)


class Conv(OpRun):
    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None, pads=None, strides=None):
        dilations, pads, strides = window(x.shape[2:], w.shape[2:], auto_pad, dilations, pads, strides)
        run = (F.conv1d, F.conv2d, F.conv3d)[w.ndim - 3]
        bias = None if b is None else torch.from_numpy(b)
        x = pad(torch.from_numpy(x), pads)
        y = run(x, torch.from_numpy(w), bias, strides, 0, dilations, group or 1)
        return (y.numpy(),)


class ConvTranspose(OpRun):
    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None, output_padding=None,
             output_shape=None, pads=None, strides=None):
        rank = w.ndim - 2
        if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            raise NotImplementedError("ConvTranspose with output_shape or auto_pad")
        _, pads, strides = window(x.shape[2:], w.shape[2:], "NOTSET", dilations, pads, strides)
        dilations = list(dilations or [1] * rank)
        run = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
        y = run(torch.from_numpy(x), torch.from_numpy(w), None, strides, 0, 0, group or 1, dilations)
        extra = list(output_padding or [0] * rank)
        y = pad(y, [-p for p in pads[:rank]] + [e - p for e, p in zip(extra, pads[rank:])])
        if b is not None:
            y = y + torch.from_numpy(b).reshape([-1] + [1] * rank)
        return (y.numpy(),)


def windows(x, kernel, dilations, pads, strides, ceil, value):
    """Every window of every map: shape (N, C, windows, elements), and the windows' grid."""
    rank = len(kernel)
    grid, padded = [], list(pads)
    for i in range(rank):
        reach = (kernel[i] - 1) * dilations[i] + 1
        length = x.shape[i + 2] + pads[i] + pads[i + rank]
        count = (-(-(length - reach) // strides[i]) if ceil else (length - reach) // strides[i]) + 1
        if ceil and (count - 1) * strides[i] >= x.shape[i + 2] + pads[i]:
            count -= 1
        padded[i + rank] += max((count - 1) * strides[i] + reach - length, 0)
        grid.append(count)
    x = np.pad(x, [(0, 0), (0, 0)] + [(padded[i], padded[i + rank]) for i in range(rank)], constant_values=value)
    taps = np.meshgrid(*[np.arange(k) * d for k, d in zip(kernel, dilations)], indexing="ij")
    places = np.meshgrid(*[np.arange(n) * s for n, s in zip(grid, strides)], indexing="ij")
    index = tuple(p.reshape(-1, 1) + t.reshape(1, -1) for p, t in zip(places, taps))
    return x[(slice(None), slice(None)) + index], index, padded, grid


class MaxPool(OpRun):
    def _run(self, x, auto_pad=None, ceil_mode=None, dilations=None, kernel_shape=None, pads=None, storage_order=None,
             strides=None):
        sizes = x.shape[2:]
        dilations, pads, strides = window(sizes, kernel_shape, auto_pad, dilations, pads, strides)
        taken, index, padded, grid = windows(x, kernel_shape, dilations, pads, strides, ceil_mode, -np.inf)
        shape = x.shape[:2] + tuple(grid)
        winner = taken.argmax(axis=3)
        y = np.take_along_axis(taken, winner[..., None], axis=3)[..., 0].reshape(shape)
        if self.n_outputs == 1 if hasattr(self, "n_outputs") else len(self.onnx_node.output) == 1:
            return (y,)
        flat = np.zeros(index[0].shape, np.int64)
        for axis, places in enumerate(index):
            flat = flat * sizes[axis] + places - padded[axis]
        maps = np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2] + (1,)) * int(np.prod(sizes))
        return y, (flat[np.arange(flat.shape[0]), winner] + maps).reshape(shape)


class AveragePool(OpRun):
    def _run(self, x, auto_pad=None, ceil_mode=None, count_include_pad=None, dilations=None, kernel_shape=None,
             pads=None, strides=None):
        dilations, pads, strides = window(x.shape[2:], kernel_shape, auto_pad, dilations, pads, strides)
        ones = np.ones((1, 1) + x.shape[2:], x.dtype)
        if count_include_pad:
            rank = len(kernel_shape)
            edges = [(0, 0), (0, 0)] + [(pads[i], pads[i + rank]) for i in range(rank)]
            x, ones, pads = np.pad(x, edges), np.pad(ones, edges, constant_values=1), [0] * len(pads)
        taken, _, _, grid = windows(x, kernel_shape, dilations, pads, strides, ceil_mode, 0.0)
        counted, _, _, _ = windows(ones, kernel_shape, dilations, pads, strides, ceil_mode, 0.0)
        return ((taken.sum(axis=3) / counted.sum(axis=3)).reshape(x.shape[:2] + tuple(grid)),)


class GridSample(OpRun):
    def _run(self, x, grid, align_corners=None, mode=None, padding_mode=None):
        mode = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
        grid = torch.from_numpy(grid.astype(x.dtype))
        y = F.grid_sample(torch.from_numpy(x), grid, mode, padding_mode, bool(align_corners))
        return (y.numpy(),)


class Resize(SlowResize):
    """Separable: the evaluator's own Resize of the basis vectors gives the matrix of each axis."""

    def _run(self, x, roi=None, scales=None, sizes=None, **attributes):
        axes = attributes.get("axes")
        if axes is None and attributes.get("keep_aspect_ratio_policy") in (None, "stretch") and roi is None:
            for axis in range(x.ndim):
                scale = None if scales is None else scales[axis : axis + 1]
                size = None if sizes is None else sizes[axis : axis + 1]
                if (scale is not None and scale[0] == 1) or (size is not None and size[0] == x.shape[axis]):
                    continue
                rows = [super(Resize, self)._run(e, None, scale, size, **attributes)[0] for e in np.eye(x.shape[axis])]
                x = np.moveaxis(np.tensordot(x, np.stack(rows), axes=(axis, 0)), -1, axis)
            return (x,)
        return super()._run(x, roi, scales, sizes, **attributes)


class GatherElements(OpRun):
    def _run(self, data, indices, axis=None):
        axis = (axis or 0) % data.ndim
        places = list(np.indices(indices.shape, sparse=True))
        places[axis] = indices
        return (data[tuple(places)],)


class Erf(OpRun):
    def _run(self, x):
        return (torch.erf(torch.from_numpy(np.asarray(x))).numpy(),)


class ScatterElements(OpRun):
    def _run(self, data, indices, updates, axis=None, reduction=None):
        places = list(np.indices(indices.shape, sparse=True))
        axis = (axis or 0) % data.ndim
        places[axis] = np.where(indices < 0, indices + data.shape[axis], indices)
        return (scatter(data, tuple(places), updates, reduction),)


class ScatterND(OpRun):
    def _run(self, data, indices, updates, reduction=None):
        return (scatter(data, tuple(np.moveaxis(indices, -1, 0)), updates, reduction),)


def scatter(data, places, updates, reduction):
    y = data.copy()
    ufunc = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}.get(reduction)
    if ufunc is None:
        y[places] = updates
    else:
        ufunc.at(y, places, updates)
    return y


class GatherND(OpRun):
    def _run(self, data, indices, batch_dims=None):
        lead = np.indices(indices.shape[:-1], sparse=True)[: batch_dims or 0]
        return (data[tuple(lead) + tuple(np.moveaxis(indices, -1, 0))],)


FAST = [
    Conv, ConvTranspose, MaxPool, AveragePool, GridSample, Resize, Erf, ScatterElements, ScatterND, GatherElements,
    GatherND,
]  # fmt: skip


def run(path, feeds, wanted):
    """The values of the `wanted` outputs of the model at `path`."""
    for op in FAST:
        op.op_domain = ""
    with torch.no_grad():
        return ReferenceEvaluator(str(path), new_ops=FAST).run(wanted, feeds)
