"""The networks that are measured: PyTorch modules with fixed random weights, and the same as ONNX files.

All are written with the TorchScript exporter and batch 1. Batch normalisation is folded into the
convolutions before anything is measured, so that PyTorch gains from it as much as ONNX Runtime does.
"""

import os
import warnings

import numpy as np
import onnx
import torch
import torchvision
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

SHAPES = {
    "squeezenet": (1, 3, 224, 224),
    "resnet18": (1, 3, 224, 224),
    "vgg32": (1, 3, 32, 32),
    "vgg64": (1, 3, 64, 64),
    "vgg224": (1, 3, 224, 224),
    "2conv": (1, 3, 32, 32),
    "mlp": (1, 784),
}


def build(name):
    """The module `name`, in evaluation mode, and the input's shape."""
    torch.manual_seed(0)
    maker = {"squeezenet": _squeezenet, "resnet18": _resnet, "vgg32": lambda: _vgg(1), "vgg64": lambda: _vgg(2),
             "vgg224": lambda: _vgg(7), "2conv": _two_conv, "mlp": _mlp}[name]
    module = maker().eval()
    for p in module.parameters():
        p.requires_grad_(False)
    for m in module.modules():
        if isinstance(m, nn.ReLU):
            m.inplace = False
        # The exporter shares equal constants through Identity nodes, which no trained network has.
        if getattr(m, "bias", None) is not None and not m.bias.any():
            m.bias.uniform_(-0.05, 0.05)
    return module, SHAPES[name]


def export(name, path):
    """Write the network `name` as ONNX to `path`."""
    module, shape = build(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, torch.zeros(shape), path, input_names=["x"], output_names=["logits"],
                          opset_version=17, dynamo=False)


def weights_of_2conv():
    """Where the weights of 2CONV come from, in words."""
    return "trained" if os.environ.get("SLPC_TESTDATA") else "random"


def _squeezenet():
    return torchvision.models.squeezenet1_1(weights=None)


def _resnet():
    net = torchvision.models.resnet18(weights=None).eval()
    for m in list(net.modules()):
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("0", "1")):
            if isinstance(getattr(m, norm, None), nn.BatchNorm2d):
                setattr(m, conv, fuse_conv_bn_eval(getattr(m, conv), getattr(m, norm)))
                setattr(m, norm, nn.Identity())
    return net


def _vgg(side):
    """VGG-16 whose last map is `side` x `side`: at 64 pixels the first full layer has 512*2*2 inputs."""
    features = torchvision.models.vgg16(weights=None).features
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(512 * side * side, 4096), nn.ReLU(),
                         nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000))


def _two_conv():
    """2CONV for CIFAR-10; its trained weights where SLPC_TESTDATA names the folder of the test data."""
    net = nn.Sequential(nn.Conv2d(3, 64, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(64, 64, 5), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1600, 256), nn.ReLU(), nn.Linear(256, 10))
    data = os.environ.get("SLPC_TESTDATA")
    if data:
        model = onnx.load(os.path.join(data, "models", "2conv_cifar10_true.onnx"))
        values = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
        nodes = [n for n in model.graph.node if n.op_type in ("Conv", "Gemm")]
        for node, layer in zip(nodes, [m for m in net if hasattr(m, "weight")], strict=True):
            weight = values[node.input[1]]
            layer.weight.data = torch.from_numpy(weight.reshape(layer.weight.shape).copy())
            layer.bias.data = torch.from_numpy(values[node.input[2]].copy())
    return net


def _mlp():
    """784-4096-4096-10; the first layer's bias leaves a fifth of its neurons active at the measured input."""
    net = nn.Sequential(nn.Linear(784, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10))
    with torch.no_grad():
        layer = net[0]
        layer.bias.zero_()
        layer.bias -= torch.quantile(layer(torch.from_numpy(sample((1, 784), 0)))[0], 0.8001)
    return net


def sample(shape, seed):
    """A random input."""
    return np.random.RandomState(seed).rand(*shape).astype(np.float32)


def switches_differ(module, path, x, other=None):
    """How many ReLUs and pooling windows are in another state in ONNX Runtime than in PyTorch, or than in `other`.

    `other` gives the values of given names, as ONNX Runtime's session does, by a function of the path, the names and x.
    """
    pytorch, hooks = [], []
    for m in module.modules():
        if isinstance(m, (nn.ReLU, nn.MaxPool2d)):
            hooks.append(m.register_forward_pre_hook(lambda m, args: pytorch.append((m, args[0].clone()))))
    module(torch.from_numpy(x))
    for h in hooks:
        h.remove()
    names = [n.input[0] for n in onnx.load(path).graph.node if n.op_type in ("Relu", "MaxPool")]
    expected = _values(path, names, x)
    found = [a for _, a in pytorch] if other is None else [torch.from_numpy(v) for v in other(path, names, x)]
    states = zip((m for m, _ in pytorch), found, expected, strict=True)
    return sum(int((_state(m, a) != _state(m, torch.from_numpy(b))).sum()) for m, a, b in states)


def _values(path, names, x):
    """The values called `names` of the model, as ONNX Runtime computes them."""
    import onnxruntime

    model = onnx.load(path)
    del model.graph.output[:]
    for n in dict.fromkeys(names):
        model.graph.output.append(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = dict(zip(dict.fromkeys(names), session.run(None, {"x": x})))
    return [values[n] for n in names]


def _state(module, value):
    if isinstance(module, nn.ReLU):
        return value > 0
    return nn.functional.max_pool2d(value, module.kernel_size, module.stride, module.padding, module.dilation,
                                    module.ceil_mode, return_indices=True)[1]
