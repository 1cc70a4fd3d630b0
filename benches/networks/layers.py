"""Networks made of PyTorch's own layers: those that no collection of vision models holds."""

import torch
import torch.nn.functional as F
from torch import nn


class Recurrent(nn.Module):
    """A recurrent layer over a sequence of features, and a classifier of its last state."""

    def __init__(self, kind, **options):
        super().__init__()
        self.rnn = kind(6, 12, batch_first=True, **options)
        self.head = nn.Linear(12 * (2 if options.get("bidirectional") else 1), 5)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Encoder(nn.Module):
    """The encoder of a Transformer over continuous tokens."""

    def __init__(self, **options):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, **options)
        self.embed = nn.Linear(6, 16)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x)).mean(1))


class Decoder(nn.Module):
    """Blocks of causal attention written with scaled_dot_product_attention."""

    def __init__(self, blocks=2, width=16, heads=4):
        super().__init__()
        self.heads = heads
        self.embed = nn.Linear(6, width)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "before": nn.LayerNorm(width),
                    "qkv": nn.Linear(width, 3 * width),
                    "out": nn.Linear(width, width),
                    "after": nn.LayerNorm(width),
                    "mlp": nn.Sequential(nn.Linear(width, 32), nn.GELU(approximate="tanh"), nn.Linear(32, width)),
                }
            )
            for _ in range(blocks)
        )
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        x = self.embed(x)
        for b in self.blocks:
            q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in b["qkv"](b["before"](x)).chunk(3, 2))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + b["out"](mixed.transpose(1, 2).flatten(2))
            x = x + b["mlp"](b["after"](x))
        return self.head(x[:, -1])


class Rotary(nn.Module):
    """Attention with rotary positions, an additive mask, RMS normalisation and a SwiGLU."""

    def __init__(self, width=16, heads=2, length=9):
        super().__init__()
        self.heads = heads
        self.embed, self.head = nn.Linear(6, width), nn.Linear(width, 5)
        self.before, self.after = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.gate, self.up, self.down = nn.Linear(width, 32), nn.Linear(width, 32), nn.Linear(32, width)
        angle = torch.arange(length)[:, None] / 10 ** torch.arange(width // heads // 2)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        self.register_buffer("mask", torch.full((length, length), float("-inf")).triu(1))

    def turn(self, x):
        a, b = x.chunk(2, -1)
        return torch.cat([a * self.cos - b * self.sin, a * self.sin + b * self.cos], -1)

    def forward(self, x):
        x = self.embed(x)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in self.qkv(self.before(x)).chunk(3, 2))
        scores = self.turn(q) @ self.turn(k).transpose(2, 3) / (q.shape[-1] ** 0.5) + self.mask
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        h = self.after(x)
        return self.head((x + self.down(F.silu(self.gate(h)) * self.up(h)))[:, -1])


class UNet(nn.Module):
    """An encoder and a decoder with skips; `mode` says how the decoder enlarges."""

    def __init__(self, mode):
        super().__init__()
        conv = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
        self.down = nn.ModuleList([conv(3, 8), conv(8, 16), conv(16, 32)])
        self.up = nn.ModuleList([conv(48, 16), conv(24, 8)])
        corners = False if mode in ("bilinear", "bicubic") else None
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(c, c, 2, 2) if mode == "transposed" else nn.Upsample(None, 2, mode, corners)
            for c in (32, 16)
        )
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = self.down[0](x)
        b = self.down[1](F.max_pool2d(a, 2))
        c = self.down[2](F.max_pool2d(b, 2))
        b = self.up[0](torch.cat([self.enlarge[0](c), b], 1))
        return self.head(self.up[1](torch.cat([self.enlarge[1](b), a], 1)))


class SpatialTransformer(nn.Module):
    """Turns the image by an affine map that it predicts from it, and classifies the result."""

    def __init__(self):
        super().__init__()
        self.locate = nn.Sequential(
            nn.Conv2d(1, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(200, 6)
        )
        self.classify = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 5)
        )
        self.register_buffer("still", torch.tensor([[0.9, 0.1, 0.05], [-0.1, 0.8, -0.05]]))

    def forward(self, x):
        theta = self.still + 0.1 * self.locate(x).reshape(-1, 2, 3)
        grid = F.affine_grid(theta, x.shape, align_corners=False)
        return self.classify(F.grid_sample(x, grid, align_corners=False))


