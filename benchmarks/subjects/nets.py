"""A training step and a prediction of a net: ours beside the same net in PyTorch.

PyTorch runs eagerly with channels-last memory, as its users run it on a CPU. Ours is
what `fit` and `predict` run, without XLA.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

CLASSES = 21
#: Ours: builder and arguments. Theirs: function of this file, and arguments.
NETS: dict[str, tuple[tuple[str, dict], tuple[str, dict] | None]] = {
    "unet": (("unet", {}), ("paper_unet", {})),
    "unet, efficientnet_lite0": (
        ("unet", {"encoder": "efficientnet_lite0"}),
        ("smp_net", {"net": "Unet", "encoder": "tu-tf_efficientnet_lite0"}),
    ),
    "unet, resnet34": (
        ("unet", {"encoder": "resnet34"}),
        ("smp_net", {"net": "Unet", "encoder": "resnet34"}),
    ),
    "unet_plus_plus, resnet34": (
        ("unet_plus_plus", {"encoder": "resnet34"}),
        ("smp_net", {"net": "UnetPlusPlus", "encoder": "resnet34"}),
    ),
    "deeplab_v3_plus, resnet50": (
        ("deeplab_v3_plus", {"encoder": "resnet50"}),
        ("smp_net", {"net": "DeepLabV3Plus", "encoder": "resnet50"}),
    ),
    "deeplab_v3, resnet50": (
        ("deeplab_v3", {"encoder": "resnet50"}),
        ("torchvision_net", {"net": "deeplabv3_resnet50"}),
    ),
    "fcn, resnet50": (
        ("fcn", {"encoder": "resnet50"}),
        ("torchvision_net", {"net": "fcn_resnet50"}),
    ),
    "fpn, resnet34": (
        ("fpn", {"encoder": "resnet34"}),
        ("smp_net", {"net": "FPN", "encoder": "resnet34"}),
    ),
    "linknet, resnet34": (
        ("linknet", {"encoder": "resnet34"}),
        ("smp_net", {"net": "Linknet", "encoder": "resnet34"}),
    ),
    "pspnet, resnet34": (
        ("pspnet", {"encoder": "resnet34"}),
        ("smp_net", {"net": "PSPNet", "encoder": "resnet34"}),
    ),
    "upernet, resnet34": (
        ("upernet", {"encoder": "resnet34"}),
        ("smp_net", {"net": "UPerNet", "encoder": "resnet34"}),
    ),
    "segformer, mit_b0": (
        ("segformer", {"encoder": "mit_b0"}),
        ("smp_net", {"net": "Segformer", "encoder": "mit_b0"}),
    ),
    "attention_unet": (("attention_unet", {}), None),
    "bisenet_v2": (("bisenet_v2", {}), None),
    "fcn8s": (("fcn8s", {}), None),
}


def batch(images: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks, the same for all sides."""
    rng = np.random.default_rng(0)
    shape = (images, side, side)
    pixels = rng.integers(0, 256, (*shape, 3)).astype(np.float32)
    return pixels, rng.integers(0, CLASSES, shape)


def our_step(net: str, images: int, side: int) -> Callable[[], Any]:
    """A step of `fit`."""
    import keras_seg

    builder, arguments = NETS[net][0]
    model = getattr(keras_seg, builder)(CLASSES, **arguments)
    model.compile("adam", keras_seg.losses.WeightedCrossEntropy(), jit_compile=False)
    x, y = batch(images, side)

    def step() -> None:
        model.train_on_batch(x, y)

    return step


def our_prediction(net: str, images: int, side: int) -> Callable[[], Any]:
    """A batch of `predict`."""
    import keras_seg

    builder, arguments = NETS[net][0]
    model = getattr(keras_seg, builder)(CLASSES, **arguments)
    x, _ = batch(images, side)

    def predict() -> None:
        model.predict_on_batch(x)

    return predict


def their_step(net: str, images: int, side: int) -> Callable[[], Any]:
    """Forward, backward, and Adam."""
    import torch

    model = _theirs(net).train()
    optimizer = torch.optim.Adam(model.parameters())
    loss = torch.nn.CrossEntropyLoss(ignore_index=255)
    x, y = batch(images, side)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1  # channels last
    masks = torch.from_numpy(y).long()

    def step() -> None:
        optimizer.zero_grad()
        loss(_logits(model(pixels)), masks).backward()
        optimizer.step()

    return step


def their_prediction(net: str, images: int, side: int) -> Callable[[], Any]:
    """A forward pass without gradients."""
    import torch

    model = _theirs(net).eval()
    x, _ = batch(images, side)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1

    def predict() -> None:
        with torch.inference_mode():
            _logits(model(pixels))

    return predict


def _theirs(net: str) -> Any:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    theirs = NETS[net][1]
    assert theirs is not None
    function, arguments = theirs
    return globals()[function](**arguments).to(memory_format=torch.channels_last)


def _logits(outputs: Any) -> Any:
    return outputs["out"] if isinstance(outputs, dict) else outputs


def smp_net(net: str, encoder: str) -> Any:
    """A net of segmentation_models_pytorch."""
    import segmentation_models_pytorch as smp

    return getattr(smp, net)(encoder, encoder_weights=None, classes=CLASSES)


def torchvision_net(net: str) -> Any:
    """A net of torchvision."""
    import torchvision

    build = getattr(torchvision.models.segmentation, net)
    return build(weights=None, weights_backbone=None, num_classes=CLASSES)


def paper_unet() -> Any:
    """The U-Net of the paper with padded convolutions."""
    import torch
    from torch import nn

    widths = (64, 128, 256, 512, 1024)

    def double(inner: int, outer: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(inner, outer, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(outer, outer, 3, padding=1),
            nn.ReLU(inplace=True),
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
            self.down = nn.ModuleList(
                double(i, o) for i, o in zip((3, *widths), widths, strict=False)
            )
            self.scale = nn.ModuleList(
                nn.ConvTranspose2d(below, above, 2, stride=2) for below, above in pairs
            )
            self.up = nn.ModuleList(double(2 * above, above) for _, above in pairs)
            self.logits = nn.Conv2d(widths[0], CLASSES, 1)

        def forward(self, x: Any) -> Any:
            skips = []
            for level, convolutions in enumerate(self.down):
                x = convolutions(nn.functional.max_pool2d(x, 2) if level else x)
                skips.append(x)
            skips.pop()
            for scale, convolutions in zip(self.scale, self.up, strict=True):
                x = convolutions(torch.cat([skips.pop(), scale(x)], dim=1))
            return self.logits(x)

    net = UNet()
    assert sum(p.numel() for p in net.parameters()) == 31_033_045
    return net
