"""Who computes the rows: each contestant is a closure that makes the Jacobian's rows once, on one thread."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Callable
import json
import os
import subprocess

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn


@dataclass
class Contestant:
    """`run` computes the rows of the first `share` of the neurons; `rows` brings its result to [K, d], untimed."""

    name: str
    run: Callable
    rows: Callable = lambda r: np.asarray(r).reshape(len(r), -1)
    share: float = 1.0


def session(path, profile=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def transform(slpc, model, out, work, memory=None, direction="auto"):
    """Write the augmented graph of `work`; slpc's own summary."""
    command = [slpc, "transform", model, "-o", out, "--target", "onnxruntime", "--emit", "weights", "--json", "--explain",
               "--neurons", spell(work.neurons)]
    command += ["--direction", direction]
    if work.node:
        command += ["--layer", work.node]
    if memory:
        command += ["--memory", memory]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def spell(neurons):
    return "all" if neurons is None else ",".join(map(str, neurons))


def ours(path, x, who="slpc"):
    s = session(path)
    name = next(o.name for o in s.get_outputs() if o.name.endswith("/weights"))
    return Contestant(who, lambda: s.run([name], {"x": x})[0], lambda r: r.reshape(r.shape[1], -1))


def forward(path, x):
    s = session(path)
    return Contestant("forward", lambda: s.run(None, {"x": x}))


def part(module, upto):
    """`module` up to an element: its number in a Sequential, or LIST.NUMBER.FIRST for the first layer of an element."""
    if upto is None:
        return module
    if isinstance(upto, int):
        return nn.Sequential(*list(module)[: upto + 1])
    name, number, first = upto.split(".")
    elements = list(getattr(module, name))
    return nn.Sequential(*elements[: int(number)], getattr(elements[int(number)], first))


def layer_function(module, work):
    """The chosen neurons of `work` as a function of the input."""
    cut = part(module, work.upto)
    index = None if work.neurons is None else torch.tensor(work.neurons)

    def f(x):
        y = cut(x).flatten()
        return y if index is None else y[index]

    return f


def jacrev(module, work, x, chunk, first=None):
    """torch.func.jacrev under vmap; with `first`, of that many neurons only, to be scaled."""
    f, x = layer_function(module, work), torch.from_numpy(x)
    count = len(f(x))
    g = f if first is None else lambda x: f(x)[:first]
    call = torch.func.jacrev(g, chunk_size=chunk)
    name = f"jacrev({chunk or 'all'})" if first is None else f"jacrev({chunk}), {first} rows scaled"
    return Contestant(name, lambda: call(x), share=1.0 if first is None else first / count)


def jacfwd(module, work, x, chunk):
    """The columns by torch.func.jvp under vmap, as jacfwd does, but `chunk` input components at a time."""
    f, x = layer_function(module, work), torch.from_numpy(x)
    push = lambda t: torch.func.jvp(f, (x,), (t,))[1]
    basis = torch.eye(x.numel()).reshape(-1, *x.shape)
    call = torch.func.vmap(push, chunk_size=chunk)
    return Contestant(f"jacfwd({chunk or 'all'})", lambda: call(basis), lambda r: np.ascontiguousarray(r.numpy().T))


def loop(module, work, x, first=None):
    """One backward pass of torch.autograd a row."""
    f, x = layer_function(module, work), torch.from_numpy(x).requires_grad_()
    count = len(f(x))
    rows = count if first is None else min(first, count)

    def run():
        y = f(x)
        return torch.stack([torch.autograd.grad(y[i], x, retain_graph=True)[0] for i in range(rows)])

    name = "autograd loop" if rows == count else f"autograd loop, {rows} rows scaled"
    return Contestant(name, run, share=rows / count)


def jax(path, work, x, mode):
    """jax.jit of jacrev or jacfwd over the same ONNX graph."""
    import jax
    import jax.numpy as jnp
    import jax_onnx

    graph = jax_onnx.function(path, work.node)
    index = None if work.neurons is None else jnp.asarray(work.neurons)

    def f(x):
        y = graph(x).ravel()
        return y if index is None else y[index]

    call, x = jax.jit(getattr(jax, mode)(f)), jnp.asarray(x)
    return Contestant(f"JAX jit {mode}", lambda: call(x).block_until_ready())


def onnx_ad(path, work, x):
    """The adjoint that onnx-ad writes, in ONNX Runtime, with one seed a chosen output."""
    import onnx_ad

    adjoint = onnx_ad.reverse(onnx.load(path), layout="onnx")
    s = session(adjoint.SerializeToString())
    seed = next(i for i in s.get_inputs() if i.name.startswith("adj_"))
    size = seed.shape[1]
    neurons = range(size) if work.neurons is None else work.neurons
    eye = np.zeros((1, size, len(neurons)), np.float32)
    eye[0, list(neurons), np.arange(len(neurons))] = 1
    name = next(o.name for o in s.get_outputs() if o.name.startswith("adj_"))
    return Contestant("onnx-ad", lambda: s.run([name], {"x": x, seed.name: eye})[0],
                      lambda r: np.moveaxis(r, -1, 0).reshape(r.shape[-1], -1))


def nodes(path):
    """The nodes of a file, those in the bodies of Scan, Loop and If among them."""
    def within(graph):
        bodies = (a.g for n in graph.node for a in n.attribute if a.HasField("g"))
        return len(graph.node) + sum(map(within, bodies))

    return within(onnx.load(path).graph)


def profile(path, x, steps, top=6):
    """The share of each kind of node in one warm run: [[operator, share, milliseconds]], the heaviest nodes, and what
    the nodes of each operator of `steps` (the plan's) take beside what the plan says: [[operator, said, taken]], seconds;
    and the multiply-adds of each operator.
    """
    prefix = os.path.join(os.path.dirname(path), "profile")
    s = session(path, prefix)
    s.run(None, {"x": x})
    s.run(None, {"x": x})
    file = s.end_profiling()
    with open(file) as f:
        events = json.load(f)
    os.remove(file)
    kinds, nodes, taken = defaultdict(float), defaultdict(float), defaultdict(float)
    said, products = defaultdict(float), defaultdict(float)
    for step in steps:
        said[step["node"]] += step["seconds"]
        products[step["node"]] += step["products"]
    # The nodes that a step emits are named by the operator it comes from.
    scopes = sorted(((f"slp/{node.strip('/')}/", node) for node in said), key=lambda s: -len(s[0]))
    # The first run also pays for memory that no run has touched before.
    warm = max(e["ts"] for e in events if e["name"] == "model_run")
    for e in (e for e in events if e["ts"] >= warm):
        # A Scan's own time holds that of the nodes in its body.
        if e.get("cat") == "Node" and e["name"].endswith("_kernel_time") and e["args"]["op_name"] not in ("Scan", "Loop", "If"):
            kinds[e["args"]["op_name"]] += e["dur"] / 1e3
            name = e["name"].removesuffix("_kernel_time")
            nodes[e["args"]["op_name"] + " " + name] += e["dur"] / 1e3
            for scope in (node for prefix, node in scopes if name.startswith(prefix)):
                taken[scope] += e["dur"] / 1e6
                break
    total = sum(kinds.values())
    largest = lambda d: [[k, v / total, v] for k, v in sorted(d.items(), key=lambda t: -t[1])[:top]]
    plan = [[node, said[node], taken[node]] for node in said]
    return {"kinds": largest(kinds), "nodes": largest(nodes), "plan": plan, "products": products}
