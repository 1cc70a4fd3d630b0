"""Writes Keras models through tf2onnx with the rows that TensorFlow's autograd gives, for run.py --exported.

Runs in an environment of its own (requirements-keras.txt)."""

import json
import os
import sys
import zlib
from pathlib import Path

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import layers

# Rows of each model, as compare.py wants them.
CANDIDATES = 6

def convolutions():
    x = keras.Input((16, 16, 3))
    y = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    y = layers.BatchNormalization()(y)
    y = layers.MaxPooling2D()(layers.DepthwiseConv2D(3, padding="same", activation="relu")(y))
    y = layers.Dense(16, activation="elu")(layers.Flatten()(y))
    return keras.Model(x, layers.Dense(5)(y))


def residual():
    x = keras.Input((15, 15, 2))
    y = layers.Conv2D(6, 3, padding="same")(x)
    for _ in range(2):
        z = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.Add()([y, layers.SeparableConv2D(6, 3, padding="same")(z)])
    y = layers.Conv2DTranspose(4, 2, strides=2, activation="swish")(layers.AveragePooling2D(3, 2, "same")(y))
    return keras.Model(x, layers.Dense(4)(layers.GlobalAveragePooling2D()(y)))


def dense():
    sizes = [layers.Dense(24, activation="tanh"), layers.LayerNormalization(), layers.Dense(16, activation="softplus")]
    return keras.Sequential([keras.Input((20,)), *sizes, layers.Dense(6)])


MODELS = {
    "Keras convolutions and dense layers": convolutions,
    "Keras residual blocks, ConvTranspose": residual,
    "Keras dense layers": dense,
}


def built(make, kind, weights=None):
    """The model in a float type, with random weights and statistics or those given."""
    keras.config.set_dtype_policy(kind)
    model = make()
    if weights is None:
        draw = np.random.default_rng(1)
        near = lambda w: np.abs(w) + 0.3 if np.ptp(w) == 0 and w.flat[0] == 1 else w
        weights = [near(w) + 0.1 * np.abs(draw.standard_normal(w.shape)) for w in model.get_weights()]
    model.set_weights(weights)
    return model, weights


def autograd(model, x, count):
    """The largest outputs of each sample and the rows of their Jacobian."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=False)
    neurons = tf.math.top_k(y, min(count, y.shape[1])).indices.numpy()
    rows = tape.batch_jacobian(y, x).numpy()
    return neurons, np.take_along_axis(rows, neurons.reshape(*neurons.shape, *[1] * (x.ndim - 1)), 1)


def written(model, shape, kind, path):
    spec = [tf.TensorSpec(shape, getattr(tf, kind), name="input")]
    call = tf.function(lambda x: tf.identity(model(x, training=False), "output"), input_signature=spec)
    tf2onnx.convert.from_function(call, input_signature=spec, opset=18, output_path=str(path))


def explain(name, make, folder):
    """Writes the files of one model and its rows; gives what run.py needs to know of each."""
    keras.utils.set_random_seed(zlib.crc32(name.encode()) % 2**32)
    _, weights = built(make, "float64")
    models = {bits: built(make, f"float{bits}", weights)[0] for bits in (64, 32)}
    shape = models[64].input_shape[1:]
    x = np.random.default_rng(2).standard_normal((2, *shape))
    neurons, rows = autograd(models[64], x, CANDIDATES)
    for form, count, batch in ("static", 1, 1), ("dynamic", 2, None):
        row = {"name": name, "exporter": "tf2onnx", "batch": form}
        place = folder / f"{len(list(folder.iterdir()))}"
        place.mkdir()
        try:
            for bits in 64, 32:
                written(models[bits], (batch, *shape), f"float{bits}", place / f"m{bits}.onnx")
            np.savez(place / "truth.npz", x=x[:count], neurons=neurons[:count], rows=rows[:count])
        except Exception as e:
            row |= {"verdict": "not exported", "why": str(e).splitlines()[0]}
        (place / "row.json").write_text(json.dumps(row))


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir()
    for name, make in MODELS.items():
        explain(name, make, out)
