"""Makes the table of networks: see README.md."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent


def measure(name, slpc, limit, form):
    """The rows of one network, measured in a process of its own so that none can disturb the next."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        given = (name, slpc, str(out), form)
        call = f"import sys; sys.path.insert(0, {str(HERE)!r}); import measure; measure.main(*{given!r})"
        try:
            done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return [{"name": name, "exporter": "", "batch": "", "verdict": "not measured", "why": f"longer than {limit} s"}]
        if out.exists():
            return json.loads(out.read_text())
        why = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        return [{"name": name, "exporter": "", "batch": "", "verdict": "wrong", "why": f"script: {why}"}]


def exported(folder, slpc, rows):
    """The rows with those of files that another environment wrote with its own autograd."""
    import numpy as np

    from compare import Question, compared

    question = Question(slpc, ["--layer", "y=logits", "--neurons", "top:3"])
    for place in sorted(folder.iterdir(), key=lambda place: int(place.name)):
        row = json.loads((place / "row.json").read_text())
        if "verdict" not in row:
            truth = np.load(place / "truth.npz")
            files = {bits: place / f"m{bits}.onnx" for bits in (64, 32)}
            row |= compared(question, files, [truth["x"]], [truth["neurons"], truth["rows"]])
        print(row, file=sys.stderr, flush=True)
        rows = [r for r in rows if (r["name"], r["batch"]) != (row["name"], row["batch"])] + [row]
    return rows


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--slpc", default=str(HERE.parents[1] / "target/debug/slpc"), help="the compiler")
    options.add_argument("--results", default="networks.json", help="rows measured so far; new ones replace old ones")
    options.add_argument("--only", default="", help="a regular expression of the names to measure")
    options.add_argument("--form", help="an exporter, a batch form, or both: 'dynamo static'")
    options.add_argument("--exported", help="a folder of files and rows that keras_models.py wrote: compare these only")
    options.add_argument("--jobs", type=int, default=1, help="networks at a time")
    options.add_argument("--limit", type=int, default=900, help="seconds a network may take")
    options.add_argument("--table", help="write the table of all rows to this file")
    given = options.parse_args()

    from zoo import networks

    names = [n.name for n in networks()]
    results = Path(given.results)
    rows = json.loads(results.read_text()) if results.exists() else []
    chosen = [] if given.exported else [n for n in names if re.search(given.only, n)]
    if given.exported:
        rows = exported(Path(given.exported), given.slpc, rows)
        results.write_text(json.dumps(rows))
    with ThreadPoolExecutor(given.jobs) as pool:
        for name, new in zip(chosen, pool.map(lambda n: measure(n, given.slpc, given.limit, given.form), chosen)):
            key = lambda r: (r["name"], r["exporter"], r["batch"])
            fresh = {key(r) for r in new}
            rows = [r for r in rows if key(r) not in fresh and (given.form or r["name"] != name)] + new
            for r in new:
                print(r, file=sys.stderr, flush=True)
            results.write_text(json.dumps(rows))
    if given.table:
        from table import table

        Path(given.table).write_text(table(rows, names))


if __name__ == "__main__":
    main()
