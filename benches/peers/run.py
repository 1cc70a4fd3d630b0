"""Measure slpc's graphs in ONNX Runtime against other ways to the same Jacobian rows.

    python benches/peers/run.py --slpc target/release/slpc --json peers.json --write docs/performance.md

Every work runs in a process of its own, its contestants interleaved there, one thread each. Before
anything is timed their rows are compared. Times are CPU seconds of the process, since wall time lies
on a shared machine; ratios are taken within a repetition, and their median is reported.
SLPC_TESTDATA makes 2CONV the trained network of the test data; otherwise its weights are random.
"""

import argparse
import ctypes
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

TOLERANCE = 1e-3  # of a row's norm


@dataclass(frozen=True)
class Work:
    """Rows of `neurons` (None: all) of the layer `node`, the element or path `upto` of a Sequential (None: the logits).

    `other` is a direction that slpc would not take, to be timed beside the one that it takes.
    """

    key: str
    title: str
    model: str
    aim: float
    neurons: tuple | None = None
    node: str | None = None
    upto: int | str | None = None
    peers: tuple = ()
    memory: str | None = None
    other: str | None = None


def spread(shape, count):
    """`count` neurons evenly spread over a layer of `shape`."""
    total = shape[0] * shape[1] * shape[2]
    return tuple(i * total // count + (total // count) // 2 for i in range(count))


def logits(model, title, count, *peers):
    return Work(f"{model}-{count}", f"{title}, {count} logits", model, 1.3, tuple(range(count)), peers=peers)


FEW = ("jacrev None", "jacrev 5", "loop", "jax jacrev", "onnx_ad")
MANY = ("jacrev 20", "jacrev None", "onnx_ad")
WORKS = [
    logits("2conv", "2CONV CIFAR", 10, *FEW),
    Work("2conv-conv1", "2CONV CIFAR, all 50,176 neurons of conv1", "2conv", 10, None, "/0/Conv", 0,
         ("jacfwd None", "jacfwd 256", "jacrev 256 512", "jax jacfwd")),
    Work("2conv-conv2", "2CONV CIFAR, all 6,400 neurons of conv2", "2conv", 10, None, "/3/Conv", 3,
         ("jacfwd 256", "jacrev 64 512", "jax jacfwd")),
    Work("2conv-chosen", "2CONV CIFAR, 100 neurons of conv2", "2conv", 20, spread((64, 10, 10), 100), "/3/Conv", 3,
         ("jacrev None", "jacrev 20", "loop", "jax jacrev")),
    Work("mlp", "MLP 784-4096-4096-10, all 4,096 neurons of layer 2", "mlp", 4, None, "/2/Gemm", 2,
         ("jacrev None", "jacfwd None", "jacrev 512", "jax jacrev", "jax jacfwd")),
    logits("squeezenet", "SqueezeNet 224", 10, *FEW),
    logits("resnet18", "ResNet-18 224", 10, *FEW),
    logits("vgg64", "VGG-16 at 64", 10, *FEW[:-1]),
    Work("vgg224-chosen", "VGG-16 at 224, 100 neurons of the fourth convolution", "vgg224", 20,
         spread((128, 112, 112), 100), "/7/Conv", 7, ("jacrev 10 10", "loop 10")),
    Work("vgg32-third", "VGG-16 at 32, all 32,768 neurons of the third convolution", "vgg32", 10, None, "/5/Conv", 5,
         ("jacfwd 256", "jacrev 64 512", "jax jacfwd"), other="reverse"),
    Work("squeezenet-middle", "SqueezeNet 224, all 8,112 neurons of the sixth squeeze layer", "squeezenet", 10, None,
         "/features/features.9/squeeze/Conv", "features.9.squeeze", ("jacrev 16 128", "jacrev 64 128", "loop 128"), "12G"),
    logits("squeezenet", "SqueezeNet 224", 100, *MANY),
    logits("vgg64", "VGG-16 at 64", 100, *MANY[:-1]),
    logits("resnet18", "ResNet-18 224", 100, "jacrev 20", "onnx_ad"),
]
# Whose memory is measured: of which model, for how many logits, who, and within which limit or chunk. What unchunked
# jacrev would hold for all logits at 224 pixels is more than most machines have, and is continued from two points.
MEMORY = [("vgg64", 1000, "slpc", "None"), ("vgg64", 1000, "slpc", "150M"), ("vgg64", 1000, "jacrev", "None"),
          ("vgg64", 1000, "jacrev", "20"), ("vgg224", 1000, "slpc", "None"), ("vgg224", 50, "jacrev", "None"),
          ("vgg224", 100, "jacrev", "None")]


def invite(work, module, path, x):
    """The peers of `work`, and why any of them is missing."""
    import contestants as c

    came, absent = [], {}
    for peer in work.peers:
        kind, *rest = peer.split()
        numbers = [None if r == "None" else int(r) for r in rest if kind not in ("jax",)]
        try:
            if kind == "jacrev":
                came.append(c.jacrev(module, work, x, *numbers))
            elif kind == "jacfwd":
                came.append(c.jacfwd(module, work, x, *numbers))
            elif kind == "loop":
                came.append(c.loop(module, work, x, *numbers))
            elif kind == "jax":
                came.append(c.jax(path, work, x, rest[0]))
            else:
                came.append(c.onnx_ad(path, work, x))
        except Exception as e:  # a peer that can't do the work is named, whatever it raises
            absent[peer] = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:160]
    return came, absent


