"""One small network of each exporter: its file, and its rows by the framework's own means where it has any.

`export` takes a path, writes the model there, and gives samples and the gradient of the first class score by them,
or none. `run.py` shows its source in the documentation.
"""

import numpy as np


class Recipe:
    # Whether the model is a staircase, whose steps no slope predicts.
    stairs = False


class Torch(Recipe):
    title = "PyTorch, the TorchScript exporter"
    needs = "torch, onnx"
    says = """Shapes are traced: give the batch a name in `dynamic_axes`, or the file holds one sample only. In evaluation
mode (`model.eval()`) Dropout is gone and BatchNormalization folded into the convolution. Views come as Shape, Gather,
Concat and Reshape, which slpc follows with a symbolic batch."""

    def export(self, path):
        import torch
        from torch import nn

        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(), nn.Linear(64, 3), nn.Softmax(1),
        ).eval()  # fmt: skip
        x = torch.randn(2, 1, 8, 8)
        torch.onnx.export(
            model, (x,), path, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "N"}, "y": {0: "N"}}
        )
        return x.numpy(), gradient(model[:-1], x)


class Dynamo(Recipe):
    title = "PyTorch, the exporter of torch.export (dynamo)"
    needs = "torch, onnx, onnxscript"
    says = """Large weights go into a data file beside the model unless `external_data=False`; slpc reads either. The
batch is named in `dynamic_shapes`. Operators come at operator set 18 and up, some as model-local functions, which
slpc inlines."""

    def export(self, path):
        import torch
        from torch import nn

        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)).eval()
        x, batch = torch.randn(2, 6), torch.export.Dim("N")
        torch.onnx.export(
            model, (x,), path, dynamo=True, input_names=["x"], output_names=["y"], dynamic_shapes=({0: batch},), external_data=False
        )
        return x.numpy(), gradient(model, x)


class Keras(Recipe):
    title = "Keras and TensorFlow, by tf2onnx"
    needs = "keras, tensorflow-cpu, tf2onnx, onnx"
    says = """Images are NHWC: Transpose moves the channels before the convolutions and back behind them (Reshape where there
is one), and ŵ has the shape of the input as Keras has it. The batch is symbolic. Softmax stays at the end, and `logits`
is what enters it."""

    def export(self, path):
        import keras
        import tensorflow as tf
        import tf2onnx

        keras.utils.set_random_seed(0)
        layers = keras.layers
        model = keras.Sequential([
            layers.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ])  # fmt: skip
        x = np.random.default_rng(0).standard_normal((2, 8, 8, 1)).astype(np.float32)
        signature = [tf.TensorSpec((None, 8, 8, 1), tf.float32, name="x")]
        function = tf.function(lambda x: {"y": model(x)}, input_signature=signature)
        tf2onnx.convert.from_function(function, signature, opset=17, output_path=path)
        model.layers[-1].activation = keras.activations.linear
        with tf.GradientTape() as tape:
            watched = tf.Variable(x)
            score = tf.reduce_sum(model(watched)[:, 0])
        return x, tape.gradient(score, watched).numpy()


class Scikit(Recipe):
    title = "scikit-learn, by skl2onnx"
    needs = "scikit-learn, skl2onnx, onnx"
    says = """`zipmap=False` keeps the probabilities a tensor (ZipMap makes a sequence of maps, which no layer can be).
Networks and linear models come as MatMul, Add and activations, and `logits` is what enters the Softmax. What skl2onnx
writes in the domain `ai.onnx.ml` (Scaler, trees, support vector machines) has no rule: slpc says so and names the node.
Behind the scores, ArgMax and ArrayFeatureExtractor find the label, which no layer depends on. Scale the data before the
model, as here, rather than in a pipeline with it."""

    def export(self, path):
        from skl2onnx import to_onnx
        from sklearn.datasets import load_iris
        from sklearn.neural_network import MLPClassifier
        from sklearn.preprocessing import scale

        x, labels = load_iris(return_X_y=True)
        x = scale(x).astype(np.float32)
        model = MLPClassifier((16,), random_state=0, max_iter=2000).fit(x, labels)
        made = to_onnx(model, x[:1], options={"zipmap": False}, target_opset=17)
        with open(path, "wb") as file:
            file.write(made.SerializeToString())
        (first, last), active = model.coefs_, x[:2] @ model.coefs_[0] + model.intercepts_[0] > 0
        return x[:2], (active * last[:, 0]) @ first.T


class Quantised(Recipe):
    title = "Quantised models, by ONNX Runtime's static quantiser"
    needs = "onnxruntime, onnx"
    stairs = True
    says = """In the form QDQ each tensor passes QuantizeLinear and DequantizeLinear, and weights stand behind a
DequantizeLinear. The Relu is gone, since the zero point of the activations does its work, so no layer is followed by
one. slpc takes rounding as the identity (slope 1 where it does not saturate, 0 where it does): ŵ is the row of the network
of floats with the quantised weights, and what rounding does to the activities is in b̂. A quantised network is a
staircase, so `--verify` finds that small steps are not predicted; the other promises hold. The form QOperator
(QLinearConv and the like) holds no floats to differentiate and is refused by name: quantise to QDQ."""

    def export(self, path):
        from pathlib import Path

        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Reader(CalibrationDataReader):
            def __init__(self, batches):
                self.rest = iter({"input": batch} for batch in batches)

            def get_next(self):
                return next(self.rest, None)

        model = Path(__file__).parents[1] / "2conv_mnist.onnx"
        draws = np.random.default_rng(0).uniform(0, 1, (8, 2, 1, 28, 28)).astype(np.float32)
        quantize_static(
            str(model), path, Reader(draws), quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True,
        )  # fmt: skip
        return draws[0], None


def gradient(model, x):
    """The gradient of the sum of the first scores, a row a sample."""
    x = x.clone().requires_grad_()
    model(x)[:, 0].sum().backward()
    return x.grad.numpy()


RECIPES = {"torch": Torch(), "dynamo": Dynamo(), "keras": Keras(), "scikit": Scikit(), "quantised": Quantised()}
