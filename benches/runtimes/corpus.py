"""The files that the runtimes run: models, what they are fed, how they are transformed, the float64 truth."""

import copy
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from arrays import encode
from widths import double, single

HERE = Path(__file__).parent
FIVE = "activity,weights,bias,centre,icd"
PATTERNS = "activity,icd,patterns,singular-values,mixing,power"


def slpc(program, *arguments, limit=600):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=limit)
    return done.returncode, done.stderr


def alone(model, feed, name):
    """The model with `name` as its only float input; the others become what they are fed."""
    model = copy.deepcopy(model)
    for value in [v for v in model.graph.input if v.name in feed and v.name != name]:
        model.graph.input.remove(value)
        model.graph.initializer.append(numpy_helper.from_array(feed[value.name], value.name))
    return model


def dynamic(model, name):
    """The model with axis 0 of its input left open; none where it is open already or there is none."""
    (value,) = [v for v in model.graph.input if v.name == name]
    dims = value.type.tensor_type.shape.dim
    if not dims or not dims[0].HasField("dim_value"):
        return None
    model = copy.deepcopy(model)
    (value,) = [v for v in model.graph.input if v.name == name]
    value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def plain(options):
    """The options without block and with the direction reverse: the truth is one for all ways to it."""
    pairs = [(a, b) for a, b in zip(options[::2], options[1::2]) if a not in ("--block", "--direction")]
    return [word for pair in pairs for word in pair] + ["--direction", "reverse"]


class Corpus:
    """Jobs in a folder, made with the compiler at `program` for any runtime and for each of `targets`."""

    def __init__(self, folder, program, targets=()):
        self.folder, self.program, self.targets = Path(folder), program, targets
        self.wanted, self.jobs, self.refused = [], [], []

    def add(self, group, name, model, feed, options, **more):
        """Asks for a job: a float32 model, its feed by name and the options of `slpc transform`."""
        name = name.replace(" ", "-").replace(":", "").replace("/", "-").replace(",", "-")
        self.wanted.append((group, name, model, feed, options, more))

    def make(self, threads=2):
        """Transforms what was asked for, in float32 and, for the truth, in float64."""
        with ThreadPoolExecutor(threads) as pool:
            for job in pool.map(lambda wanted: self.transformed(*wanted), self.wanted):
                (self.jobs if "augmented" in job else self.refused).append(job)
        return self.jobs

    def transformed(self, group, name, model, feed, options, more):
        job = {"group": group, "name": name, "options": options, **more}
        at = lambda suffix: str(self.folder / f"{name}.{suffix}")
        model = single(model) if not isinstance(model, (str, Path)) else model
        if isinstance(model, (str, Path)):
            job["original"], model = str(model), onnx.load(model)
        else:
            job["original"] = at("original.onnx")
            onnx.save(model, job["original"])
        onnx.save(double(model), at("double.onnx"))
        widened = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in feed.items()}
        for kind, values in (("feed", feed), ("wide", widened)):
            job[kind] = at(f"{kind}.json")
            Path(job[kind]).write_text(encode(values))
        files = {"augmented": (job["original"], options), "truth": (at("double.onnx"), plain(options))}
        files |= {t: (job["original"], [*options, "--target", t]) for t in self.targets}
        for kind, (source, asked) in files.items():
            output = at(f"{kind}.onnx")
            code, told = slpc(self.program, "transform", source, "-o", output, "-q", *asked)
            if code != 0:
                return {"group": group, "name": name, "refused": told.strip(), "code": code}
            job[kind] = output
        graph = onnx.load(job["augmented"], load_external_data=False).graph
        job["outputs"] = [value.name for value in graph.output]
        job["nodes"] = len(graph.node)
        return job


def typed(model):
    """The model with the types of its outputs, where they follow."""
    try:
        inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.output}
    except onnx.shape_inference.InferenceError:
        return model
    for output in model.graph.output:
        if not output.type.tensor_type.elem_type:
            output.CopyFrom(inferred[output.name])
    return model


def values(given, dtype=np.float32):
    return {k: np.asarray(v["values"]).reshape(v["dims"]).astype(dtype) for k, v in given.items()}


def is_float(model):
    kinds = {v.type.tensor_type.elem_type for v in model.graph.input}
    return kinds <= {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}


def float_outputs(model):
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, 0)
    return [v.name for v in model.graph.output if v.type.tensor_type.elem_type in floats]


def add_rules(corpus, folder):
    """Every form of every operator that has a snapshot: by each input, both ways, as one sample and in a batch."""
    for path in sorted(Path(folder).glob("*.onnx")):
        if path.stem.startswith("random-"):
            continue
        model, feed = onnx.load(path), values(json.loads(path.with_suffix(".json").read_text()))
        if not is_float(model) or not feed:
            continue
        for name in feed:
            one = alone(typed(single(model)), feed, name)
            forms = [("whole", one, "none"), ("batch", dynamic(one, name), "auto")]
            for form, made, batch in forms:
                for layer in float_outputs(one) if made else []:
                    for way in ("reverse", "forward"):
                        options = ["--layer", f"y={layer}", "--neurons", "all", "--emit", "activity,weights,bias,bias-terms"]
                        options += ["--batch", batch, "--direction", way, "--input", name]
                        title = f"{path.stem} {layer} by {name} {form} {way}"
                        corpus.add("rules", title, made, {name: feed[name]}, options, op=path.stem.split("-")[0], batch=batch)