def timed(contestant):
    start = time.process_time()
    result = contestant.run()
    return time.process_time() - start, result


def agreement(ours, theirs):
    """How many rows agree to TOLERANCE of their norm, how many were compared, and the largest difference."""
    import numpy as np

    ours = ours[: len(theirs)]
    norm = np.maximum(np.linalg.norm(theirs, axis=1), 1e-30)
    error = np.linalg.norm(ours - theirs, axis=1) / norm
    return {"equal": int((error <= TOLERANCE).sum()), "rows": len(theirs), "worst": float(error.max())}


def matched_input(name, module, path, shape, tries=4):
    """An input on which few switches differ between the runtimes: it, how many do, and its seed.

    The best of a few random ones, but the first for the MLP, whose bias is made for it, and for the largest network.
    """
    import models

    best = None
    for seed in range(tries):
        x = models.sample(shape, seed)
        differ = models.switches_differ(module, path, x)
        if best is None or differ < best[1]:
            best = x, differ, seed
        if not differ or name in ("mlp", "vgg224"):
            break
    return best


def exported(model, folder):
    """The ONNX file of `model`, exported once for each state of models.py and of its weights."""
    import models

    with open(models.__file__, "rb") as f:
        state = hashlib.sha256(f.read() + models.weights_of_2conv().encode()).hexdigest()[:8]
    path = os.path.join(folder, f"{model}-{state}.onnx")
    if not os.path.exists(path):
        models.export(model, path)
    return path


def measure(work, slpc, folder, seconds):
    """All figures of one work, as the report takes them."""
    import torch

    import contestants as c
    import models

    torch.set_num_threads(1)
    path, augmented = exported(work.model, folder), os.path.join(folder, work.key + ".slp.onnx")
    module, shape = models.build(work.model)
    x, differ, seed = matched_input(work.model, module, path, shape)
    summary = c.transform(slpc, path, augmented, work, work.memory)
    us, base = c.ours(augmented, x), c.forward(path, x)
    ours = [us, base]
    if work.other:
        c.transform(slpc, path, augmented + ".other", work, work.memory, work.other)
        ours.append(c.ours(augmented + ".other", x, f"slpc, {work.other}"))
    rows = us.rows(us.run())
    peers, absent = invite(work, module, path, x)
    first, checks, kept = {}, {}, []
    for p in peers:
        try:
            first[p.name], result = timed(p)
            if first[p.name] < 1 or p.name.startswith("JAX"):  # what compiled or warmed may weigh
                first[p.name], result = timed(p)
        except Exception as e:
            absent[p.name] = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:160]
            continue
        checks[p.name] = agreement(rows, p.rows(result))
        first[p.name] /= p.share
        kept.append(p)
        if p.name.startswith("JAX") and checks[p.name]["equal"] < checks[p.name]["rows"]:
            import jax_onnx

            checks[p.name]["differ"] = models.switches_differ(module, path, x, jax_onnx.values)
        print(work.key, p.name, round(first[p.name], 3), checks[p.name], file=sys.stderr, flush=True)
    del rows
    best = min(first.values())
    racing = [p for p in kept if first[p.name] <= 1.5 * best]
    times = {p.name: [] for p in [*ours, *racing]}
    base.run()
    start = time.monotonic()
    while len(times["slpc"]) < (3 if best < 1 else 2) or (time.monotonic() - start < seconds and len(times["slpc"]) < 25):
        for p in [*ours, *racing]:
            times[p.name].append(timed(p)[0] / p.share)
    ratios = {p.name: statistics.median(b / a for a, b in zip(times["slpc"], times[p.name])) for p in racing}
    ratios |= {n: t / statistics.median(times["slpc"]) for n, t in first.items() if n not in ratios}
    count = len(work.neurons) if work.neurons else summary["layers"][0]["neurons"]
    us = base = ours = p = None  # a session keeps the memory of its largest run, and the profile needs one of its own
    per_seed = statistics.median(a / count / b for a, b in zip(times["slpc"], times["forward"]))
    return {"key": work.key, "title": work.title, "aim": work.aim, "neurons": count, "differ": differ, "seed": seed,
            "times": times, "once": {n: t for n, t in first.items() if n not in times}, "ratios": ratios,
            "checks": checks, "absent": absent, "per_seed": per_seed, "nodes": {"before": c.nodes(path), "after": c.nodes(augmented)},
            "direction": summary["direction"], "coloured": summary["coloured"], "seeds": summary["seeds"],
            "sweep": summary["sweep"], "other": work.other, "blocks": summary["blocks"], "profile": c.profile(augmented, x, summary["steps"])}


