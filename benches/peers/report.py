"""docs/performance.md out of the figures of run.py: no number in it has another source."""

import statistics

HEAD = """# Performance against other ways to Jacobian rows

Made by `python benches/peers/run.py --slpc target/release/slpc --write docs/performance.md`; every figure is from
its JSON. Each work runs in a process of its own: slpc's augmented graph (`--emit weights --target onnxruntime`) in ONNX Runtime with one
thread, and the peers with one thread each, interleaved, after their rows have been compared. **The machine
({machine}) was shared and busy** (load {load}), so times are CPU seconds of the process, ratios are taken
within a repetition, and the median is shown; take ratios from here, not times. A peer more than half as slow again as
the best is run once, not repeated, and its ratio is to our median. Chunked `jacrev(n)` computes n rows at
a time, "scaled" stands for the time of a few rows, with the forward pass they need, times the share they are of
all (which counts that forward pass too often, to our advantage), and *autograd loop* is one backward pass a row.
onnx-ad is asked for logits only, and not for VGG-16, where a run with it did not end within the limit.

{versions}. 2CONV has {two} weights, the others random ones; all are exported with batch 1,
batch normalisation folded beforehand for everybody. VGG-16 at 64 has a first full layer of 2,048 inputs, since
its last map is 2×2 there. The graph also computes the primal pass, as jacrev does. {note}
"""

# What holds a kind of node back, and what would move it; printed for the kinds that lead where an aim is missed.
BOUNDS = {
    "ConvTranspose": "arithmetic, about that of the model's own convolution a row, in a kernel that ONNX Runtime tunes"
                     " less than Conv; a flipped Conv where there are many channels on both sides",
    "Conv": "arithmetic, about that of the model's own convolution a row; narrower windows for chosen neurons",
    "MatMul": "arithmetic; of the active units alone where the layer is large",
    "Gemm": "arithmetic; of the active units alone where the layer is large",
    "ScatterElements": "one element at a time with an index for each, where pooling windows overlap",
    "Resize": "bandwidth: one writing of every map behind a pooling",
    "Gather": "one element at a time where the columns of active units are taken, else bandwidth: the masks of every"
              " neuron's window",
    "Transpose": "bandwidth: the masks of every neuron's window, channels first",
    "Reshape": "copies of the whole result, which ONNX Runtime makes where a Scan hands out its blocks; larger blocks, or none",
    "Mul": "bandwidth: one reading and writing of every map for each mask; masks merged into the step before",
}


def write(figures, works, path):
    """Write the report on all `works` ((key, title)), measured or not, to `path`."""
    done = [(k, t, figures["works"].get(k)) for k, t in works]
    measured = [w for _, _, w in done if w and "failed" not in w]
    loads = [w["load"] for w in measured] or [0.0]
    names = {"onnxruntime": "ONNX Runtime", "torch": "PyTorch", "jax": "JAX"}
    versions = ", ".join(f"{names.get(n, n)} {v or 'absent'}" for n, v in figures["versions"].items())
    two = {"trained": "its trained", "random": "random"}[figures["2conv"]]
    parts = [HEAD.format(machine=figures["machine"], load=f"{min(loads):.0f} to {max(loads):.0f}",
                         versions=f"Python {figures['python']}, {versions}", two=two, note=figures.get("note", "")),
             _table(done), _verdicts(measured), _bounds(measured), _plan(measured), _peers(measured), _memory(figures["memory"])]
    with open(path, "w") as f:
        f.write("\n".join(p.rstrip() + "\n" for p in parts))


def _table(done):
    lines = ["## Speed", "",
             "*Ratio*: the best peer's time over ours. *Seed*: our time a row over one pass of the model in the same runtime"
             " (aim at most 1, dense rows). *Nodes*: augmented over original (aim at most 3).", "",
             "| work | ours, CPU s | best peer | ratio | aim | | seed | nodes | plan |",
             "|---|---|---|---|---|---|---|---|---|"]
    for _, title, w in done:
        if not w or "failed" in w:
            lines.append(f"| {title} | not measured: {w['failed'] if w else 'left out'} | | | | | | | |")
            continue
        best = min(w["ratios"], key=w["ratios"].get)
        lines.append(f"| {title} | {statistics.median(w['times']['slpc']):.3g} | {best} | {w['ratios'][best]:.2f} | {w['aim']:g} "
                     f"| {_verdict(w)} | {w['per_seed']:.2f} | {_nodes(w):.1f} | {_way(w)} |")
    lines += ["", *_others(done)]
    return "\n".join(lines)


