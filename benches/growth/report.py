"""docs/growth.md and its picture out of the figures of run.py and of ../peers/transform.py: no number has another source."""

import math
import os
import statistics

import chart

CLIFF = 1.5  # a step is a cliff where time grows by this much more than what it should be proportional to
NOISE = 1e-3  # seconds; smaller steps are not judged

HEAD = """# How cost grows

Made by `python benches/growth/run.py --slpc target/release/slpc --write docs/growth.md`; every figure is from its
JSON. Rows are those of `slpc transform --emit weights` with its default plan, in ONNX Runtime {onnxruntime} with one thread,
on networks with random weights (`benches/growth/models.py`). The machine ({machine}) was shared and busy (load
{load}), so times are CPU seconds and medians, and the points of a sweep took turns. {note}

![Run time, time of the model alone and time to transform over the four sweeps](growth.svg)

The exponent is the slope of log time over log size on the upper half of a sweep: 1 is in proportion, less is
cheaper. A step between two points is called a cliff where time grows {cliff} times as much as in proportion. *Over no blocks*
is the time with the plan's blocks over that of the same rows with `--block` as large as their number.
"""


def write(figures, path):
    """Write the report to `path` and the picture beside it."""
    done = figures.get("sweeps", {})
    loads = [s["load"] for s in done.values()] or [0.0]
    parts = [HEAD.format(**figures, load=f"{min(loads):.0f} to {max(loads):.0f}", cliff=CLIFF)]
    parts += [_verdict(done), *map(_table, done.values())]
    if "transforms" in figures:
        parts.append(_transforms(figures["transforms"]))
    with open(path, "w") as f:
        f.write("\n".join(p.rstrip() + "\n" for p in parts))
    panels = [(s["title"], s["what"], _each(s, "size"), _power(s), [_each(s, k) for k in ("run", "alone", "transform")])
              for s in done.values()]
    with open(os.path.splitext(path)[0] + ".svg", "w") as f:
        f.write(chart.picture("How cost grows", "CPU time; dashed: in proportion",
                              ("rows of the augmented graph", "the model alone", "slpc transform"), panels))


def exponent(sizes, times):
    """The least-squares slope of log time over log size on the upper half of the points."""
    start = (len(sizes) - 1) // 2
    x, y = [math.log(s) for s in sizes[start:]], [math.log(t) for t in times[start:]]
    return statistics.linear_regression(x, y).slope


def cliffs(sizes, times):
    """The steps (index, growth of time, growth of size) that no proportional growth explains."""
    steps = [(i, times[i + 1] / times[i], sizes[i + 1] / sizes[i]) for i in range(len(sizes) - 1)]
    return [(i, t, s) for i, t, s in steps if t > CLIFF * s and times[i + 1] - times[i] > NOISE]


def _each(sweep, key):
    return [p[key] for p in sweep["points"]]


def _power(sweep):
    """To which power of the size cost is proportional."""
    first, last = sweep["points"][0], sweep["points"][-1]
    return math.log(last["cost"] / first["cost"]) / math.log(last["size"] / first["size"])


def _verdict(done):
    lines = ["## Verdict", "", "Linear is an exponent of at most 1.15, of rows and of transforming.", "",
             "| sweep | proportional to | exponent of rows | of the model alone | of `slpc transform` | verdict |",
             "|---|---|---|---|---|---|"]
    for s in done.values():
        cost = _each(s, "cost")
        found = [exponent(cost, _each(s, k)) for k in ("run", "alone", "transform")]
        steps = [f"cliff in the time of {name} from {s['points'][i]['size']} to {s['points'][i + 1]['size']}: {t:.1f} times "
                 f"for {c:.1f}" for key, name in (("run", "rows"), ("transform", "transforming"), ("alone", "the model alone"))
                 for i, t, c in cliffs(cost, _each(s, key))]
        growth = "linear" if max(found[0], found[2]) <= 1.15 else f"grows as the power {max(found[0], found[2]):.2f}"
        if found[0] > 1.1 and found[1] > 1.05:
            growth += f" where the model alone grows as {found[1]:.2f}"
            whole = [p.get("whole", p["run"]) for p in s["points"]]
            if whole != _each(s, "run"):
                growth += f", and rows without the plan's blocks as {exponent(cost, whole):.2f}"
        what = s["what"] if _power(s) == 1 else "pixels"
        lines.append(f"| {s['title']} | {what} | {found[0]:.2f} | {found[1]:.2f} | {found[2]:.2f} "
                     f"| {growth}, {'; '.join(steps) or 'no cliff'} |")
    return "\n".join(lines)


