"""Why a runtime fails on a file that others run: the fault, and what to do about it."""

import re

# By runtime, by the name of the file, by what it said: the reason.
REASONS = [
    (
        "ONNX Runtime 1.17",
        "^LayerNormalization",
        "ended with -6",
        "aborts in its extended optimisations where LayerNormalization has no bias B, as soon as anything else is "
        "computed from its output; it loads with `graph_optimization_level` basic, and newer versions load it as it is",
    ),
    (
        "ONNX Runtime|web",
        "^random-(35|44)",
        "Incompatible dimensions|re-use buffer",
        "its shape inference counts a pooling window of `ceil_mode` that begins in the padding, which its own kernel "
        "and the standard leave out, and then refuses the sizes of what is computed from it",
    ),
    (
        "reference evaluator",
        "",
        "input_direction|input axes|output axes",
        "has no Scan along another axis than 0 or against the rounds",
    ),
    (
        "reference evaluator",
        "",
        "at most 64 array objects|Need at least 0",
        "GatherElements and ScatterElements take axes of up to 64 elements only",
    ),
    (
        "reference evaluator",
        "^random-(13|23)",
        "",
        "wrong: of several equal elements of a pooling window its MaxPool names another in Indices than the first, which "
        "v = x·ŵ + b̂ shows",
    ),
    ("reference evaluator", "^Loop-state", "", "an If or Scan in a Scan loses the values around it"),
    (
        "OpenVINO",
        "",
        "Number of Scan node inputs|num_scan_outputs can't be negative",
        "refuses a Scan whose body reads values around it: `--target openvino` writes a Loop instead",
    ),
    (
        "OpenVINO",
        "^random-(35|44)",
        "",
        "counts a pooling window of `ceil_mode` that begins in the padding, as ONNX Runtime's shape inference does",
    ),
    (
        "tract",
        "",
        "is not supported",
        "lacks an operator of the model itself, and says which",
    ),
    ("tract", "", "computed wrongly", "computes an operator of the model itself wrongly, and `slpc` refuses to run it there"),
    ("tract", "^If", "Duplicate node name", "joins the names of nodes of two branches and finds them twice"),
    (
        "tract",
        "",
        "Params are not const|Wrong number of outputs|can not be typed|cannot analyse|Failed analyse|Translating",
        "needs what is an input here to be a constant, or has no such form of an operator of the model itself",
    ),
]


def reason(row):
    """The text for a row that fails, or none."""
    for runtime, name, why, text in REASONS:
        said = re.search(why, row.get("why", ""))
        if re.search(runtime, row["runtime"]) and re.search(name, row["name"]) and said:
            return text
    return None