def add_random(corpus, folder):
    """Random piecewise linear graphs: both ways, as many samples as they have, some in blocks."""
    for i, path in enumerate(sorted(Path(folder).glob("random-*.onnx"))):
        model, feed = onnx.load(path), values(json.loads(path.with_suffix(".json").read_text()))
        emit = (f"{FIVE},bias-terms", f"{FIVE},state,radius")[i % 2]
        neurons = ("all", "all", "top:1")[i % 3]
        for way in ("reverse", "forward"):
            options = ["--layer", "y", "--neurons", neurons, "--emit", emit, "--direction", way]
            if i % 5 == 4:
                options += ["--block", "2"]
            corpus.add("random", f"{path.stem} {way}", model, feed, options)


def add_shipped(corpus, images):
    """The shipped network: every quantity, every choice of neurons, both ways, one sample and three."""
    path = HERE.parents[1] / "examples/2conv_mnist.onnx"
    asked = [
        ("logits five", [], f"{FIVE},bias-terms"),
        ("top", ["--neurons", "top:3"], FIVE),
        ("list of three layers", ["--layer", "a=/conv1/Conv_output_0", "--layer", "b=/MaxPool_1_output_0", "--layer", "logits", "--neurons", "3,0,7..9"], "activity,weights,bias,bias-terms"),
        ("channel", ["--layer", "a=/conv2/Conv_output_0", "--neurons", "[12,:,3..4],[0,0,0]"], FIVE),
        ("blocks", ["--block", "4"], FIVE),
        ("patterns", [], PATTERNS),
        ("patterns top", ["--neurons", "top:2"], PATTERNS),
        ("state and radius", ["--layer", "a=/conv2/Conv_output_0", "--layer", "logits", "--neurons", "0"], "activity,state,radius"),
    ]
    for count in (1, 3):
        feed = {"input": images[:count]}
        for title, options, emit in asked:
            ways = ("reverse", "forward") if "block" not in title and "radius" not in title else ("auto",)
            for way in ways:
                small = count == 1 and way == "reverse" and "channel" not in title
                chosen = [*options, "--emit", emit, "--direction", way]
                corpus.add("shipped", f"shipped {title} {way} {count}", path, feed, chosen, slow=not small)
    runtime = {"input": images[:2], "slp/a/neurons": np.array([5, 200, 5])}
    options = ["--layer", "a=/fc1/Gemm_output_0", "--neurons", "runtime"]
    corpus.add("shipped", "shipped runtime neurons", path, runtime, options, neurons="5,200,5")
    corpus.add("shipped", "shipped whole", path, {"input": images[:1]}, ["--batch", "none", "--neurons", "0..9"], batch="none")


def layer(kind, weights, x, y):
    """One layer with a square weight, as ONNX nodes."""
    if kind == "Gemm":
        return [onnx.helper.make_node("Gemm", [x, weights], [y], transB=1)]
    if kind == "Transpose":
        turned = onnx.helper.make_node("Transpose", [weights], [f"{y}/turned"], perm=[1, 0])
        return [turned, onnx.helper.make_node("MatMul", [x, f"{y}/turned"], [y])]
    pads = {"pads": [1, 1, 1, 1]} if "Conv" in kind else {}
    return [onnx.helper.make_node(kind, [x, weights], [y], **pads)]


def add_square(corpus):
    """Layers whose weight is square, one behind the other: the same tensor forward and reverse."""
    draw = np.random.default_rng(3).uniform
    for kind in ("MatMul", "Gemm", "Transpose", "Conv", "ConvTranspose"):
        # OpenVINO packs matrices from some tens of rows on.
        sample, square = ([6, 4, 5], [6, 6, 3, 3]) if "Conv" in kind else ([64], [64, 64])
        nodes, tensors, value = [], [], "x"
        for i in range(3):
            tensors.append(numpy_helper.from_array(draw(-0.4, 0.4, square).astype(np.float32), f"w{i}"))
            nodes += layer(kind, f"w{i}", value, f"a{i}")
            nodes.append(onnx.helper.make_node("Relu", [f"a{i}"], [f"r{i}"]))
            value = f"r{i}"
        nodes.append(onnx.helper.make_node("Tanh", [value], ["y"]))
        ends = [onnx.helper.make_tensor_value_info(v, onnx.TensorProto.FLOAT, ["N", *sample]) for v in "xy"]
        graph = onnx.helper.make_graph(nodes, "square", ends[:1], ends[1:], tensors)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        for way in ("reverse", "forward"):
            options = ["--layer", "y", "--neurons", "all", "--emit", FIVE, "--direction", way]
            corpus.add("square", f"square {kind} {way}", model, {"x": draw(-1, 1, [2, *sample]).astype(np.float32)}, options)


REAL = {
    "2conv_mnist_true": ("input", "all"),
    "2conv_cifar10_true": ("input", "all"),
    "resnet20_cifar10": ("input", "all"),
    "mlperf_resnet8_cifar10": ("input", "all"),
    "mnist_cntk_ort": ("Input3", "all"),
    "vit_mnist": ("input", "all"),
    "mobilenetv1_025_224_imagenet": ("input", "top:5"),
    "mobilenetv2_100_224_imagenet_w8": ("input", "top:5"),
    "squeezenet11_imagenet": ("data_0", "top:5"),
}


def add_real(corpus, data, images):
    """Trained networks on one real input each, moved off the ties that flat backgrounds make."""
    for name, (input_name, neurons) in REAL.items():
        path, golden = Path(data) / f"models/{name}.onnx", Path(data) / f"golden/{name}.npz"
        x = np.load(golden)["input"][:1] if golden.exists() else images[:1]
        noise = np.random.default_rng(1).uniform(-1, 1, x.shape)
        x = (x + 0.01 * np.abs(x).max() * noise).astype(np.float32)
        emit = FIVE if name == "vit_mnist" else f"{FIVE},state"
        corpus.add("real", name, path, {input_name: x}, ["--neurons", neurons, "--emit", emit], timed=7, slow=name != "vit_mnist")
