"""Checks augmented models in ONNX's checker and ONNX Runtime against what tract gave.

Takes a JSON file: a list of jobs with `name`, `model`, `original`, `inputs` and `expected` (.npz),
`tolerance`, `identity` (how exactly v = x·ŵ + b̂ must hold), and perhaps `switches` (the engines may
round a pre-activation to different sides of its kink, so that errors are measured by the norm), `singles` (each sample by itself must give what it gives in the batch) and
`same_as` (the name of an earlier job whose outputs must be equal to 1e-5). Prints a table of the
largest errors and exits with 1 where one is too large.

A job without `inputs` is fed numbers of its own, those of `feed` aside: `slopes` says how far weights
may be off central differences of the original model (`of` names the output where it is not the
layer's alias), `like` and `within` compare weights with an earlier job's, and `reference` runs it in
ONNX's reference evaluator.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

SAME = 1e-5


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(model, inputs):
    types = {i.type for i in model.get_inputs()}
    half = "tensor(float16)" in types
    # .npz files written without half precision hold float32.
    feed = {
        i.name: inputs[i.name].astype(np.float16) if half and i.type == "tensor(float16)" else inputs[i.name]
        for i in model.get_inputs()
    }
    return dict(zip([o.name for o in model.get_outputs()], model.run(None, feed)))


def error(found, expected, norm=np.inf):
    """The norm of the difference, of that of `expected`; infinite where shapes or integers differ."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return np.inf
    if found.dtype == np.int64:
        return 0.0 if np.array_equal(found, expected) else np.inf
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    scale = np.linalg.norm(expected.ravel(), norm)
    difference = np.linalg.norm((found - expected).ravel(), norm)
    return difference if scale == 0.0 else difference / scale


def worst(found, expected, norm=np.inf):
    return max((error(found[name], expected[name], norm) for name in expected), default=0.0)


def identity(inputs, outputs):
    """The largest error of v = x·ŵ + b̂, of the sum of the magnitudes; none where one is missing."""
    (x,) = [np.asarray(v, np.float64) for k, v in inputs.items() if not k.startswith("slp/")]
    errors = []
    for name in outputs:
        layer = name.removesuffix("/activity")
        quantities = [f"{layer}/{q}" for q in ("activity", "weights", "bias")]
        if layer == name or not all(q in outputs for q in quantities):
            continue
        v, w, b = [outputs[q].astype(np.float64) for q in quantities]
        products = w.reshape(*v.shape, -1) * (x.reshape(len(x), 1, -1) if v.ndim == 2 else x.reshape(1, -1))
        scale = np.abs(products).sum(-1) + np.abs(v) + np.abs(b)
        # Where everything is 0 the identity holds as it is.
        errors.append((np.abs(products.sum(-1) + b - v) / np.where(scale == 0, 1, scale)).max())
    return max(errors, default=None)


def singles(model, inputs, batch):
    """The largest difference between samples by themselves and in the batch."""
    count = len(next(iter(batch.values())))
    alone = [run(model, {k: v[n : n + 1] for k, v in inputs.items()}) for n in range(count)]
    return max(worst(one, {k: v[n : n + 1] for k, v in batch.items()}) for n, one in enumerate(alone))


class Evaluator:
    """ONNX's reference evaluator behind the methods of a session that are used here."""

    def __init__(self, path):
        self.model, self.evaluator = onnx.load(path), ReferenceEvaluator(path)

    def get_outputs(self):
        return self.model.graph.output

    def run(self, _, feed):
        return self.evaluator.run(None, feed)