def held(model, count, kind, limit, slpc, folder):
    """Peak memory of one contestant above what the loaded model holds, in bytes, in this (fresh) process."""
    import torch

    import contestants as c
    import models

    torch.set_num_threads(1)
    work = logits(model, model, int(count))
    limit = None if limit == "None" else limit
    path = exported(model, folder)
    x = models.sample(models.SHAPES[model], 0)
    if kind == "slpc":
        augmented = os.path.join(folder, f"memory-{limit}.slp.onnx")
        summary = c.transform(slpc, path, augmented, work, limit)
        contestant, said = c.ours(augmented, x), summary["memory"]
    else:
        chunk = None if limit is None else int(limit)
        contestant, said = c.jacrev(models.build(model)[0], work, x, chunk), None
    before = start_of_peak()
    cpu, _ = timed(contestant)
    return {"model": model, "count": int(count), "who": contestant.name, "limit": limit, "peak": resident("VmHWM") - before, "said": said, "seconds": cpu}


def start_of_peak():
    """Forget the peak that loading left behind (Linux); the resident size now, in bytes."""
    ctypes.CDLL(None).malloc_trim(0)  # what is free but kept would hide what the run takes
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")
    return resident("VmRSS")


def resident(field):
    """A resident size of this process, in bytes: VmRSS now, VmHWM at most since the last reset."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field + ":"))


def child(arguments, limit):
    """Run this script again with `arguments`; the JSON that it prints, or why there is none."""
    try:
        done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"longer than {limit} s"}
    if done.returncode:
        return {"failed": f"ended with {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def versions():
    from importlib import metadata

    found = {}
    for name in ("onnxruntime", "torch", "torchvision", "jax", "onnx-ad", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slpc", default="target/release/slpc", help="the compiler")
    parser.add_argument("--json", default="target/peers.json", help="where the figures go; works there are kept")
    parser.add_argument("--write", metavar="FILE", help="write the report")
    parser.add_argument("--only", action="append", help="measure only this work (repeatable); none: only report")
    parser.add_argument("--seconds", type=float, default=15, help="repeat for that long")
    parser.add_argument("--limit", type=float, default=300, help="give a work up after so many seconds")
    parser.add_argument("--folder", default=os.path.join(tempfile.gettempdir(), "slpc-peers"))
    parser.add_argument("--note", default="", help="a sentence for the report, such as which commit was measured")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--held", nargs=4, help=argparse.SUPPRESS)
    a = parser.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    if a.work:
        work = next(w for w in WORKS if w.key == a.work)
        print(json.dumps(measure(work, a.slpc, a.folder, a.seconds)))
        return
    if a.held:
        print(json.dumps(held(*a.held, a.slpc, a.folder)))
        return
    figures = {"works": {}, "memory": {}}
    if os.path.exists(a.json):
        with open(a.json) as f:
            figures = json.load(f)
    import models

    if a.note:
        figures["note"] = a.note
    figures |= {"versions": versions(), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                "2conv": models.weights_of_2conv(), "python": platform.python_version()}
    common = ["--slpc", a.slpc, "--folder", a.folder, "--seconds", str(a.seconds)]
    tasks = [("works", w.key, ["--work", w.key]) for w in WORKS]
    tasks += [("memory", " ".join(map(str, case)), ["--held", *map(str, case)]) for case in MEMORY]
    for kind, key, arguments in tasks:
        if a.only is None or key in a.only:
            figures[kind][key] = child([*common, *arguments], a.limit)
            figures[kind][key].setdefault("load", os.getloadavg()[0])
            with open(a.json, "w") as f:
                json.dump(figures, f, indent=1)
    if a.write:
        import report

        report.write(figures, [(w.key, w.title) for w in WORKS], a.write)


if __name__ == "__main__":
    main()
