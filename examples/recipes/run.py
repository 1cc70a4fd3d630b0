"""Exports, inspects, transforms and checks a model of each exporter, and writes docs/recipes.md.

    python run.py torch dynamo scikit quantised --results recipes.json
    KERAS/bin/python run.py keras --results recipes.json --table ../../docs/recipes.md

Exporters need environments that do not agree: each call runs those that its environment has, and keeps what
earlier calls found.
"""

import argparse
import inspect
import json
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np

from recipes import RECIPES

ROOT = Path(__file__).parents[2]
INTRO = """\
# From exporters' own hands

Made by `examples/recipes/run.py`: each recipe exports a small model, and then

```sh
slpc inspect model.onnx                            # which layers there are, and whether all have rules
slpc transform model.onnx --neurons all --verify   # writes model.slp.onnx and checks it
```

*In the graph* counts the operators that the exporter left; *rows* compares ŵ of the first score with the framework's
own gradient where it has one, relative to the largest entry.

"""


def slpc(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"slpc {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def explained(program, folder, model, x):
    """ŵ of the first class score, as `slpc run` computes it, and the error of v = x·ŵ + b̂."""
    np.save(folder / "x.npy", x)
    slpc(program, "run", model, "--data", folder / "x.npy", "-o", folder / "out.npz", "-q")
    out = np.load(folder / "out.npz")
    (layer,) = [name.removesuffix("/weights") for name in out.files if name.endswith("/weights")]
    v, w, b = (out[f"{layer}/{quantity}"] for quantity in ("activity", "weights", "bias"))
    products = (w * x[:, None]).reshape(*v.shape, -1)
    scale = np.abs(products).sum(-1) + np.abs(v) + np.abs(b)
    return w[:, 0], float((np.abs(products.sum(-1) + b - v) / scale).max())


def measure(recipe, program):
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        path, augmented = folder / "model.onnx", folder / "model.slp.onnx"
        x, expected = recipe.export(str(path))
        model = onnx.load(path)
        layers = slpc(program, "inspect", path)
        verify = [] if recipe.stairs else ["--verify"]
        slpc(program, "transform", path, "--neurons", "all", "-o", augmented, *verify)
        rows, identity = explained(program, folder, augmented, x)
        if rows.shape != x.shape or not np.abs(rows).max() > 0 or not identity < 1e-5:
            sys.exit(f"{recipe.title}: v = x·ŵ + b̂ is off by {identity:.1e}")
        error = None if expected is None else float(np.abs(rows - expected).max() / np.abs(expected).max())
        if error is not None and not error < 1e-4:
            sys.exit(f"{recipe.title}: the rows are off by {error:.1e}")
        return {
            "operators": dict(Counter(node.op_type for node in model.graph.node).most_common()),
            "opset": max(entry.version for entry in model.opset_import if entry.domain == ""),
            "inspect": layers.replace(f"{folder}/", ""),
            "identity": identity,
            "error": error,
        }


def page(recipe, found):
    code = textwrap.dedent(inspect.getsource(recipe.export).split("\n", 1)[1])
    operators = ", ".join(f"{count} {op}" if count > 1 else op for op, count in found["operators"].items())
    told = f"* In the graph (operator set {found['opset']}): {operators}.\n"
    told += f"* v = x·ŵ + b̂ holds to {found['identity']:.0e} of what it adds up.\n"
    if found["error"] is not None:
        told += f"* Rows against the framework's gradient: {found['error']:.0e}.\n".replace("0e+00", "0")
    return (
        f"## {recipe.title}\n\nNeeds {recipe.needs}. {recipe.says}\n\n```python\n{code.rstrip()}\n```\n\n{told}\n"
        f"```text\n{found['inspect'].rstrip()}\n```\n\n"
    )


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("recipe", nargs="+", choices=list(RECIPES))
    options.add_argument("--slpc", default=str(ROOT / "target/debug/slpc"), help="the program")
    options.add_argument("--results", help="what was found is kept here from call to call, in JSON")
    options.add_argument("--table", help="write the documentation to this file")
    given = options.parse_args()
    kept = Path(given.results) if given.results else None
    found = json.loads(kept.read_text()) if kept and kept.exists() else {}
    for name in given.recipe:
        found[name] = measure(RECIPES[name], given.slpc)
        print(f"{name}: {found[name]}")
    if kept:
        kept.write_text(json.dumps(found))
    if given.table:
        pages = [page(recipe, found[name]) for name, recipe in RECIPES.items() if name in found]
        Path(given.table).write_text((INTRO + "".join(pages)).rstrip() + "\n")


if __name__ == "__main__":
    main()
