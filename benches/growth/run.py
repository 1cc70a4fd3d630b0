"""Measure how the cost of rows grows with their number, the depth, the batch and the size of the input.

    python benches/growth/run.py --slpc target/release/slpc --json growth.json --write docs/growth.md

The augmented graph and the model alone run in ONNX Runtime with one thread; every sweep has a process of its
own, in which its points take turns, so that what else a shared machine does falls on all of them. All times
are CPU seconds, of the process for runs and of the child for `slpc transform`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from typing import Callable

SHORTEST = 0.02  # CPU seconds; what is shorter is repeated within one measurement


@dataclass(frozen=True)
class Sweep:
    """`model(path, size)` writes the network; `options(size)` are slpc's; `batch` and `shape` give the input."""

    title: str
    what: str  # of what the size is a number
    sizes: tuple
    model: Callable
    options: Callable
    shape: Callable
    size: Callable = lambda size: size  # what cost should be proportional to


def sweeps():
    import models

    return {
        "rows": Sweep("Neurons K, SqueezeNet 1.1 at 64 pixels", "neurons", (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
                      lambda path, _: models.squeezenet(path), lambda k: ["--neurons", f"0..{k - 1}"],
                      lambda _: (1, 3, 64, 64)),
        "depth": Sweep("Depth, convolutions of 8 channels, K = 10", "layers", (10, 20, 50, 100, 200, 500, 1000),
                       models.deep, lambda _: [], lambda _: (1, 8, 16, 16)),
        "batch": Sweep("Batch N, 2CONV for 32 pixels, K = 10", "samples", (1, 2, 4, 8, 16, 32),
                       lambda path, _: models.two_conv(path), lambda n: ["--assume", f"N={n}"],
                       lambda n: (n, 3, 32, 32)),
        "input": Sweep("Input, 3 convolutions, K = 10", "pixels a side", (32, 64, 128, 256, 512),
                       models.small, lambda _: [], lambda side: (1, 3, side, side), lambda side: side * side),
    }


def cpu_of_child(command):
    """CPU seconds of `command`, user and system, and what it printed."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(err.strip())
    return usage.ru_utime + usage.ru_stime, out


def transform(slpc, model, out, options, runs):
    """slpc's summary of writing `out`, and the median CPU seconds it took."""
    command = [slpc, "transform", model, "-o", out, "--emit", "weights", "--json", *options]
    done = [cpu_of_child(command) for _ in range(runs)]
    return json.loads(done[0][1]), statistics.median(seconds for seconds, _ in done)


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def timed(run):
    """CPU seconds of one `run`, the mean over as many as take SHORTEST together."""
    count, start = 0, time.process_time()
    while True:
        run()
        count += 1
        spent = time.process_time() - start
        if spent >= SHORTEST:
            return spent / count


def measure(sweep, slpc, folder, seconds, runs):
    """All points of one sweep: [{size, cost, run, alone, whole, transform, nodes, blocks, direction}].

    `whole` is there where the plan takes blocks: the same rows without, to show what the blocks cost or save.
    """
    import numpy as np

    points, contestants = [], []
    for size in sweep.sizes:
        model, out = os.path.join(folder, f"{size}.onnx"), os.path.join(folder, f"{size}.slp.onnx")
        sweep.model(model, size)
        summary, cpu = transform(slpc, model, out, sweep.options(size), runs)
        paths = {"run": out, "alone": model}
        if summary["blocks"] != [None]:
            paths["whole"] = os.path.join(folder, f"{size}.whole.onnx")
            transform(slpc, model, paths["whole"], [*sweep.options(size), "--block", str(summary["layers"][0]["neurons"])], 1)
        x = np.random.RandomState(1).rand(*sweep.shape(size)).astype(np.float32)
        name = "slp/" + summary["layers"][0]["alias"] + "/weights"
        sessions = {who: session(path) for who, path in paths.items()}
        rows = sessions["run"].run([name], {"x": x})[0]
        if not (np.isfinite(rows).all() and rows.any()):
            raise RuntimeError(f"{size} {sweep.what}: the rows are zero or not finite, so their time says nothing")
        contestants.append({who: lambda s=s, n=None if who == "alone" else [name], x=x: s.run(n, {"x": x})
                            for who, s in sessions.items()})
        points.append({"size": size, "cost": sweep.size(size), "rows": int(np.prod(rows.shape[:2])), "transform": cpu,
                       "nodes": summary["nodes"], "blocks": summary["blocks"], "direction": summary["direction"]})
        for file in paths.values():
            os.remove(file)
    times = [{who: [] for who in each} for each in contestants]
    for each in contestants:
        for run in each.values():
            run()  # what a first run allocates is no cost of rows
    start = time.monotonic()
    while len(times[0]["run"]) < 3 or (time.monotonic() - start < seconds and len(times[0]["run"]) < 25):
        for each, spent in zip(contestants, times, strict=True):
            for who, run in each.items():
                spent[who].append(timed(run))
    for point, spent in zip(points, times, strict=True):
        point |= {who: statistics.median(t) for who, t in spent.items()} | {"repetitions": len(spent["run"])}
        for who in spent.keys() - {"run"}:
            point["over " + who] = statistics.median(a / b for a, b in zip(spent["run"], spent[who], strict=True))
    return points


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slpc", default="target/release/slpc", help="the compiler")
    parser.add_argument("--json", default="target/growth.json", help="where the figures go; what is there is kept")
    parser.add_argument("--write", metavar="FILE", help="write the report, and its picture beside it")
    parser.add_argument("--only", action="append", help="measure only this sweep (repeatable); none: only report")
    parser.add_argument("--seconds", type=float, default=60, help="repeat a sweep for that long, three times at least")
    parser.add_argument("--transforms", type=int, default=5, help="transform every model so often")
    parser.add_argument("--note", help="a sentence for the report, such as which build was measured")
    parser.add_argument("--sweep", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.sweep:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(sweeps()[a.sweep], a.slpc, folder, a.seconds, a.transforms)))
        return
    figures = {"sweeps": {}}
    if os.path.exists(a.json):
        with open(a.json) as f:
            figures = json.load(f)
    figures |= {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "onnxruntime": metadata.version("onnxruntime")}
    if a.note is not None:
        figures["note"] = a.note
    every = sweeps()
    for key, sweep in every.items():
        if a.only is None or key in a.only:
            command = [sys.executable, __file__, "--sweep", key, "--slpc", a.slpc, "--seconds", str(a.seconds),
                       "--transforms", str(a.transforms)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            figures.setdefault("sweeps", {})[key] = {"title": sweep.title, "what": sweep.what,
                                                     "points": json.loads(done.stdout), "load": os.getloadavg()[0]}
            with open(a.json, "w") as f:
                json.dump(figures, f, indent=1)
    if a.write:
        import report

        report.write(figures, a.write)


if __name__ == "__main__":
    main()