def _table(sweep):
    lines = [f"## {sweep['title']}", "",
             f"| {sweep['what']} | rows | run, CPU ms | model alone, ms | run over alone, a row | transform, CPU ms | nodes | plan | over no blocks |",
             "|---|---|---|---|---|---|---|---|---|"]
    for p in sweep["points"]:
        block = ", ".join("whole" if b is None else f"blocks of {b}" for b in p["blocks"])
        whole = f"{p['over whole']:.2f}" if "over whole" in p else ""
        # A seed serves every sample of a batch, so a row is compared with the pass of all samples.
        seeds = p["rows"] / (p["size"] if sweep["what"] == "samples" else 1)
        lines.append(f"| {p['size']:,} | {p['rows']:,} | {p['run'] * 1e3:.3g} | {p['alone'] * 1e3:.3g} | {p['over alone'] / seeds:.2f} "
                     f"| {p['transform'] * 1e3:.3g} | {p['nodes']['before']:,} → {p['nodes']['after']:,} | {p['direction']}, {block} | {whole} |")
    return "\n".join(lines)


def _transforms(figures):
    megabytes = lambda n: f"{n / 1e6:.1f}" if n < 1e7 else f"{n / 1e6:.0f}"
    program = figures["program"]
    lines = ["## Transforming", "",
             "Made by `python benches/peers/transform.py --slpc target/release/slpc --json FILE`: from file to file, 224 pixels,"
             " random weights, the default quantities of all 1,000 logits. slpc's CPU seconds are those of the whole process,"
             " onnx-ad's those of reading, reversing and writing without Python's start. *Peak* is the largest resident size,"
             " the mapped pages of the model and of the program counted; the program alone (`slpc --version`) takes"
             f" {program['cpu'] * 1e3:.0f} ms and {megabytes(program['peak'])} MB. *Heap* is the most anonymous memory seen, and whether"
             " the kernel may refuse it more than 100 MB of private memory. Wall time is that of a busy machine"
             f" (load {figures['load']:.0f})." + (f" {figures['note']}" if figures.get("note") else ""), "",
             "| network | `--weights` | CPU s | of it in the kernel | wall s | onnx-ad, CPU s | ratio | peak, MB | peak over file | onnx-ad's | heap, MB | in 100 MB |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for network in figures["networks"]:
        theirs = network["onnx-ad"]
        for weights, m in network["slpc"].items():
            if "failed" in m:
                lines.append(f"| {network['name']} | {weights} | not measured: {m['failed']} | | | | | | | | | |")
                continue
            size = m["file"]
            peer = [theirs["failed"], "", ""] if "failed" in theirs else [
                f"{theirs['cpu']:.2f}", f"{theirs['cpu'] / m['cpu']:.1f}", f"{theirs['peak'] / size:.1f}"]
            lines.append(f"| {network['name']}, {megabytes(size)} MB | {weights} | {m['cpu']:.3f} | {1 - m['user'] / m['cpu']:.0%} | {m['wall']:.2f} "
                         f"| {peer[0]} | {peer[1]} | {megabytes(m['peak'])} | {m['peak'] / size:.2f} | {peer[2]} "
                         f"| {megabytes(m['anonymous'])} | {'yes' if m['small'] else 'no'} |")
    lines += ["", *_aims(figures["networks"])]
    chains = figures["chains"]
    nodes, times = [c["nodes"] for c in chains], [c["cpu"] for c in chains]
    steps = ", ".join(f"{nodes[i]:,} to {nodes[i + 1]:,}" for i, *_ in cliffs(nodes, times))
    lines += ["", f"Chains of products and sums with constants, ReLU and Sigmoid: the exponent of time over nodes is "
              f"{exponent(nodes, times):.2f} on the upper half{f', with cliffs from {steps}' if steps else ', without a cliff'}.", "",
              "| nodes | CPU s | µs a node | peak, MB | heap, MB |", "|---|---|---|---|---|"]
    lines += [f"| {c['nodes']:,} | {c['cpu']:.3f} | {c['cpu'] / c['nodes'] * 1e6:.0f} | {megabytes(c['peak'])} "
              f"| {megabytes(c['anonymous'])} |" for c in chains]
    return "\n".join(lines)


def _aims(networks):
    """What of the aims is reached, and what the time that is left goes into."""
    rows = [(n, w, m) for n in networks for w, m in n["slpc"].items() if "failed" not in m]
    faster = [f"{n['name']} {w} {n['onnx-ad']['cpu'] / m['cpu']:.0f}" for n, w, m in rows if "failed" not in n["onnx-ad"]]
    peaks = [f"{n['name']} {max(m['peak'] / m['file'] for o, _, m in rows if o is n):.2f}" for n in networks]
    heap = max(m["anonymous"] for _, _, m in rows)
    floors = [f"{n['name']} {n['floor']['hash']:.3f} s and {n['floor']['write']:.3f} s" for n in networks]
    return [f"* Time, aim 30 times less than onnx-ad: {', '.join(faster)}.",
            f"* Peak, aim 1.1 of the file: {', '.join(peaks)}; where the file is small the program's own pages weigh.",
            f"* Heap, aim 100 MB: at most {heap / 1e6:.1f} MB.",
            f"* What bounds the time: hashing the model for the metadata and writing its weights take, alone and at the least, "
            f"{'; '.join(floors)}. "
            "`--weights reference` does without the writing."]
