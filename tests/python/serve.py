"""Runs models for the tests, each at many points of its one input.

A request on standard input: the length of its header in eight bytes, the header in JSON, the model,
and the points in double precision. The header says which `engine`, the length of the `model`, and of
the input its `name`, its `dtype`, and `dims` with the points in front. An answer on standard output
has the same form: the header lists `outputs` with name, dtype and dims, and their bytes follow; or it
says what the `error` is.
"""

import json
import math
import os
import struct
import sys

import numpy as np


def reference(model):
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load_from_string(model)
    names = [output.name for output in model.graph.output]
    evaluator = ReferenceEvaluator(model)
    return names, lambda feed: evaluator.run(None, feed)


def runtime(model):
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return names, lambda feed: session.run(None, feed)


ENGINES = {"reference": reference, "runtime": runtime}


def answer(header, model, points):
    points = np.frombuffer(points, "<f8").reshape(header["dims"]).astype(header["dtype"])
    names, run = ENGINES[header["engine"]](model)
    results = [run({header["name"]: np.asarray(point)}) for point in points]
    stacks = (np.stack(values) for values in zip(*results))
    wide = (s.astype(np.int64) if s.dtype == np.int32 else s for s in stacks)
    return dict(zip(names, wide))


def main():
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a library prints is no part of an answer.
    os.dup2(2, 1)
    while length := requests.read(8):
        header = json.loads(requests.read(*struct.unpack("<q", length)))
        model = requests.read(header["model"])
        points = requests.read(8 * math.prod(header["dims"]))
        try:
            outputs = answer(header, model, points)
            told = [{"name": k, "dtype": v.dtype.name, "dims": v.shape} for k, v in outputs.items()]
            told, data = {"outputs": told}, [np.ascontiguousarray(v).tobytes() for v in outputs.values()]
        except Exception as problem:  # the test that asked fails with it
            told, data = {"error": f"{type(problem).__name__}: {problem}"}, []
        told = json.dumps(told).encode()
        answers.write(b"".join([struct.pack("<q", len(told)), told, *data]))
        answers.flush()


if __name__ == "__main__":
    main()
