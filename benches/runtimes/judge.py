"""What came out of a runtime against the same network in float64."""

from pathlib import Path

import numpy as np

from arrays import decode

# The most that float32 may be off, of the largest magnitude that enters a sum.
TOLERANCE = 1e-4
# The same in float64.
EXACT = 1e-9


def read(path):
    return decode(Path(path).read_text()) if Path(path).exists() else None


def kind(name):
    """The layer and the quantity of an output that was added; none of the model's own."""
    return name.removeprefix("slp/").rsplit("/", 1) if name.startswith("slp/") else None


def top(array):
    finite = np.abs(array[np.isfinite(array)]) if array.size else array
    return float(finite.max()) if finite.size else 0.0


def scales(truth, x):
    """The magnitude that rounding is relative to, by output."""
    found, reach = {}, max(top(x), 1e-30)
    for name, array in truth.items():
        layer, quantity = kind(name) or ("", "")
        v, w = (truth.get(f"slp/{layer}/{q}", np.zeros(1)) for q in ("activity", "weights"))
        # What x·ŵ adds up; a weight of which only rounding is left is none.
        sums = max(top(v), top(w) * reach)
        special = {
            "activity": sums,
            "bias": sums,
            "bias-terms": max(sums, top(array)),
            "weights": max(top(w), 1e-3 * top(v) / reach),
            "icd": top(v),
            "centre": max(top(array), reach),
            "radius": max(top(array), reach),
        }
        found[name] = max(special.get(quantity, top(array)), 1e-30)
    return found


def rows_in_state(found, truth):
    """The samples in the state that float64 takes, and how many switches of the others differ."""
    same, switched = True, 0
    for name in truth:
        got = found.get(name)
        # Of one sample alone the state has no axis of samples.
        if (kind(name) or ("", ""))[1] != "state" or got is None or got.shape != truth[name].shape or got.ndim < 2:
            continue
        differ = got != truth[name]
        switched += int(differ.sum())
        same = same & ~differ.any(tuple(range(1, differ.ndim)))
    return same, switched


def identity(outputs, x):
    """The largest error of v = x·ŵ + b̂, of the largest magnitudes that it adds up in a layer."""
    worst = 0.0
    for name, w in outputs.items():
        layer, quantity = kind(name) or ("", "")
        v, b = (outputs.get(f"slp/{layer}/{q}") for q in ("activity", "bias"))
        if quantity != "weights" or v is None or b is None:
            continue
        if not v.size or b.shape != v.shape or w.size != v.size * (x.size // (len(x) if v.ndim == 2 else 1)):
            return np.inf
        flat = w.astype(np.float64).reshape(*v.shape, -1)
        products = flat * x.astype(np.float64).reshape((len(x), 1, -1) if v.ndim == 2 else (1, -1))
        scale = top(np.abs(products).sum(-1) + np.abs(v) + np.abs(b))
        worst = max(worst, top(products.sum(-1) + b - v) / max(scale, 1e-30))
    return worst


def error(found, expected, scale):
    if found is None or found.shape != expected.shape or not (np.isfinite(found) == np.isfinite(expected)).all():
        return np.inf
    if not np.issubdtype(expected.dtype, np.floating):
        return 0.0 if np.array_equal(found, expected) else np.inf
    finite = np.isfinite(expected)
    return top(found[finite].astype(np.float64) - expected[finite]) / scale


def own(arrays):
    return {name: array for name, array in arrays.items() if not kind(name)}


def apart(found, expected):
    """The largest error between the outputs of two runs of the model itself."""
    pairs = [(found[name], array) for name, array in own(expected).items() if name in found]
    return max((error(a, b, max(top(b), 1e-6)) for a, b in pairs), default=0.0)


def compared(found, truth, x):
    """The largest error of an added output and its name, and how many switches are taken otherwise."""
    same, switched = rows_in_state(found, truth)
    scale, worst = scales(truth, x), (0.0, "")
    for name, expected in truth.items():
        layer, quantity = kind(name) or ("", "state")
        # Which switch is the nearest is a matter of rounding where several are as near.
        if quantity in ("state", "radius-neuron"):
            continue
        got, rows = found.get(name), truth.get(f"slp/{layer}/weights")
        if got is None or got.shape != expected.shape:
            return (np.inf, name), switched
        if quantity in ("centre", "icd") and rows is not None:
            # The direction of a row of which only rounding is left says nothing.
            sizes = np.abs(rows).reshape(*truth[f"slp/{layer}/activity"].shape, -1).max(-1)
            none = (sizes < 1e-3 * scale[f"slp/{layer}/weights"]).reshape(sizes.shape + (1,) * (rows.ndim - sizes.ndim))
            got, expected = np.where(none, 0, got), np.where(none, 0, expected)
        if same is not True:
            got, expected = got[same], expected[same]
        worst = max(worst, (error(got, expected, scale[name]), name))
    return worst, switched


def judge(job, told, truth, found):
    """The row of one job in one runtime."""
    row = {"name": job["name"], "group": job["group"], **{k: told[k] for k in ("model", "seconds") if k in told}}
    otherwise = {"verdict": "model", "why": "it computes the model itself otherwise"}
    if not told.get("ran"):
        if found and truth and apart(found, truth) > TOLERANCE:
            return row | otherwise
        verdict = "model" if "model" in told else "not run" if told.get("loaded") else "not loaded"
        return row | {"verdict": verdict, "why": told.get("model") or told.get("error", "")}
    if truth is None:
        return row | {"verdict": "no truth"}
    x = next(iter(read(job["feed"]).values()))
    (row["error"], row["worst"]), row["switched"] = compared(found, truth, x)
    row["identity"], row["changed"] = identity(found, x), told.get("changed", 0.0)
    if apart(found, truth) > TOLERANCE:
        return row | otherwise
    right = max(row["error"], row["identity"], row["changed"]) <= TOLERANCE
    return row | {"verdict": "agrees" if right else "wrong"}
