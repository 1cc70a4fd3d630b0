"""One network: build it, explain it with autograd, and compare what slpc makes of each of its exports."""

import json
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from compare import CANDIDATES, Question, compared, first_line
from export import exports

# Samples among which those are chosen that lie farthest from kinks.
DRAWN = 6


def enliven(module, inputs):
    """Random weights that leave no unit dead and no branch switched off, and fitting statistics of the batch norms."""
    with torch.no_grad():
        for p in module.parameters():
            if p.numel() > 1 and p.min() == p.max() or p.numel() == 1:
                value = p.flatten()[0].item()
                if value == 0 and p.ndim > 1:
                    p.normal_(std=p[0].numel() ** -0.5)
                elif 0 < abs(value) < 0.1:
                    p.uniform_(0.3, 0.8)
                else:
                    p.add_(0.1 * torch.randn_like(p))
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    if norms:
        module.train()
        for m in module.modules():
            if isinstance(m, (nn.Dropout, nn.Dropout2d)) or "Drop" in type(m).__name__:
                m.eval()
        with torch.no_grad():
            for _ in range(2):
                module(*[torch.randn(8, *i.shape[1:]) for i in inputs])
    return module.eval()


def autograd(module, inputs, batched, count=CANDIDATES):
    """The rows of the Jacobian of the `count` largest outputs, which those are, for each sample."""
    x = inputs[0].clone().requires_grad_()
    y = module(x, *inputs[1:])
    flat = y.reshape(len(y) if batched else 1, -1)
    neurons = flat.detach().topk(min(count, flat.shape[1])).indices
    # Samples are independent, so that one sweep gives a row of each.
    picked = flat.gather(1, neurons).sum(0)
    rows = [torch.autograd.grad(s, x, retain_graph=True)[0] for s in picked]
    rows = torch.stack(rows, 1) if batched else torch.stack(rows)[None]
    if not rows.flatten(2).abs().amax(2)[:, :3].min() > 0:
        raise ValueError("an output to explain is dead: these weights show nothing")
    return neurons.numpy(), rows.numpy()


def away_from_kinks(module, inputs, batched):
    """The two samples on whose rows float32 and float64 agree best: float32 takes the same switches there."""
    _, double = autograd(module.double(), [i.double() for i in inputs], batched, 2)
    _, single = autograd(module.float(), inputs, batched, 2)
    wide = tuple(range(2, double.ndim))
    error = np.median(np.abs(double - single).max(wide) / np.abs(double).max(wide), axis=1)
    best = sorted(np.argsort(error)[:2])
    return [i[best] if batched else i for i in inputs]


def compare(network, exporter, dynamic, module, inputs, truth, slpc, folder):
    """One row of the table."""
    count = len(truth[0]) if dynamic or not network.batched else 1
    inputs = [i[:count] if network.batched else i for i in inputs]
    files = {bits: folder / f"m{bits}.onnx" for bits in (64, 32)}
    try:
        exports(exporter, module, inputs, files, dynamic)
    except Exception as e:
        return {"verdict": "not exported", "why": first_line(e)}
    arguments = ["--layer", f"y={network.layer}", "--neurons", network.neurons]
    if len(network.shapes) > 1:
        arguments += ["--input", "input"]
    question = Question(slpc, arguments, network.batched)
    return compared(question, files, [i.numpy() for i in inputs], [t[:count] for t in truth])


def measure(network, slpc, only=None):
    """The rows of one network."""
    torch.backends.mha.set_fastpath_enabled(False)
    torch.manual_seed(zlib.crc32(network.name.encode()))
    inputs = [torch.randn(*[DRAWN] * network.batched, *s) for s in network.shapes]
    module = network.build()
    if "skl2onnx" not in network.exporters:
        module = enliven(module, inputs)
    for p in module.eval().parameters():
        p.requires_grad_(False)
    inputs = [i.double() for i in away_from_kinks(module, inputs, network.batched)]
    module.double()
    truth = autograd(module, inputs, network.batched)
    rows = []
    for exporter in network.exporters:
        for dynamic in (False, True) if network.batched else (False,):
            if only and only not in f"{exporter} {'dynamic' if dynamic else 'static'}":
                continue
            with tempfile.TemporaryDirectory() as folder:
                row = compare(network, exporter, dynamic, module, inputs, truth, slpc, Path(folder))
            form = ("dynamic" if dynamic else "static") if network.batched else "none"
            rows.append({"name": network.name, "exporter": exporter, "batch": form} | row)
    return rows


def main(name, slpc, results, only=None):
    """Measures the network called `name` and writes its rows to the file `results`."""
    from zoo import networks

    network = next(n for n in networks() if n.name == name)
    Path(results).write_text(json.dumps(measure(network, slpc, only)))
