"""Measure `slpc transform` itself: time and memory on whole networks beside onnx-ad's, and time over the number of nodes.

    python benches/peers/transform.py --slpc target/release/slpc --json growth.json

adds its figures to that JSON; `benches/growth/run.py --only none --json growth.json --write docs/growth.md` writes
them down. From file to file: slpc's CPU seconds are those of the whole process, onnx-ad's those of reading,
reversing and writing without Python's start. Every measurement is a child of a small process, since a
child's largest resident size counts that of whoever started it.
"""

import argparse
import glob
import hashlib
import json
import mmap
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

NETWORKS = {"squeezenet": "SqueezeNet 1.1", "resnet18": "ResNet-18", "vgg224": "VGG-16"}
WEIGHTS = ("keep", "external", "reference")
CHAINS = (1_000, 3_000, 10_000, 30_000, 100_000)
HEAP = 100_000_000  # bytes, that a transform should do with
LIMIT = 120  # CPU seconds that onnx-ad gets


def watched(command, data=None):
    """CPU and wall seconds of `command`, and the largest sizes of its memory in bytes.

    `peak` is the largest resident size with mapped pages, as the kernel reports it; `anonymous`, what is on the heap
    and the stacks, is the most that was seen in samples half a millisecond apart. With `data` the kernel
    refuses the process more private memory than that.
    """
    prepare = data and (lambda: resource.setrlimit(resource.RLIMIT_DATA, (data, data)))
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=prepare)
    anonymous = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        anonymous = max(anonymous, resident(process.pid, "RssAnon"))
        time.sleep(0.0005)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {"cpu": usage.ru_utime + usage.ru_stime, "user": usage.ru_utime, "wall": time.monotonic() - start, "peak": usage.ru_maxrss * 1024,
            "anonymous": anonymous, "failed": process.returncode and process.stderr.read().strip()[:200]}


