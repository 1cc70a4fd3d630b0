"""One network: build it, explain it with autograd, and compare what slpc makes of each of its exports."""

import json
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

import reference
from export import exports

# Rows of the reference: more than the three asked for, since float32 may rank close neurons otherwise.
CANDIDATES = 6
# Float64 against float64 with the same switches: what is above is an error, not rounding. Attributes of ONNX are
# float32 (the epsilon of a norm, the 1/6 of a hard sigmoid), so 1e-15 is out of reach for some networks.
EXACT = 1e-5
# The identity v = x w + b in float64 and in float32.
IDENTITY = {64: 1e-9, 32: 1e-4}
# Float32 in ONNX Runtime, whose switches may differ: most rows must agree.
CLOSE = 5e-2
# The same where float64 could not be run: then every row must agree.
SMOOTH = 1e-4
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


def row_errors(weights, neurons, truth):
    """The largest difference in each row, relative to the row's largest element; None for a row not in `truth`."""
    candidates, rows = truth
    errors = []
    for n, ks in enumerate(neurons):
        for i, k in enumerate(ks):
            place = np.flatnonzero(candidates[n] == k)
            if len(place):
                row = rows[n, place[0]]
                errors.append(np.abs(weights[n, i] - row).max() / np.abs(row).max())
    return errors


def identity_error(activity, weights, bias, x):
    """The worst of v - (x w + b), relative to the magnitudes that enter it."""
    terms = (weights.astype(np.float64) * x[:, None]).reshape(*bias.shape, -1)
    scale = np.abs(terms).sum(-1) + np.abs(bias) + np.abs(activity)
    return float((np.abs(activity - terms.sum(-1) - bias) / np.maximum(scale, 1e-300)).max())


def transform(slpc, model, network):
    """The augmented file, or the reason why there is none; with the seconds it took."""
    out = model.with_suffix(".slp.onnx")
    command = [slpc, "transform", model, "-o", out, "--layer", f"y={network.layer}", "--neurons", network.neurons]
    if len(network.shapes) > 1:
        command += ["--input", "input"]
    if not network.batched:
        command += ["--batch", "none"]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    seconds = time.perf_counter() - start
    if done.returncode == 0:
        return out, seconds, None
    reason = done.stderr.strip().removeprefix("error: ")
    return None, seconds, reason if done.returncode == 2 else f"exit {done.returncode}: {reason}"


def explained(values):
    """The outputs of slpc with a sample axis in front: a file whose input is one sample has none."""
    return values if values[0].ndim == 2 else [v[None] for v in values]


OUTPUTS = [f"slp/y/{part}" for part in ("activity", "weights", "bias", "neurons")]


def compare(network, exporter, dynamic, module, inputs, truth, slpc, folder):
    """One row of the table."""
    count = len(truth[0]) if dynamic or not network.batched else 1
    inputs = [i[:count] if network.batched else i for i in inputs]
    truth = truth[0][:count], truth[1][:count]
    x = inputs[0].numpy() if network.batched else inputs[0].numpy()[None]
    result, paths = {}, {}
    files = {bits: folder / f"m{bits}.onnx" for bits in (64, 32)}
    try:
        exports(exporter, module, inputs, files, dynamic)
    except Exception as e:
        return {"verdict": "not exported", "why": first_line(e)}
    for bits in (32, 64):
        paths[bits] = files[bits]
        if bits == 32:
            result["before"] = len(onnx.load(paths[32], load_external_data=False).graph.node)
        out, seconds, reason = transform(slpc, paths[bits], network)
        if bits == 32:
            result["seconds"] = seconds
        if out is None:
            crash = reason.startswith("exit ")
            return result | {"verdict": "wrong" if crash else "refused", "why": reason, "bits": bits}
        paths[bits] = out
    result["after"] = len(onnx.load(paths[32], load_external_data=False).graph.node)

    feeds = {i.name: v.numpy() for i, v in zip(onnx.load(paths[64], load_external_data=False).graph.input, inputs)}
    double = False
    try:
        v, w, b, k = explained(reference.run(paths[64], feeds, OUTPUTS))
    except Exception as e:
        # The evaluator lacks forms of Scan, activations of RNN, float64 in AffineGrid; then float32 must do.
        result["why"] = f"the reference evaluator can't run the float64 file: {first_line(e)}"
    else:
        result["error"] = max(row_errors(w, k, truth))
        result["identity64"] = identity_error(v, w, b, x)
        double = result["error"] <= EXACT and result["identity64"] <= IDENTITY[64] and np.isfinite(w).all()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(paths[32], options, ["CPUExecutionProvider"])
        feeds = {name: value.astype(np.float32) for name, value in feeds.items()}
        v, w, b, k = explained(session.run(OUTPUTS, feeds))
        errors = row_errors(w, k, truth) or [np.inf]
        result["ort"] = float(np.median(errors))
        result["identity"] = identity_error(v, w, b, x.astype(np.float32))
        single = result["identity"] <= IDENTITY[32] and np.isfinite(w).all()
    except Exception as e:
        return result | {"verdict": "wrong", "why": f"ONNX Runtime: {first_line(e)}"}
    if "error" in result:
        return result | {"verdict": "right" if double and single and result["ort"] <= CLOSE else "wrong"}
    return result | {"verdict": "right in float32" if single and max(errors) <= SMOOTH else "wrong"}


def first_line(error):
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:400]


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
