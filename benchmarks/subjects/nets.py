"""A training step and a prediction of a net: ours beside the same net elsewhere.

PyTorch runs eagerly with channels-last memory, as its users run it on a CPU. Ours is
what `fit` and `predict` run, without XLA.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.memory import peak_gib

CLASSES = 21
#: Ours: builder and arguments. Theirs: function of `peers.py`, and arguments.
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
    "fcn8s": (("fcn8s", {}), ("vgg_fcn8s", {})),
}

#: More of them, for the table of docs/models.md.
VARIANTS: dict[str, tuple[tuple[str, dict], tuple[str, dict] | None]] = {
    "fcn16s": (("fcn16s", {}), None),
    "fcn32s": (("fcn32s", {}), None),
    "fcn8s, bilinear": (("fcn8s", {"upsampling": "bilinear"}), None),
    "fcn8s, caffe": (("fcn8s", {"padding": "caffe"}), None),
    "unet, bilinear": (("unet", {"upsampling": "bilinear"}), None),
    "unet, nearest": (("unet", {"upsampling": "nearest"}), None),
    "unet, narrow": (("unet", {"widths": (16, 32, 64, 128)}), None),
    "unet, mobilenet_v2": (
        ("unet", {"encoder": "mobilenet_v2"}),
        ("smp_net", {"net": "Unet", "encoder": "mobilenet_v2"}),
    ),
    "unet, efficientnet_b0": (
        ("unet", {"encoder": "efficientnet_b0"}),
        ("smp_net", {"net": "Unet", "encoder": "efficientnet-b0"}),
    ),
    "unet, resnet50": (
        ("unet", {"encoder": "resnet50"}),
        ("smp_net", {"net": "Unet", "encoder": "resnet50"}),
    ),
    "unet, densenet121": (("unet", {"encoder": "densenet121"}), None),
    "unet, vgg16": (("unet", {"encoder": "vgg16"}), None),
    "unet, convnext_tiny": (("unet", {"encoder": "convnext_tiny"}), None),
    "unet_plus_plus": (("unet_plus_plus", {}), None),
    "segformer, mit_b2": (
        ("segformer", {"encoder": "mit_b2"}),
        ("smp_net", {"net": "Segformer", "encoder": "mit_b2"}),
    ),
}
EVERY = NETS | VARIANTS

#: Of those, what KerasHub has too.
IN_KERASHUB = ("segformer, mit_b0",)


def batch(images: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks, the same for all sides."""
    rng = np.random.default_rng(0)
    shape = (images, side, side)
    pixels = rng.integers(0, 256, (*shape, 3)).astype(np.float32)
    return pixels, rng.integers(0, CLASSES, shape)


def ours(net: str, **more: Any) -> Any:
    """A net of keras_seg."""
    import keras_seg

    builder, arguments = EVERY[net][0]
    return getattr(keras_seg, builder)(CLASSES, **arguments, **more)


def theirs(net: str) -> Any:
    """The same net in PyTorch."""
    import torch

    from benchmarks.subjects import peers

    torch.set_num_threads(os.cpu_count() or 1)
    found = EVERY[net][1]
    assert found is not None
    function, arguments = found
    made = getattr(peers, function)(CLASSES, **arguments)
    return made.to(memory_format=torch.channels_last)


def gflop(net: str, images: int, side: int, passes: int = 1) -> float:
    """Additions and multiplications of a net, in thousands of millions.

    Args:
        net: Which one.
        images: How many.
        side: Their height and width.
        passes: 1 for a prediction. A training step takes three: forward, and the
            gradients of maps and of kernels.
    """
    from benchmarks.counts import multiply_adds

    model = ours(net, input_shape=(side, side, 3))
    return 2 * multiply_adds(model, (1, side, side, 3)) * images * passes / 1e9


def our_step(
    net: str, images: int, side: int, policy: str = "float32"
) -> Callable[[], Any]:
    """A step of `fit`."""
    import keras

    import keras_seg

    keras.config.set_dtype_policy(policy)
    model = ours(net)
    model.compile("adam", keras_seg.losses.WeightedCrossEntropy(), jit_compile=False)
    x, y = batch(images, side)

    def step() -> None:
        model.train_on_batch(x, y)

    return step


def our_prediction(net: str, images: int, side: int) -> Callable[[], Any]:
    """A batch of `predict`."""
    model = ours(net)
    x, _ = batch(images, side)

    def predict() -> None:
        model.predict_on_batch(x)

    return predict


def their_step(
    net: str, images: int, side: int, policy: str = "float32"
) -> Callable[[], Any]:
    """Forward, backward, and Adam; of another policy with autocast to bfloat16."""
    import torch

    model = theirs(net).train()
    half = torch.autocast("cpu", torch.bfloat16, enabled=policy != "float32")
    optimizer = torch.optim.Adam(model.parameters())
    loss = torch.nn.CrossEntropyLoss(ignore_index=255)
    x, y = batch(images, side)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1  # channels last
    masks = torch.from_numpy(y).long()

    def step() -> None:
        optimizer.zero_grad()
        with half:
            logits = logits_of(model(pixels))
        loss(logits.float(), masks).backward()
        optimizer.step()

    return step


def their_prediction(net: str, images: int, side: int) -> Callable[[], Any]:
    """A forward pass without gradients."""
    import torch

    model = theirs(net).eval()
    x, _ = batch(images, side)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1

    def predict() -> None:
        with torch.inference_mode():
            logits_of(model(pixels))

    return predict


def hub_step(net: str, images: int, side: int) -> Callable[[], Any]:
    """A step of `fit` of KerasHub's net."""
    import keras

    model = hub(net, side)
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=255
    )
    # By default it is compiled with an accuracy that wants one-hot masks. Keras keeps
    # the metrics of an earlier `compile` where it gets None.
    model.compile("adam", loss, metrics=[], jit_compile=False)
    x, y = batch(images, side)
    x = x / 255  # its nets expect images that were normalized before

    def step() -> None:
        model.train_on_batch(x, y)

    return step


def hub_prediction(net: str, images: int, side: int) -> Callable[[], Any]:
    """A batch of `predict` of KerasHub's net."""
    model = hub(net, side)
    model.compile(jit_compile=False)
    x = batch(images, side)[0] / 255

    def predict() -> None:
        model.predict_on_batch(x)

    return predict


def hub(net: str, side: int) -> Any:
    """SegFormer-B0 of KerasHub, which takes images of one size."""
    import keras_hub

    assert net == "segformer, mit_b0"
    encoder = keras_hub.models.MiTBackbone(
        image_shape=(side, side, 3),
        num_layers=4,
        hidden_dims=[32, 64, 160, 256],
        layerwise_depths=[2, 2, 2, 2],
        layerwise_num_heads=[1, 2, 5, 8],
        layerwise_sr_ratios=[8, 4, 2, 1],
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        max_drop_path_rate=0.1,
    )
    backbone = keras_hub.models.SegFormerBackbone(encoder, projection_filters=256)
    model = keras_hub.models.SegFormerImageSegmenter(
        backbone=backbone, num_classes=CLASSES, preprocessor=None
    )
    assert model.output_shape == (None, side, side, CLASSES)
    return model


def logits_of(outputs: Any) -> Any:
    return outputs["out"] if isinstance(outputs, dict) else outputs


def peak(function: str, **arguments: Any) -> Callable[[], float]:
    """The largest memory of a process that does a step or a prediction, in GiB.

    Args:
        function: Of this file.
        **arguments: Of the function.
    """
    run = globals()[function](**arguments)

    def turn() -> float:
        run()
        return peak_gib()

    return turn
