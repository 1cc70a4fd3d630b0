"""Compares what slpc makes of a file with the rows of a Jacobian that autograd gives."""

import subprocess
import time
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
import torch

import reference

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


@dataclass
class Question:
    """What slpc is asked: the arguments behind the file, and whether the file's input is a batch of samples."""

    slpc: str
    arguments: list[str] = field(default_factory=list)
    batched: bool = True


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


def transform(question, model):
    """The augmented file, or the reason why there is none; with the seconds it took."""
    out = model.with_suffix(".slp.onnx")
    command = [question.slpc, "transform", model, "-o", out, *question.arguments]
    if not question.batched:
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


def compared(question, files, inputs, truth):
    """One row of the table: `files` by bits, inputs in float64, the neurons and rows that autograd gives."""
    x = inputs[0] if question.batched else inputs[0][None]
    result, paths = {}, {}
    for bits in (32, 64):
        paths[bits] = files[bits]
        if bits == 32:
            result["before"] = len(onnx.load(paths[32], load_external_data=False).graph.node)
        out, seconds, reason = transform(question, paths[bits])
        if bits == 32:
            result["seconds"] = seconds
        if out is None:
            crash = reason.startswith("exit ")
            return result | {"verdict": "wrong" if crash else "refused", "why": reason, "bits": bits}
        paths[bits] = out
    result["after"] = len(onnx.load(paths[32], load_external_data=False).graph.node)

    feeds = {i.name: v for i, v in zip(onnx.load(paths[64], load_external_data=False).graph.input, inputs)}
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
