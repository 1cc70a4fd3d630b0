"""The runtimes: how each is installed, and how a list of jobs goes through it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from arrays import decode, encode

HERE = Path(__file__).parent
NEWEST = ["onnxruntime==1.32.0", "onnx==1.23.2", "numpy"]


class Lines:
    """A worker process that tells a line a job; where it dies, the next one starts behind that job."""

    limit = 120

    def run(self, jobs, folder):
        told, (file, path) = [], tempfile.mkstemp(".jobs.json", dir=folder, text=True)
        with open(file, "w") as file:
            json.dump(jobs, file)
        while len(told) < len(jobs):
            told += self.some(path, jobs, len(told))
        return told

    def some(self, path, jobs, start):
        command = [*self.command(), path, str(start)]
        worker = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        told, watch = [], Watch(worker, self.limit)
        for line in worker.stdout:
            watch.seen()
            if line.startswith("{"):
                told.append(json.loads(line))
        worker.wait()
        late = watch.end()
        if not told:
            raise RuntimeError(f"{self.name}: {worker.stderr.read()[-800:]}")
        self.version = told.pop(0)["version"]
        if start + len(told) < len(jobs):
            why = f"longer than {self.limit} s" if late else f"the process ended with {worker.returncode}"
            told.append({"name": jobs[start + len(told)]["name"], "error": why})
        return told


class Watch:
    """Ends a worker that says nothing for too long."""

    def __init__(self, worker, limit):
        import threading

        self.worker, self.limit, self.late, self.done = worker, limit, False, threading.Event()
        self.last = time.monotonic()
        threading.Thread(target=self.watch, daemon=True).start()

    def seen(self):
        self.last = time.monotonic()

    def watch(self):
        while not self.done.wait(1):
            if time.monotonic() - self.last > self.limit:
                self.late = True
                self.worker.kill()
                return

    def end(self):
        self.done.set()
        return self.late


class Python(Lines):
    """A runtime with a Python package, in a virtual environment of its own."""

    def __init__(self, name, engine, packages, home=None, pythons=()):
        self.name, self.engine, self.packages, self.pythons = name, engine, packages, pythons
        self.home = home

    def command(self):
        return [str(self.python), "worker.py", self.engine]

    def install(self, folder):
        if self.home is None:  # the interpreter that runs this has it
            self.python = sys.executable
            return
        home = Path(folder) / self.home
        self.python, made = home / "bin/python", home / "made-from.txt"
        wanted = "\n".join(self.packages)
        if made.exists() and made.read_text() == wanted:
            return
        own = next((p for p in self.pythons if shutil.which(p)), "python3")
        subprocess.run([own, "-m", "venv", "--clear", str(home)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([str(self.python), *install, *self.packages], check=True)
        made.write_text(wanted)


class Web(Lines):
    """onnxruntime-web, in a headless browser or in node."""

    limit = 180

    def __init__(self, name, where):
        self.name, self.where = name, where

    def install(self, folder):
        home = Path(folder) / "web"
        self.modules = home / "node_modules"
        if not (self.modules / "onnxruntime-web").exists():
            home.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / "web/package.json", home)
            subprocess.run(["npm", "install", "--silent", "--ignore-scripts"], cwd=home, check=True)

    def command(self):
        return ["node", str(HERE / "web/worker.mjs"), self.where, str(self.modules)]


class Tract:
    """The engine in `slpc`, by `slpc run`."""

    name = "tract"

    def __init__(self, program):
        self.program = program

    def install(self, folder):
        lock = (HERE.parents[1] / "Cargo.lock").read_text()
        self.version = lock.split('name = "tract-onnx"\nversion = "')[1].split('"')[0]

    def run(self, jobs, folder):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self.one, jobs))

    def one(self, job):
        told, data = {"name": job["name"]}, Path(job["result"]).with_suffix(".in.npz")
        feed = {k: v for k, v in decode(Path(job["feed"]).read_text()).items() if not k.startswith("slp/")}
        whole = job.get("batch") == "none"
        np.savez(data, **{k: v[None] if whole else v for k, v in feed.items()})
        out = data.with_suffix(".out.npz")
        neurons = ["--neurons", job["neurons"]] if "neurons" in job else []
        command = [self.program, "run", job["augmented"], "--data", str(data), "-o", str(out), "-q", *neurons]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return told | {"error": "longer than 300 s"}
        if done.returncode != 0:
            return told | self.blamed(job, data, done.stderr.strip()[:600])
        arrays = np.load(out)
        Path(job["result"]).write_text(encode({k: arrays[k][0] if whole else arrays[k] for k in arrays.files}))
        data.unlink(), out.unlink()
        return told | {"loaded": True, "ran": True}


    def blamed(self, job, data, error):
        """The error as the model's own, where not even the activity can be computed."""
        words = list(job["options"])
        emit = words.index("--emit") if "--emit" in words else len(words)
        words[emit : emit + 2] = ["--emit", "activity"]
        bare = str(data.with_suffix(".bare.onnx"))
        transform = [self.program, "transform", job["original"], "-o", bare, "-q", *words]
        run = [self.program, "run", bare, "--data", str(data), "-o", str(data.with_suffix(".bare.npz")), "-q"]
        run += ["--neurons", job["neurons"]] if "neurons" in job else []
        fits = all(subprocess.run(c, capture_output=True, timeout=300).returncode == 0 for c in (transform, run))
        return {"error": error} if fits else {"error": error, "model": error}


def runtimes(program):
    """Every runtime by the name that `--only` knows."""
    old = ("python3.11", "python3.10", "python3.12")
    every = [
        Tract(program),
        Python("ONNX Runtime", "onnxruntime", NEWEST),
        Python("ONNX Runtime 1.17", "onnxruntime", ["onnxruntime==1.17.3", "numpy<2"], "onnxruntime-1.17", old),
        Python("reference evaluator", "reference", NEWEST),
        Python("OpenVINO", "openvino", ["openvino==2026.4.1", "numpy"], "openvino"),
        Web("onnxruntime-web, WASM in Chromium", "wasm"),
        Web("onnxruntime-web, WebGPU in Chromium", "webgpu"),
        Python("ONNX Runtime, CUDA", "cuda", ["onnxruntime-gpu", "numpy"], "cuda"),
    ]
    return {engine.name: engine for engine in every}
