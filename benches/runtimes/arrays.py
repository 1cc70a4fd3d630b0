"""Arrays as JSON, which every worker reads and writes whatever its language is."""

import base64
import json

import numpy as np


def encode(arrays):
    one = lambda a: {"dtype": a.dtype.name, "dims": a.shape, "data": base64.b64encode(np.ascontiguousarray(a)).decode()}
    return json.dumps({name: one(np.asarray(array)) for name, array in arrays.items()})


def decode(text):
    one = lambda a: np.frombuffer(base64.b64decode(a["data"]), a["dtype"]).reshape(a["dims"]).copy()
    return {name: one(array) for name, array in json.loads(text).items()}
