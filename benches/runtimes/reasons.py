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
        "^random-",
        "Incompatible dimensions|re-use buffer|Can't merge shape info",
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
        "wrong: its one-dimensional MaxPool counts Indices within a channel, not through the tensor, which v = x·ŵ + b̂ shows",
    ),
    ("reference evaluator", "^Loop-state", "", "its Loop gives other states of the rounds than ONNX Runtime's, and its If refuses the form"),
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
    (
        "OpenVINO",
        "^shipped-patterns",
        "",
        "wrong, in the Scan of the power iteration; the Loop of `--target openvino` is right",
    ),
    (
        "OpenVINO",
        "^ConvTranspose-same",
        "ended with -11",
        "ends the process on a ConvTranspose with `auto_pad` and a batch of unknown size",
    ),
    ("OpenVINO", "^GRU", "Layout rank", "its code generator fails on the body of the Loop"),
    (
        "WebGPU",
        "",
        "Indices output is not supported",
        "its MaxPool does not tell the winners (Indices); the WASM provider does",
    ),
    ("WebGPU", "^square-Conv", "", "computes the model without what was added otherwise than with it, which is right"),
    (
        "tract",
        "^Pad-symbolic",
        "",
        "wrong in float32, most likely in Mod of a negative number that comes from a size; v = x·ŵ + b̂ shows it, and so "
        "does `slpc verify`",
    ),
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
