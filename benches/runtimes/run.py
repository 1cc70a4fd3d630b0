"""Runs augmented models in every runtime there is, and writes docs/runtimes.md: see README.md."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from corpus import Corpus, add_random, add_real, add_rules, add_shipped, add_square
from engines import runtimes
from judge import EXACT, TOLERANCE, apart, identity, judge, read
from reasons import reason
from table import FAILED, table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# The targets of `slpc transform` that are tried beside `any`.
TARGETS = {"OpenVINO": ("openvino",)}
TRUTHS = ("reference evaluator", "tract", "ONNX Runtime")


def digits():
    """Digits that the repository ships, off the ties of their blank background: [10, 1, 28, 28]."""
    from PIL import Image

    pixels = [np.asarray(Image.open(ROOT / f"examples/digits/{i}.png").convert("L")) for i in range(10)]
    images = np.stack(pixels)[:, None] / 255 + np.random.default_rng(0).uniform(0, 0.05, (10, 1, 28, 28))
    return images.astype(np.float32)


def models(folder):
    """The models of the rules' tests and of random graphs, which the tests write."""
    if not any(folder.glob("*.onnx")):
        for test in (["--lib", "compile::rules"], ["--test", "random_graphs"]):
            asked = os.environ | {"SLPC_MODELS": str(folder)}
            subprocess.run(["cargo", "test", "-q", *test], cwd=ROOT, env=asked, check=True)
    return folder


def able(name, job):
    """The reference evaluator computes convolutions in Python: it gets no large ones."""
    return name != "reference evaluator" or not job.get("slow")


def through(engine, jobs, folder, kind, suffix, feed="feed"):
    """What an engine tells of the jobs, their files those of `kind`, with what came out."""
    at = lambda job: str(folder / f"{job['name']}.{suffix}.json")
    asked = [job | {"augmented": job[kind], "feed": job[feed], "result": at(job)} for job in jobs]
    for job in asked:
        Path(job["result"]).unlink(missing_ok=True)
    told = engine.run(asked, folder)
    return [(t, read(job["result"])) for t, job in zip(told, asked)]


def truths(engines, jobs, folder):
    """The results in float64 by job, and who computed them: the first engine that has every operator in it,
    keeps v = x·ŵ + b̂, and gives for the model itself what ONNX Runtime does. What none computes in float64 is
    compared with what ONNX Runtime gives in float32."""
    asked = [job | {"timed": 0} for job in jobs]
    plain = through(engines["ONNX Runtime"], asked, folder, "augmented", "plain")
    single = {job["name"]: ("float32", arrays) for job, (told, arrays) in zip(jobs, plain) if told.get("ran")}
    plain = {job["name"]: arrays for job, (told, arrays) in zip(jobs, plain) if arrays}
    found, kept = {}, {}
    for name in TRUTHS:
        rest = [job for job in asked if job["name"] not in found and able(name, job)]
        wide = [job | {"original": job["truth"]} for job in rest]
        for job, (told, arrays) in zip(rest, through(engines[name], wide, folder, "truth", "truth", "wide")):
            if not told.get("ran") or identity(arrays, next(iter(read(job["wide"]).values()))) > EXACT:
                continue
            kept.setdefault(job["name"], (name, arrays))
            if apart(plain.get(job["name"], {}), arrays) < TOLERANCE:
                found[job["name"]] = (name, arrays)
    return single | kept | found


def measure(engine, jobs, folder, known, target):
    rows = []
    jobs = [job for job in jobs if able(engine.name, job)]
    kind = "augmented" if target == "any" else target
    suffix = "".join(letter for letter in engine.name if letter.isalnum()) + target
    for job, (told, arrays) in zip(jobs, through(engine, jobs, folder, kind, suffix)):
        by, truth = known.get(job["name"], (None, None))
        row = judge(job, told, truth, arrays)
        row |= ratio(row, arrays)
        rows.append(row | {"truth": by, "op": job.get("op", ""), "options": job["options"]})
    return rows


def ratio(row, arrays):
    """What a seed adds to the time of a run, over the time of the model itself."""
    if "seconds" not in row:
        return {}
    seeds = next(array.shape[1] for name, array in arrays.items() if name.endswith("/activity"))
    forward, augmented = row["seconds"]
    return {"ratio": f"{(augmented - forward) / seeds / forward:.2f}"}