def _way(w):
    """The direction, its colours, and how many seeds and neurons are taken at a time."""
    colours = [f"{w['seeds']['forward']} colours"] if w["coloured"] and w["direction"] == "forward" else []
    seeds = [f"{w['sweep']} seeds"] if w["sweep"] else []
    return ", ".join([w["direction"], *colours, *seeds, *("whole" if b is None else str(b) for b in w["blocks"])])


def _others(done):
    """What the direction that is not taken would cost."""
    for _, title, w in done:
        if w and w.get("other") and "failed" not in w:
            pairs = zip(w["times"]["slpc"], w["times"][f"slpc, {w['other']}"])
            ratio = statistics.median(b / a for a, b in pairs)
            yield f"{title}: slpc's own rows in {w['other']} direction take {ratio:.2f} times as long as in the one it takes."


def _verdict(w):
    got = min(w["ratios"].values())
    return "reached" if got >= w["aim"] else f"missed: {got / w['aim']:.2f} of it"


def _nodes(w):
    return w["nodes"]["after"] / w["nodes"]["before"]


def _verdicts(measured):
    def those(test):
        return ", ".join(w["title"] for w in measured if test(w)) or "none"

    hit = sum(min(w["ratios"].values()) >= w["aim"] for w in measured)
    slower = lambda w: min(w["ratios"].values()) < 1
    return "\n".join([
        "## Verdict", "",
        f"* Of the {len(measured)} works measured, {hit} reach their aim. Missed: "
        f"{those(lambda w: min(w['ratios'].values()) < w['aim'])}.",
        f"* Slower than the best peer: {those(slower)}.",
        f"* A row costs more than one pass of the model: {those(lambda w: w['per_seed'] > 1)}.",
        f"* More than three nodes for one: {those(lambda w: _nodes(w) > 3)}.",
    ])


def _bounds(measured):
    lines = ["## What bounds it", "",
             "Shares of the time that ONNX Runtime's profile gives to each kind of node in our graph, and the heaviest.",
             "", "| work | kinds of node | heaviest node |", "|---|---|---|"]
    for w in measured:
        kinds = ", ".join(f"{k} {s:.0%}" for k, s, _ in w["profile"]["kinds"][:4])
        node, share, _ = w["profile"]["nodes"][0]
        lines.append(f"| {w['title']} | {kinds} | `{node.split(' ', 1)[1]}` {share:.0%} |")
    missed = [w for w in measured if min(w["ratios"].values()) < w["aim"]]
    leading = dict.fromkeys(k for w in missed for k, s, _ in w["profile"]["kinds"] if s >= 0.1)
    lines += ["", "Where an aim is missed, these take a tenth of the time or more; what bounds them, and what would move it:", ""]
    lines += [f"* {k}: {BOUNDS.get(k, 'not looked into')}." for k in leading]
    rates = [f"{rate:.0f} in `{node}` ({w['title']})" for w in missed for rate, node in _rate(w["profile"])]
    if rates:
        lines += ["", "In these works the operator that takes most computes so many 10⁹ multiply-adds a second on one core, units"
                  " that are switched off counted in: " + ", ".join(rates) + "."]
    return "\n".join(lines)


def _rate(profile):
    """Of the operator that takes most, the 10⁹ multiply-adds a second; nothing where it has none."""
    taken = [(t, node) for node, _, t in profile["plan"] if t > 0 and profile.get("products", {}).get(node)]
    return [(profile["products"][node] / t / 1e9, node) for t, node in [max(taken)]] if taken else []


