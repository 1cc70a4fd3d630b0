"""The pictures of docs/paper.md from those that the other scripts wrote: side by side, and shrunk.

Run from the repository's root with Pillow, after figure2.sh, figure5.py and figure7.sh:
  python examples/paper/pictures.py
"""

import os
import pathlib
import shutil

from PIL import Image

out = pathlib.Path(os.environ.get("OUT", "target/paper"))
docs = pathlib.Path("docs/paper")
names = ["1-chelsea", "2-coffee", "3-rocket"]


def photograph(name, part):
    return Image.open(out / f"photographs/{name}-{part}.png").convert("RGB")


def tiled(rows):
    """Pictures in rows, each row beginning at the left."""
    sizes = [(sum(p.width for p in row), max(p.height for p in row)) for row in rows]
    sheet = Image.new("RGB", (max(w for w, _ in sizes), sum(h for _, h in sizes)), "white")
    top = 0
    for row, (_, height) in zip(rows, sizes):
        left = 0
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width
        top += height
    return sheet


def save(picture, name, width, **options):
    height = round(picture.height * width / picture.width)
    picture.resize((width, height), Image.Resampling.LANCZOS).save(docs / name, **options)


def main():
    jpeg = {"quality": 72, "optimize": True}
    inputs = [photograph(name, "input") for name in names]
    winners = [photograph(name, "winner") for name in names]
    # The first of three maps is the decomposition.
    icds = [p.crop((0, 0, p.width // 3, p.height)) for p in winners]
    save(tiled([inputs, icds]), "figure2.jpg", 960, **jpeg)
    save(tiled([[photograph(name, "broad")] for name in names]), "figure3.jpg", 900, **jpeg)
    save(photograph(names[0], "narrow"), "figure4.jpg", 976, **jpeg)
    save(Image.open(out / "figure5.png"), "figure5.jpg", 1392, **jpeg)
    for part, layer in [("conv", "conv2-conv-output-0"), ("fc", "fc1-gemm-output-0")]:
        shutil.copy(out / f"figure7/1-7-parts-{layer}.png", docs / f"figure7-{part}.png")
    for chart in ["figure6.svg", "figure8.svg"]:
        if (out / chart).exists():
            shutil.copy(out / chart, docs / chart)


main()
