"""Figures 6 and 8, states and patterns of a small piecewise linear network, by brute force.

Jacobians are central differences of the reference evaluator in double precision, which are exact
within a linear region. Usage: studies.py MODEL OTHER DATA.npy; prints JSON.
"""

import json
import sys

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

LAYERS = ["conv", "pooled", "dense", "scores"]
GAMMA = 0.9


def evaluator(path):
    model = onnx.load(path)
    known = {value.name for value in model.graph.output}
    for name in LAYERS + ["passed"]:
        if name not in known:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None))
    names = [value.name for value in model.graph.output]
    session = ReferenceEvaluator(model)
    return lambda x: dict(zip(names, session.run(names, {"x": x})))


def rows(run, x, name, step=1e-6):
    v = run(x)[name].ravel()
    jacobian = np.zeros((v.size, x.size))
    for i in range(x.size):
        way = np.zeros(x.size)
        way[i] = step
        way = way.reshape(x.shape)
        jacobian[:, i] = (run(x + way)[name] - run(x - way)[name]).ravel() / (2 * step)
    return v, jacobian


def icd(v, w):
    norm = (w**2).sum(1, keepdims=True)
    return np.where(norm > 1e-12, v[:, None] * w**2 / np.where(norm > 0, norm, 1), 0)


def power(s):
    s = s[s > s[0] * 1e-6] if s.size and s[0] > 0 else s[:0]
    return int(np.argmax(np.cumsum(s) / s.sum() >= GAMMA - 1e-9)) + 1 if s.size else 0


def ranks(a):
    order = a.argsort(kind="stable")
    ranked = np.empty(a.size)
    ranked[order] = np.arange(a.size)
    for value in np.unique(a):
        ranked[a == value] = ranked[a == value].mean()
    return ranked


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    return float(np.corrcoef(a, b)[0, 1])


def winners(passed):
    channels, height, width = passed.shape
    found = []
    for c in range(channels):
        for y in range(0, height, 2):
            for x in range(0, width, 2):
                places = [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)]
                flat = [c * height * width + a * width + b for a, b in places]
                found.append((flat, max(flat, key=lambda i: (passed.ravel()[i], -i))))
    return found


def study(run, other, data):
    out = {"power": {}, "singular": [], "inactive": [], "idle": [], "radius": [], "rho": {"weights": [], "icd": [], "ig": []}}
    for name in LAYERS:
        out["power"][name] = []
    for x in data:
        x = x[None]
        values = run(x)
        for name in LAYERS:
            v, w = rows(run, x, name)
            s = np.linalg.svd(icd(v, w), compute_uv=False)
            out["power"][name].append(power(s))
            if name == "scores":
                out["singular"].append(s.tolist())
        conv, dense = values["conv"][0], values["dense"].ravel()
        off = (conv <= 0).ravel()
        passed = np.maximum(conv, 0)
        won = winners(passed)
        lost = ~np.isin(np.arange(conv.size), [winner for _, winner in won])
        out["inactive"].append([float(off.mean()), float((dense <= 0).mean())])
        out["idle"].append(float((off | lost).mean()))
        nearest = np.inf
        v, w = rows(run, x, "conv")
        lengths = np.linalg.norm(w, axis=1)
        nearest = min(nearest, (np.abs(v) / lengths).min())
        through = w * (v > 0)[:, None]
        for flat, winner in won:
            for loser in flat:
                if loser != winner and (v[winner] > 0 or v[loser] > 0):
                    margin = passed.ravel()[winner] - passed.ravel()[loser]
                    nearest = min(nearest, margin / np.linalg.norm(through[winner] - through[loser]))
        v, w = rows(run, x, "dense")
        lengths = np.linalg.norm(w, axis=1)
        nearest = min(nearest, (np.abs(v) / np.where(lengths > 1e-9, lengths, np.nan))[lengths > 1e-9].min())
        out["radius"].append(float(nearest))
        maps = []
        for network in (run, other):
            neuron = int(network(x)["scores"].argmax())
            v, w = rows(network, x, "scores")
            steps = [(t + 0.5) / 8 for t in range(8)]
            mean = np.mean([rows(network, x * t, "scores", 1e-7)[1][neuron] for t in steps], axis=0)
            maps.append((w[neuron], icd(v, w)[neuron], x.ravel() * mean))
        # Rounding makes what the differences leave of 0 equal again; squares need more digits.
        for (key, digits), a, b in zip([("weights", 6), ("icd", 12), ("ig", 6)], *maps):
            out["rho"][key].append(spearman(np.round(a, digits), np.round(b, digits)))
    return out


run, other = evaluator(sys.argv[1]), evaluator(sys.argv[2])
print(json.dumps(study(run, other, np.load(sys.argv[3]))))