def _plan(measured):
    lines = ["## What the plan says", "",
             "`--explain` tells what each linear step costs on a nominal core. Here its shares are set beside those of the time"
             " that ONNX Runtime's profile gives to the nodes of each operator (which leaves out what it inserts itself, such as"
             " changes of layout). *Within 2*: the part of the measured time that goes to operators whose share is said within a"
             " factor of 2. *Order*: of all pairs of operators whose measured times differ by a factor of 2 or more, the part"
             " that is said in that order.", "",
             "| work | operators | within 2 | order | said worst (share said, taken) |", "|---|---|---|---|---|"]
    for w in measured:
        plan = [(n, s, t) for n, s, t in w["profile"].get("plan", []) if t > 0]
        said, taken = sum(s for _, s, _ in plan), sum(t for _, _, t in plan)
        if not plan or not said:
            lines.append(f"| {w['title']} | not measured | | | |")
            continue
        shares = [(n, s / said, t / taken) for n, s, t in plan]
        within = sum(t for _, s, t in shares if t / 2 <= s <= 2 * t)
        pairs = [(a, b) for a in shares for b in shares if a[2] >= 2 * b[2]]
        order = sum(a[1] > b[1] for a, b in pairs) / len(pairs) if pairs else 1
        n, s, t = max(shares, key=lambda x: abs(x[1] - x[2]))
        lines.append(f"| {w['title']} | {len(shares)} | {within:.0%} | {order:.0%} | `{n}` {s:.0%}, {t:.0%} |")
    return "\n".join(lines)


def _peers(measured):
    lines = ["## Every peer", "",
             f"Time over ours, and whose rows agree with ours to a thousandth of the row's norm. *Switches* are the ReLUs and"
             " pooling windows whose state differs between ONNX Runtime and PyTorch at the input used: of several random"
             " inputs, the one with fewest. Rows that disagree although no switch differs would be an error of somebody.", "",
             "| work | switches | peers: ratio, rows that agree |", "|---|---|---|"]
    for w in measured:
        cells = []
        for n, r in sorted(w["ratios"].items(), key=lambda t: t[1]):
            c = w["checks"][n]
            once = "" if n in w["times"] else ", run once"
            states = f", switches that differ in it: {c['differ']}" if "differ" in c else ""
            cells.append(f"{n} {r:.2f} ({c['equal']} of {c['rows']}{states}{once})")
        cells += [f"{n}: {why}" for n, why in w["absent"].items()]
        lines.append(f"| {w['title']} | {w['differ']} | {'; '.join(cells)} |")
    return "\n".join(lines)


def _memory(memory):
    lines = ["## Memory", "",
             "VGG-16: the most that one run held beyond the loaded model (the largest resident size during the run less"
             " that before it), each in a fresh process. At 224 pixels unchunked `jacrev` for 1,000 logits is continued"
             " in a straight line from 50 and 100. The aim is a tenth of unchunked `jacrev`.", "",
             "| pixels | logits | who | `--memory` | peak, MB | slpc's own estimate, MB | CPU s | jacrev's peak over it |",
             "|---|---|---|---|---|---|---|---|"]
    measured = [m for m in memory.values() if "failed" not in m]
    peak = lambda model, count: next((m["peak"] for m in measured if (m["model"], m["count"], m["who"]) ==
                                      (model, count, "jacrev(all)")), None)
    few, more = peak("vgg224", 50), peak("vgg224", 100)
    whole = {"vgg64": peak("vgg64", 1000), "vgg224": few and more and more + (more - few) / 50 * 900}
    for key, m in memory.items():
        if "failed" in m:
            lines.append(f"| {key} | | | | not measured: {m['failed']} | | | |")
            continue
        said = f"{m['said'] / 1e6:.0f}" if m["said"] else ""
        limit = (m["limit"] or "default") if m["who"] == "slpc" else ""
        over = f"{whole[m['model']] / m['peak']:.1f}" if whole[m["model"]] and m["count"] == 1000 else ""
        lines.append(f"| {m['model'][3:]} | {m['count']:,} | {m['who']} | {limit} | {m['peak'] / 1e6:.0f} | {said}"
                     f" | {m['seconds']:.1f} | {over} |")
    if whole["vgg224"]:
        lines.append(f"| 224 | 1,000 | jacrev(all), continued | | {whole['vgg224'] / 1e6:.0f} | | | 1.0 |")
    return "\n".join(lines)
