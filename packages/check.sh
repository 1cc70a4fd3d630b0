#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh virtual environment, uses it there, and measures the program.
# usage: packages/check.sh [FOLDER]     (default target/packages; needs python3 and, once, the package index)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
room=${1:-target/packages}
mkdir -p "$room"
room=$(cd "$room" && pwd)

if ! command -v cc >/dev/null; then
    echo "error: there is no C compiler (cc), which Rust links with: install gcc or clang" >&2
    exit 1
fi
python3 -m venv --clear "$room/build"
"$room/build/bin/pip" install --quiet --disable-pip-version-check "maturin>=1.9,<2"
rm -rf "$room/wheels"
"$room/build/bin/maturin" build --release --locked --quiet --out "$room/wheels"
wheel=$(ls "$room"/wheels/slpc-*.whl)

python3 -m venv --clear "$room/fresh"
"$room/fresh/bin/pip" install --quiet --disable-pip-version-check "$wheel[onnxruntime]"
cd "$room"
PATH="$room/fresh/bin:$PATH"
echo "== in a fresh environment: $(command -v slpc)"
slpc --version
slpc transform "$root/examples/2conv_mnist.onnx" -o digits.slp.onnx --verify
slpc run digits.slp.onnx --engine onnxruntime --data "$root/examples/digits/7.png" --preprocess unit -o seven.npz
python - <<'PYTHON'
import numpy, onnxruntime

session = onnxruntime.InferenceSession("digits.slp.onnx")
x = numpy.zeros((1, 1, 28, 28), numpy.float32)
x[0, 0, 4:24, 13:16] = 1
icd, activity = session.run(["slp/logits/icd", "slp/logits/activity"], {"input": x})
winner = activity[0].argmax()
print(f"onnxruntime {onnxruntime.__version__}: {winner}, v = {activity[0, winner]:.4f}, sum of parts {icd[0, winner].sum():.4f}")
PYTHON
slpc completions bash | bash -n && echo "completions: $(slpc completions bash | wc -l) lines for bash"
slpc man --output man1 && echo "manual: $(ls man1 | wc -l) pages"

echo "== size and start-up"
python - "$wheel" "$(command -v slpc)" <<'PYTHON'
import os, statistics, subprocess, sys, time

wheel, program = sys.argv[1:]
print(f"wheel {os.path.getsize(wheel) / 1e6:.1f} MB, {os.path.basename(wheel)}")
print(f"program {os.path.getsize(program) / 1e6:.1f} MB")
for arguments in (["--help"], ["--version"], ["inspect", "--help"]):
    times = []
    for _ in range(50):
        start = time.perf_counter()
        subprocess.run([program, *arguments], stdout=subprocess.DEVNULL, check=True)
        times.append(1000 * (time.perf_counter() - start))
    best, middle = min(times), statistics.median(times)
    print(f"slpc {' '.join(arguments)}: {middle:.1f} ms (median of 50, with starting the process; least {best:.1f})")
PYTHON