class WaveNet(nn.Module):
    """Gated causal convolutions of growing dilation, with residuals and skips."""

    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Conv1d(2, width, 1)
        self.filter = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**i) for i in range(5))
        self.gate = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**i) for i in range(5))
        self.mix = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(5))
        self.head = nn.Conv1d(width, 3, 1)

    def forward(self, x):
        x, skips = self.first(x), 0
        for i, (f, g, m) in enumerate(zip(self.filter, self.gate, self.mix)):
            past = F.pad(x, (2**i, 0))
            z = m(torch.tanh(f(past)) * torch.sigmoid(g(past)))
            x, skips = x + z, skips + z
        return self.head(F.relu(skips))


class Graph(nn.Module):
    """Two graph convolutions: gather along the edges, sum at their ends. The nodes of the graph are one sample."""

    def __init__(self, nodes=20, edges=60):
        super().__init__()
        self.first, self.second = nn.Linear(4, 12), nn.Linear(12, 3)
        self.register_buffer("source", torch.randint(nodes, (edges,)))
        self.register_buffer("target", torch.randint(nodes, (edges,)))

    def spread(self, x):
        to = self.target[:, None].expand(-1, x.shape[1])
        return x + torch.zeros_like(x).scatter_add(0, to, x[self.source])

    def forward(self, x):
        return self.second(self.spread(F.elu(self.first(self.spread(x)))))


class Separator(nn.Module):
    """Two branches with normalisations over groups and instances, joined by a product."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.GroupNorm(4, 8), nn.SELU(), nn.AvgPool2d(3, 2, 1, True, False))
        self.b = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.InstanceNorm2d(8, affine=True), nn.Softplus(), nn.AvgPool2d(3, 2, 1, True, False)
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head((self.a(x) * self.b(x)).amax((2, 3)))


class Twin(nn.Module):
    """Compares an image with a second one through shared layers; the first is explained."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 5, 3), nn.PReLU(8), nn.Flatten(), nn.Linear(512, 16))
        self.head = nn.Linear(16, 3)

    def forward(self, x, other):
        a, b = F.normalize(self.body(x), dim=1), F.normalize(self.body(other), dim=1)
        return self.head((a - b).abs())


def autoencoder():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(8, 16, 3, 2, 1), nn.LeakyReLU(0.1),
        nn.Flatten(), nn.Linear(1024, 24), nn.Linear(24, 1024), nn.Unflatten(1, (16, 8, 8)),
        nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1),
    )  # fmt: skip


def super_resolution():
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 9, 3, padding=1), nn.PixelShuffle(3),
    )  # fmt: skip


def volume():
    return nn.Sequential(
        nn.Conv3d(1, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(6, 8, 3, (2, 1, 2)),
        nn.ReLU6(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


def perceptron():
    return nn.Sequential(
        nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 16), nn.SiLU(),
        nn.Linear(16, 7), nn.LogSoftmax(1),
    )  # fmt: skip


def padded():
    """Convolutions whose borders are reflected, repeated and wrapped."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"), nn.ReLU(),
        nn.Conv2d(6, 6, 3, 2, padding=1, padding_mode="replicate"), nn.Hardswish(),
        nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular"), nn.Mish(), nn.Flatten(), nn.Linear(1024, 5),
    )  # fmt: skip


class Scikit(nn.Module):
    """A perceptron of scikit-learn, and the same in PyTorch: what enters its softmax, or its two probabilities."""

    def __init__(self, estimator):
        super().__init__()
        self.estimator = estimator
        self.weights = nn.ParameterList(torch.tensor(w) for w in estimator.coefs_)
        self.biases = nn.ParameterList(torch.tensor(b) for b in estimator.intercepts_)

    def forward(self, x):
        for i, (w, b) in enumerate(zip(self.weights, self.biases)):
            x = (F.relu(x) if i else x) @ w + b
        if getattr(self.estimator, "out_activation_", "") == "logistic":
            x = torch.cat([1 - x.sigmoid(), x.sigmoid()], 1)
        return x


def scikit(kind, classes=0):
    import numpy as np
    from sklearn import neural_network

    random = np.random.default_rng(1)
    x = random.normal(size=(80, 12))
    y = random.normal(size=80) if kind == "MLPRegressor" else np.arange(80) % classes
    return Scikit(getattr(neural_network, kind)(hidden_layer_sizes=(16, 8), max_iter=20, random_state=1).fit(x, y))
