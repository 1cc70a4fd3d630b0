"""Checks augmented models in ONNX's checker and ONNX Runtime against what tract gave.

Takes a JSON file: a list of jobs with `name`, `model`, `original`, `inputs` and `expected` (.npz),
`tolerance`, `identity` (how exactly v = x·ŵ + b̂ must hold), and perhaps `switches` (the engines may
round a pre-activation to different sides of its kink, so that errors are measured by the norm), `singles` (each sample by itself must give what it gives in the batch) and
`same_as` (the name of an earlier job whose outputs must be equal to 1e-5). Prints a table of the
largest errors and exits with 1 where one is too large.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime as ort

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
        errors.append((np.abs(products.sum(-1) + b - v) / scale).max())
    return max(errors, default=None)


def singles(model, inputs, batch):
    """The largest difference between samples by themselves and in the batch."""
    count = len(next(iter(batch.values())))
    alone = [run(model, {k: v[n : n + 1] for k, v in inputs.items()}) for n in range(count)]
    return max(worst(one, {k: v[n : n + 1] for k, v in batch.items()}) for n, one in enumerate(alone))


def check(job, done):
    """The columns of the table, each with the most it may be."""
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