def resident(pid, field):
    """A field of /proc/PID/status in bytes, 0 where the process has ended."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return next((int(line.split()[1]) * 1024 for line in f if line.startswith(field + ":")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def ours(slpc, model, weights, runs):
    """Medians over `runs` transforms of `model`, and whether one does with HEAP."""
    out = model.removesuffix(".onnx") + ".transformed.onnx"  # beside the model, where --weights reference finds it
    command = [slpc, "transform", model, "-o", out, "--weights", weights, "--quiet"]
    try:
        done = [watched(command) for _ in range(runs)]
        small = watched(command, HEAP)
    finally:
        for file in glob.glob(glob.escape(out) + "*"):
            os.remove(file)
    failed = next((d["failed"] for d in done if d["failed"]), None)
    if failed:
        raise RuntimeError(f"{model}, --weights {weights}: {failed}")
    figures = {key: statistics.median(d[key] for d in done) for key in ("cpu", "user", "wall")}
    figures |= {key: max(d[key] for d in done) for key in ("peak", "anonymous")}
    return figures | {"small": not small["failed"], "file": os.path.getsize(model)}


def onnx_ad(model):
    """CPU seconds that onnx-ad takes to read, reverse and write `model`, with its largest resident size."""
    import onnx
    import onnx_ad

    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
    steps, start, wall = [], time.process_time(), time.monotonic()

    def step(value):
        steps.append(time.process_time() - start - sum(steps))
        return value

    with tempfile.TemporaryDirectory(dir=os.path.dirname(model)) as folder:
        adjoint = step(onnx_ad.reverse(step(onnx.load(model)), layout="onnx"))
        step(onnx.save(adjoint, os.path.join(folder, "out.onnx")))
    return {"steps": steps, "cpu": sum(steps), "wall": time.monotonic() - wall,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def floor(model):
    """CPU seconds to hash the bytes of `model` as slpc does for its metadata, and to write them to a new file.

    The least of three times each.
    """
    def write(data):
        with tempfile.TemporaryFile(dir=os.path.dirname(model)) as out:
            out.write(data)

    def least(work):
        times = []
        for _ in range(3):
            start = time.process_time()
            work(data)
            times.append(time.process_time() - start)
        return min(times)

    with open(model, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return {"hash": least(hashlib.sha256), "write": least(write)}


def chain(path, nodes):
    """Write a chain of `nodes` nodes: products and sums with constants, ReLU and Sigmoid in turn, at last a Gemm."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    random = np.random.RandomState(0)
    made, weights, value = [], [], "x"
    for i in range(nodes - 1):
        op, inputs = ("Mul", "Add", "Relu", "Sigmoid")[i % 4], [value]
        if op in ("Mul", "Add"):
            weights.append(numpy_helper.from_array(random.rand(8).astype(np.float32) + 0.5, f"c{i}"))
            inputs.append(f"c{i}")
        value = f"v{i}"
        made.append(helper.make_node(op, inputs, [value], name=f"n{i}"))
    weights.append(numpy_helper.from_array(random.randn(8, 10).astype(np.float32), "w"))
    made.append(helper.make_node("Gemm", [value, "w"], ["y"], name="last"))
    tensor = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(made, "chain", [tensor("x", [1, 8])], [tensor("y", [1, 10])], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def child(*arguments):
    """What this script prints with `arguments` in a process of its own, or why it printed nothing."""
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"failed": f"no end within {LIMIT} CPU seconds" if done.returncode == -9 else f"ended with {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slpc", default="target/release/slpc", help="the compiler")
    parser.add_argument("--json", default="target/growth.json", help="the figures are added to this file")
    parser.add_argument("--folder", default=os.path.join(tempfile.gettempdir(), "slpc-peers"))
    parser.add_argument("--runs", type=int, default=5, help="transform every model so often")
    parser.add_argument("--note", help="a sentence for the report, such as which build was measured")
    parser.add_argument("--only", choices=("networks", "chains"), help="measure only these, and keep the others' figures")
    parser.add_argument("--ours", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--theirs", help=argparse.SUPPRESS)
    parser.add_argument("--floor", help=argparse.SUPPRESS)
    parser.add_argument("--chain", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--export", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.ours:
        print(json.dumps(ours(a.slpc, *a.ours, a.runs)))
    elif a.theirs:
        print(json.dumps(onnx_ad(a.theirs)))
    elif a.floor:
        print(json.dumps(floor(a.floor)))
    elif a.chain:
        chain(a.chain[0], int(a.chain[1]))
        print("{}")
    elif a.export:
        import run

        print(json.dumps({"path": run.exported(a.export, a.folder)}))
    else:
        measure(a)


def measure(a):
    os.makedirs(a.folder, exist_ok=True)
    figures = {}
    if os.path.exists(a.json):
        with open(a.json) as f:
            figures = json.load(f)
    made = figures.setdefault("transforms", {})
    made |= {"program": watched([a.slpc, "--version"]), "load": os.getloadavg()[0], "note": a.note}
    common = ["--slpc", a.slpc, "--folder", a.folder, "--runs", str(a.runs)]
    if a.only != "chains":
        made["networks"] = [network(name, key, common) for key, name in NETWORKS.items()]
    if a.only != "networks":
        made["chains"] = [chain_of(nodes, a.folder, common) for nodes in CHAINS]
    with open(a.json, "w") as f:
        json.dump(figures, f, indent=1)


def network(name, key, common):
    """What slpc takes for one network with the weights in every place, and what onnx-ad takes."""
    path = child(*common, "--export", key)["path"]
    made = {w: child(*common, "--ours", path, w) for w in WEIGHTS}
    return shown({"name": name, "slpc": made, "onnx-ad": child("--theirs", path), "floor": child("--floor", path)})


def chain_of(nodes, folder, common):
    """What slpc takes for one chain."""
    path = os.path.join(folder, f"chain-{nodes}.onnx")
    child("--chain", path, str(nodes))
    made = child(*common, "--ours", path, "keep")
    os.remove(path)
    return shown({"nodes": nodes} | made)


def shown(figures):
    print(figures, file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    main()
