"""The table of measured rows as Markdown."""

import re

INTRO = """\
# Networks

Made by `benches/networks/run.py` (its README says how). Each network is built with random weights and fitting
batch-norm statistics and written by its exporter with a fixed batch of one sample (*static*) or a symbolic one
(*dynamic*, run with two; *none*: the whole input is one sample). `slpc transform` explains its three largest
outputs. Rows are kept from run to run, so not all are of the newest compiler or of one script.

* *Nodes* are those of the exported file and of the augmented file, *seconds* the time of the whole command
  (development build on a busy machine, reading and writing the file included).
* *Autograd* is the largest difference of a row ŵ from PyTorch's autograd in float64, relative to the row's
  largest element. The model is exported in float64 too and its augmented file run in float64 by the reference
  evaluator of ONNX, so both take the same side of every switch and what differs is an error. Attributes of ONNX
  (the epsilon of a norm, the 1/6 of a hard sigmoid) are float32 even there. The float32 file of *dynamo*, a slow
  exporter, is its float64 file narrowed. Keras models come from `keras_models.py`, which runs in an environment of
  TensorFlow, with the rows of its autograd.
* *v = x·ŵ + b̂* is the worst error of the identity in ONNX Runtime, in float32, relative to the magnitudes that
  enter it; *float32* the median difference of the rows there from those of autograd in float64. Samples are
  chosen away from kinks, but in a deep network some switch always lies within rounding of its kink, and float32
  may take its other side.
* *Right*: autograd below 1e-5, the identity in float64 below 1e-9, the identity in ONNX Runtime below 1e-4 and
  its median row below 5e-2. *Refused*: `slpc` says what it can't express. *Not exported*: the exporter fails.
  *Right in float32*: the reference evaluator can't run the file, and every row in ONNX Runtime is below 1e-4.

"""


def number(row, key, form="{:.0e}"):
    return form.format(row[key]).replace("e-0", "e-").replace("e+00", "") if key in row else "–"


def reason(row):
    """Why a row is not right, without paths and on one line."""
    why = re.sub(r"\S*/(?=[^/\s]+\.onnx)", "", row.get("why", "")).removeprefix("m32.onnx: ").removeprefix("m64.onnx: ")
    return why.replace("\n", " ").replace("|", "\\|")


def table(rows, names):
    names = [*names, *(r["name"] for r in rows if r["exporter"] == "tf2onnx")]
    order = {name: i for i, name in reversed(list(enumerate(names)))}
    slow = {r["name"]: r["why"] for r in rows if r["verdict"] == "not measured"}
    rows = [r for r in rows if r["verdict"] != "not measured"]
    rows = sorted((r for r in rows if r["name"] in order), key=lambda r: order[r["name"]])
    count = lambda verdict: sum(r["verdict"] == verdict for r in rows)
    right = {r["name"] for r in rows if r["verdict"].startswith("right")}
    text = INTRO + (
        f"**{len({r['name'] for r in rows})} architectures, {len(rows)} files: {count('right')} right, "
        f"{count('right in float32')} right in float32, "
        f"{count('refused')} refused, {count('not exported')} not exported, "
        f"wrong: {count('wrong')}.** "
        f"{len(right)} architectures are right in at least one form.\n\n"
        "| architecture | exporter | batch | nodes | augmented | seconds "
        "| autograd | v = x·ŵ + b̂ | float32 | verdict |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    )
    notes = []
    for r in rows:
        verdict = r["verdict"]
        if verdict != "right":
            why = reason(r) or "errors above the bounds"
            if why not in notes:
                notes.append(why)
            verdict += f" ({notes.index(why) + 1})"
        cells = [
            r["name"], r["exporter"], r["batch"], str(r.get("before", "–")), str(r.get("after", "–")),
            number(r, "seconds", "{:.2f}"), number(r, "error"), number(r, "identity"), number(r, "ort"), verdict,
        ]  # fmt: skip
        text += "| " + " | ".join(cells) + " |\n"
    missing = [name for name in names if all(r["name"] != name for r in rows)]
    if missing:
        said = [f"{name} ({slow[name]})" if name in slow else name for name in missing]
        text += f"\nNot measured ({len(missing)}) for want of time; where a limit is named, the network took longer: " + "; ".join(said) + ".\n"
    if notes:
        text += "\n" + "".join(f"{i + 1}. {why}\n" for i, why in enumerate(notes))
    return text
