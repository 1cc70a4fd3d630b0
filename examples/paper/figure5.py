"""Figure 5: the decomposition of a photograph's winning neuron beside other methods.

Run from the repository's root with numpy and Pillow; further arguments go to slpc:
  SLPC_TESTDATA=FOLDER python examples/paper/figure5.py --engine onnxruntime
"""

import os
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image, ImageDraw

data = pathlib.Path(os.environ["SLPC_TESTDATA"])
out = pathlib.Path(os.environ.get("OUT", "target/paper"))
cargo = ["cargo", "run", "--release", "--quiet", "--"]
program = [os.environ["SLPC"]] if "SLPC" in os.environ else cargo
model = data / "models/squeezenet11_imagenet.onnx"
side, clip = 224, 99


def slpc(*arguments):
    subprocess.run([*program, *map(str, arguments)], check=True)


def explain(photograph):
    """The shown picture [h, w, 3], and maps [h, w] of the winning neuron by name."""
    samples = ["--data", photograph, "--preprocess", f"caffe,crop={side}", *sys.argv[1:]]
    slpc("run", out / "top.onnx", *samples, "-o", out / "top.npz")
    top = np.load(out / "top.npz")
    names = ("activity", "weights", "icd", "centre")
    v, w, icd, centre = (top[f"slp/logits/{name}"][0, 0].astype(float) for name in names)
    x = centre + v * w / np.square(w).sum()  # equation 6, solved for x
    winner = top["slp/logits/neurons"][0, 0]
    means = []
    for kind in (["--integrated", 64], ["--smoothed", 64, "--noise", 20]):
        slpc("spa", model, "--neurons", winner, *kind, *samples, "-o", out / "mean.npz")
        means.append(np.load(out / "mean.npz")["weights"][0, 0])
    maps = {
        "ICD": icd,
        "gradient": w,
        "input x gradient": x * w,
        "integrated gradients": x * means[0],
        "gradient under noise": means[1],
    }
    sums = {name: round(float(a.sum()), 3) for name, a in maps.items()}
    print(f"{photograph.name}: neuron {winner}, v = {v:.3f}, sums {sums}")
    pixels = (x + np.array([104, 117, 123])[:, None, None])[::-1].transpose(1, 2, 0)
    return pixels.clip(0, 255).astype(np.uint8), {name: a.sum(0) for name, a in maps.items()}


def heatmap(a, limit):
    """Blue, white, red over -limit to limit, zero white."""
    t = (a / limit).clip(-1, 1)[..., None]
    ends = np.where(t > 0, [178, 24, 43], [33, 102, 172])
    return (255 + (ends - 255) * abs(t)).round().astype(np.uint8)


def main():
    out.mkdir(parents=True, exist_ok=True)
    slpc("transform", model, "--layer", "logits=logits", "--neurons", "top:1", "-o", out / "top.onnx")
    photographs = ["chelsea.png", "coffee.png", "rocket.jpg"]
    wide, high = side + 8, side + 22
    sheet = Image.new("RGB", (6 * wide, len(photographs) * high), "white")
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(photographs):
        picture, maps = explain(data / "images" / name)
        limits = {title: np.percentile(abs(a), clip) for title, a in maps.items()}
        tiles = {f"{title}, +-{limits[title]:.2g}": heatmap(a, limits[title]) for title, a in maps.items()}
        for column, (title, tile) in enumerate({name: picture, **tiles}.items()):
            x, y = column * wide + 4, row * high + 18
            sheet.paste(Image.fromarray(tile), (x, y))
            draw.rectangle([x - 1, y - 1, x + side, y + side], outline="#cccccc")
            draw.text((x, y - 14), title, fill="black")
    sheet.save(out / "figure5.png")


main()