def own_feed(path, given):
    """Numbers for every input, 2 for a dimension that is not fixed; none near each other."""
    feed = {}
    for i, value in enumerate(onnx.load(path, load_external_data=False).graph.input):
        tensor = value.type.tensor_type
        shape = [d.dim_value or 2 for d in tensor.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        numbers = np.random.default_rng(7 + i).uniform(-1, 1, shape)
        feed[value.name] = np.asarray(given.get(value.name, numbers)).astype(dtype)
    return feed


def slopes(original, feed, name):
    """The rows of the output by `x`, a step a component, samples apart where there are several."""
    x = feed["x"].astype(np.float64)
    step = 1e-6 if feed["x"].dtype == np.float64 else 2e-3
    at = [o.name for o in original.get_outputs()].index(name)

    def run_at(index, by):
        moved = x.copy()
        moved[index] += by
        return original.run(None, {**feed, "x": moved.astype(feed["x"].dtype)})[at].astype(np.float64)

    columns = [(run_at(i, step) - run_at(i, -step)) / (2 * step) for i in np.ndindex(*x.shape)]
    return np.stack(columns, -1)  # [y…, x flat]


def check_outside(job, done):
    """The columns for a job without inputs of its own."""
    # The checker's inference knows no operator that takes sparse weights, which runtimes make dense.
    onnx.checker.check_model(job["model"], full_check=not job.get("sparse"))
    engine = Evaluator if job.get("reference") else session
    augmented, original = engine(job["model"]), engine(job["original"])
    feed = own_feed(job["original"], job.get("feed", {}))
    outputs = dict(zip([o.name for o in augmented.get_outputs()], augmented.run(None, feed)))
    done[job["name"]] = outputs
    columns = {}
    for name in [n for n in outputs if n.startswith("slp/") and n.endswith("/weights")]:
        alias = name.removeprefix("slp/").removesuffix("/weights")
        layer = job.get("of", {}).get(alias, alias)
        if "slopes" in job and (alias in job["of"] if "of" in job else True):
            found = outputs[name].astype(np.float64)
            wanted = slopes(original, feed, layer)
            samples = len(feed["x"]) if found.shape[0] == len(feed["x"]) and "of" not in job else 1
            width, rows = feed["x"].size // samples, wanted.reshape(samples, -1, samples, feed["x"].size // samples)
            own = np.stack([rows[n, :, n] for n in range(samples)])
            columns[f"slopes of {layer}"] = (error(found.reshape(samples, -1, width), own), job["slopes"])
        if "like" in job:
            expected = done[job["like"]][name].astype(np.float64)
            columns["like " + job["like"]] = (error(outputs[name].astype(np.float64), expected, 2), job["within"])
    held = identity({"x": feed["x"]}, outputs)
    if held is not None:
        columns["identity"] = (held, job.get("within", SAME))
    return columns


def check(job, done):
    """The columns of the table, each with the most it may be."""
    if "inputs" not in job:
        return check_outside(job, done)
    onnx.checker.check_model(job["model"], full_check=True)
    declared = onnx.load(job["model"], load_external_data=False).graph
    produced = {name for node in declared.node for name in node.output if name}
    described = {v.name for v in declared.value_info} | {v.name for v in declared.output}
    inputs = dict(np.load(job["inputs"]))
    augmented, original = session(job["model"]), session(job["original"])
    outputs = run(augmented, inputs)
    plain = run(original, inputs)
    expected = dict(np.load(job["expected"]))
    done[job["name"]] = outputs
    columns = {
        "undescribed values": (len(produced - described), 0),
        "tract": (worst(outputs, expected, 2 if job.get("switches") else np.inf), job["tolerance"]),
        "original": (worst({k: outputs[k] for k in plain}, plain), SAME),
    }
    held = identity(inputs, outputs)
    if held is not None:
        columns["identity"] = (held, job.get("identity", SAME))
    if job.get("singles"):
        columns["singles"] = (singles(augmented, inputs, outputs), SAME)
    if job.get("same_as"):
        other = {k: v for k, v in done[job["same_as"]].items() if k.startswith("slp/")}
        columns["same as " + job["same_as"]] = (worst(outputs, other), SAME)
    return columns


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)
    print(f"onnx {onnx.__version__}, onnxruntime {ort.__version__}")
    failed, done = [], {}
    for job in jobs:
        try:
            columns = check(job, done)
        except Exception as problem:  # every job is tried, and every failure told
            failed.append(job["name"])
            print(f"{job['name']:45} FAILED: {type(problem).__name__}: {str(problem)[:600]}")
            continue
        shown = [f"{name} {value:.1e}" for name, (value, _) in columns.items()]
        wrong = [name for name, (value, most) in columns.items() if not value <= most]
        print(f"{job['name']:45} {', '.join(shown)}{' WRONG: ' + ', '.join(wrong) if wrong else ''}")
        if wrong:
            failed.append(job["name"])
    if failed:
        sys.exit(f"{len(failed)} of {len(jobs)} failed: {', '.join(failed)}")
    print(f"{len(jobs)} augmented models agree")


if __name__ == "__main__":
    main()