def kept(path, told):
    """What was measured now, with the rows of earlier runs that it does not replace."""
    old = json.loads(path.read_text()) if path.exists() else {"versions": {}, "rows": []}
    key = lambda row: (row["runtime"], row["target"], row["name"])
    fresh = {key(row) for row in told["rows"]}
    rows = [row for row in old["rows"] if key(row) not in fresh] + told["rows"]
    told = {"versions": old["versions"] | told["versions"], "rows": rows}
    path.write_text(json.dumps(told))
    return told


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--slpc", default=str(ROOT / "target/debug/slpc"), help="the compiler")
    options.add_argument("--data", default=os.environ.get("SLPC_TESTDATA"), help="the folder of trained models")
    options.add_argument("--models", help="a folder of models that the tests wrote [default: made anew]")
    options.add_argument("--environments", default=str(ROOT / "target/runtimes"), help="where runtimes are installed")
    options.add_argument("--only", action="append", help="a runtime, as often as wanted [default: all]")
    options.add_argument("--groups", default="rules,random,square,shipped,real", help="the groups of models")
    options.add_argument("--jobs", type=int, default=1, help="runtimes at a time; more than one spoils the times")
    options.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth file")
    options.add_argument("--short", action="store_true", help="what the tests have installed; fails where a run does")
    options.add_argument("--results", help="where rows are kept from run to run, in JSON")
    options.add_argument("--table", help="write the tables to this file")
    options.add_argument("--keep", help="keep every file in this folder")
    given = options.parse_args()

    folder = Path(given.keep or tempfile.mkdtemp(prefix="slpc-runtimes-"))
    folder.mkdir(parents=True, exist_ok=True)
    engines = runtimes(given.slpc)
    asked = list(TRUTHS) if given.short else given.only or list(engines)
    corpus = Corpus(folder, given.slpc, {target for name in asked for target in TARGETS.get(name, ())})
    groups = given.groups.split(",")
    generated = Path(given.models or ROOT / "target/runtimes/models")
    if {"rules", "random"} & set(groups):
        models(generated)
    if "rules" in groups:
        add_rules(corpus, generated)
    if "random" in groups:
        add_random(corpus, generated)
    if "square" in groups:
        add_square(corpus)
    if "shipped" in groups:
        add_shipped(corpus, digits())
    if "real" in groups and given.data:
        add_real(corpus, given.data, digits())
    corpus.wanted = corpus.wanted[:: given.every]
    jobs = corpus.make(os.cpu_count())
    print(f"{len(jobs)} files, {len(corpus.refused)} refused", file=sys.stderr)
    results, versions = [], {}
    for name in dict.fromkeys([*TRUTHS, *asked]):
        try:
            engines[name].install(given.environments)
        except Exception as problem:
            print(f"{name}: not installed: {problem}", file=sys.stderr)
            engines.pop(name)
    known = truths(engines, jobs, folder)
    tried = [(name, target) for name in asked if name in engines for target in ("any", *TARGETS.get(name, ()))]

    def attempt(pair):
        name, target = pair
        try:
            return measure(engines[name], jobs, folder, known, target)
        except RuntimeError as problem:
            print(f"{name}: not at hand: {problem}", file=sys.stderr)
            return []

    with ThreadPoolExecutor(given.jobs) as pool:
        for (name, target), rows in zip(tried, pool.map(attempt, tried)):
            if rows:
                versions[name] = engines[name].version
                results += [row | {"runtime": name, "target": target} for row in rows]
                print(name, versions[name], target, dict(Counter(row["verdict"] for row in rows)), file=sys.stderr)
    told = {"versions": versions, "rows": results}
    if given.results:
        told = kept(Path(given.results), told)
    if given.table:
        Path(given.table).write_text(table(told))
    if given.short:
        unknown = [row for row in results if row["verdict"] == "no truth" or row["verdict"] in FAILED and not reason(row)]
        for row in unknown:
            print(json.dumps(row))
        agree = sum(row["verdict"] == "agrees" for row in results)
        print(f"{agree} of {len(results)} runs of {len(jobs)} files agree with float64, {len(unknown)} fail without a known reason")
        sys.exit(1 if unknown or 10 * agree < 9 * len(results) or set(versions) != set(asked) else 0)


if __name__ == "__main__":
    main()
