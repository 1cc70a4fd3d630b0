"""The networks: how each is built, and the shape of its inputs."""

from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
import torchvision.models as tv
from torch import nn

import layers


@dataclass
class Network:
    """`shapes` are those of the inputs without their sample axis; the first input is explained."""

    name: str
    build: Callable[[], nn.Module]
    shapes: list[tuple[int, ...]]
    layer: str = "logits"
    neurons: str = "top:3"
    batched: bool = True
    exporters: tuple[str, ...] = ("torchscript", "dynamo")


class Pick(nn.Module):
    """The value of a segmentation network's dictionary that is its answer."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x)["out"]


def vision(build, size=64, **options):
    options = {"weights": None, "num_classes": 10} | options

    def make():
        return Pick(build(**options)) if "weights_backbone" in options else build(**options)

    return Network(f"torchvision {build.__name__}", make, [(3, size, size)])


def collection(name, size=64, **options):
    make = lambda: timm.create_model(name, pretrained=False, num_classes=10, **options)
    return Network(f"timm {name}", make, [(3, size, size)])


def own(name, build, *shapes, **options):
    return Network(name, build, list(shapes), **options)


def vgg16_bn():
    """VGG-16 with a narrow classifier: the 120 million weights of the usual one show nothing more."""
    model = tv.vgg16_bn(weights=None, num_classes=10)
    model.avgpool = nn.AdaptiveAvgPool2d(1)
    model.classifier[0], model.classifier[3] = nn.Linear(512, 64), nn.Linear(64, 64)
    model.classifier[6] = nn.Linear(64, 10)
    return model


def small_vit():
    return tv.VisionTransformer(64, 16, 4, 4, 64, 128, num_classes=10)


def small_maxvit():
    return tv.MaxVit((64, 64), 32, 4, [32, 64, 128], [1, 1, 1], 16, 0.0, num_classes=10)


def networks():
    """Every network of the table, in its order."""
    return [
        vision(tv.alexnet, 224),
        own("torchvision vgg16_bn, narrow classifier", vgg16_bn, (3, 64, 64)),
        vision(tv.squeezenet1_1),
        vision(tv.resnet18),
        vision(tv.resnet50),
        vision(tv.densenet121),
        vision(tv.googlenet, aux_logits=False, init_weights=False),
        vision(tv.inception_v3, 96, aux_logits=False, init_weights=False),
        vision(tv.mobilenet_v2),
        vision(tv.mobilenet_v3_small),
        vision(tv.efficientnet_b0),
        vision(tv.shufflenet_v2_x1_0),
        vision(tv.regnet_y_400mf),
        vision(tv.mnasnet1_0),
        vision(tv.convnext_tiny),
        vision(tv.swin_t),
        vision(tv.swin_v2_t),
        own("torchvision VisionTransformer, 4 layers of 64", small_vit, (3, 64, 64)),
        own("torchvision MaxVit, 3 blocks", small_maxvit, (3, 64, 64)),
        vision(tv.segmentation.fcn_resnet50, weights_backbone=None),
        vision(tv.segmentation.deeplabv3_mobilenet_v3_large, weights_backbone=None),
        vision(tv.segmentation.lraspp_mobilenet_v3_large, weights_backbone=None),
        own("torchvision r3d_18", lambda: tv.video.r3d_18(num_classes=10), (3, 8, 32, 32)),
        *map(collection, TIMM),
        collection("efficientformer_l1", 224),
        collection("mixer_s16_224", img_size=64),
        collection("resmlp_12_224", img_size=64),
        collection("gmlp_s16_224", img_size=64),
        collection("deit_tiny_patch16_224", img_size=64),
        collection("deit_tiny_distilled_patch16_224", img_size=64),
        collection("cait_xxs24_224", img_size=64),
        collection("xcit_nano_12_p16_224", img_size=64),
        collection("beit_base_patch16_224", img_size=64, depth=2, embed_dim=96, num_heads=4),
        collection("vit_relpos_small_patch16_224", img_size=64, depth=2),
        collection("swinv2_cr_tiny_ns_224", img_size=64, window_size=4),
        collection("levit_128s", 224),
        collection("coat_lite_tiny", img_size=64),
        own("multilayer perceptron", layers.perceptron, (20,), layer="output"),
        own("LSTM", lambda: layers.Recurrent(nn.LSTM), (9, 6)),
        own("LSTM, 2 layers, both directions", lambda: layers.Recurrent(nn.LSTM, **TWO, num_layers=2), (9, 6)),
        own("GRU", lambda: layers.Recurrent(nn.GRU), (9, 6)),
        own("GRU, both directions", lambda: layers.Recurrent(nn.GRU, **TWO), (9, 6)),
        own("RNN, tanh", lambda: layers.Recurrent(nn.RNN), (9, 6)),
        own("RNN, ReLU", lambda: layers.Recurrent(nn.RNN, nonlinearity="relu"), (9, 6)),
        own("TransformerEncoder, ReLU", layers.Encoder, (9, 6)),
        own("TransformerEncoder, GELU, norm first", lambda: layers.Encoder(activation="gelu", norm_first=True), (9, 6)),
        own("decoder with causal attention", layers.Decoder, (9, 6)),
        own("attention with rotary positions", layers.Rotary, (9, 6)),
        own("U-Net, nearest", lambda: layers.UNet("nearest"), (3, 32, 32)),
        own("U-Net, bilinear", lambda: layers.UNet("bilinear"), (3, 32, 32)),
        own("U-Net, bicubic", lambda: layers.UNet("bicubic"), (3, 32, 32)),
        own("U-Net, transposed", lambda: layers.UNet("transposed"), (3, 32, 32)),
        own("spatial transformer", layers.SpatialTransformer, (1, 28, 28)),
        own("super-resolution, PixelShuffle", layers.super_resolution, (1, 16, 16)),
        own("autoencoder, ConvTranspose", layers.autoencoder, (3, 32, 32)),
        own("WaveNet", layers.WaveNet, (2, 48)),
        own("3-D convolutions", layers.volume, (1, 12, 12, 12)),
        own("graph convolutions", layers.Graph, (20, 4), batched=False),
        own("group and instance norms", layers.Separator, (3, 32, 32)),
        own("twin network", layers.Twin, (1, 28, 28), (1, 28, 28)),
        own("reflected, repeated and wrapped borders", layers.padded, (3, 32, 32)),
        own("MLPClassifier, 3 classes", lambda: layers.scikit("MLPClassifier", 3), (12,), **SCIKIT),
        own("MLPClassifier, 2 classes", lambda: layers.scikit("MLPClassifier", 2), (12,), neurons="top:2", **SCIKIT),
        own("MLPRegressor", lambda: layers.scikit("MLPRegressor"), (12,), neurons="top:1", **SCIKIT),
    ]


SCIKIT = {"exporters": ("skl2onnx",)}
TWO = {"bidirectional": True}
TIMM = """
tf_efficientnet_b0 tf_efficientnet_lite0 tf_mobilenetv3_small_100 tf_mixnet_s mobilenetv4_conv_small convnextv2_atto
edgenext_xx_small repvgg_a0 ghostnet_100 eca_nfnet_l0 nf_regnet_b0 mobilevit_xxs poolformer_s12 hrnet_w18_small dla34
skresnet18 resnest14d pvt_v2_b0 davit_tiny focalnet_tiny_srf sequencer2d_s lambda_resnet26t
""".split()
