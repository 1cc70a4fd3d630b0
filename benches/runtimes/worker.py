"""Runs a list of jobs in one Python runtime; tells a line of JSON a job, and writes what came out.

Usage: worker.py ENGINE JOBS.json FROM. It runs in the environment of the runtime, which need have
nothing but that runtime and numpy. A job that ends the process is told by the line that is missing:
the caller goes on behind it.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from arrays import decode, encode


class OnnxRuntime:
    provider = "CPUExecutionProvider"

    def __init__(self):
        import onnxruntime

        self.ort = onnxruntime
        self.version = onnxruntime.__version__
        if self.provider not in onnxruntime.get_available_providers():
            raise RuntimeError(f"no {self.provider}")

    def load(self, path):
        options = self.ort.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, 1
        session = self.ort.InferenceSession(path, options, providers=[self.provider])
        names = [output.name for output in session.get_outputs()]
        return lambda feed: dict(zip(names, session.run(None, feed)))


class Cuda(OnnxRuntime):
    provider = "CUDAExecutionProvider"


class Reference:
    def __init__(self):
        import onnx
        import onnx.reference

        self.reference, self.version = onnx.reference, onnx.__version__

    def load(self, path):
        evaluator = self.reference.ReferenceEvaluator(path)
        return lambda feed: dict(zip(evaluator.output_names, evaluator.run(None, feed)))


class OpenVino:
    def __init__(self):
        import openvino

        self.core = openvino.Core()
        self.version = openvino.__version__.split("-")[0]
        # On some processors it computes in bfloat16 unless told otherwise.
        self.options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}

    def load(self, path):
        model = self.core.read_model(path)
        compiled = self.core.compile_model(model, "CPU", self.options)
        names = [output.get_names() for output in compiled.outputs]

        def run(feed):
            results = compiled(feed)
            return {name: np.array(results[i]) for i, several in enumerate(names) for name in several}

        return run


ENGINES = {"onnxruntime": OnnxRuntime, "cuda": Cuda, "reference": Reference, "openvino": OpenVino}


def seconds(run, feed):
    """Seconds of processor time: those on the clock belong to others too."""
    start = time.process_time()
    run(feed)
    return time.process_time() - start


def difference(found, expected):
    """Of the largest magnitude; of numbers that are not finite, only where they are."""
    found, expected = (np.nan_to_num(np.asarray(a, np.float64), posinf=0, neginf=0) for a in (found, expected))
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-6))


def short(problem):
    return f"{type(problem).__name__}: {problem}"[:600]


def do(engine, job):
    told = {"name": job["name"]}
    feed = decode(Path(job["feed"]).read_text())
    own = {name: array for name, array in feed.items() if not name.startswith("slp/")}
    # What the runtime makes of the model itself: where it has no way with that, nothing can be asked of it.
    try:
        plain = engine.load(job["original"])
        before = plain(own)
    except Exception as problem:
        told["model"], plain = short(problem), None
    try:
        augmented = engine.load(job["augmented"])
        told["loaded"] = True
        outputs = augmented(feed)
    except Exception as problem:
        Path(job["result"]).write_text(encode(before if plain else {}))
        return told | {"error": short(problem)}
    names = [name for name in job["outputs"] if name in outputs]
    Path(job["result"]).write_text(encode({name: outputs[name] for name in names}))
    told["ran"] = True
    if plain:
        # A runtime may give an output more names than its own.
        same = [name for name in names if name in before]
        told["changed"] = max((difference(outputs[name], before[name]) for name in same), default=0.0)
    if plain and job.get("timed"):
        pairs = [(seconds(plain, own), seconds(augmented, feed)) for _ in range(job["timed"])]
        told["seconds"] = [sorted(column)[len(pairs) // 2] for column in zip(*pairs)]
    return told


def main():
    _, name, jobs, start = sys.argv
    engine = ENGINES[name]()
    print(json.dumps({"version": engine.version}), flush=True)
    for job in json.loads(Path(jobs).read_text())[int(start) :]:
        print(json.dumps(do(engine, job)), flush=True)


if __name__ == "__main__":
    main()
