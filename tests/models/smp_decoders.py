"""Decoders of segmentation_models_pytorch 0.6 on features of a few channels.

`SCRIPT` makes `files/smp_decoders.npz`: for each net "{net}/score", what its last
convolution gives, before the resize, and "{net}/shapes", the shapes of its tensors by
name, in JSON. Tensors and features have `named_values`.
"""

#: Channels of "P1" to "P5": those of tests.models.backbones.narrow_resnet.
CHANNELS = (4, 4, 8, 16, 32)
#: Of the last X(i, j), or of the path up, at strides 16 to 1.
WIDTHS = (12, 10, 8, 6, 4)

#: Arguments of our nets that make their decoders as narrow as those below.
NETS = {
    "unet": {"widths": WIDTHS[::-1]},
    "unet_plus_plus": {"widths": WIDTHS[::-1]},
    "fpn": {"pyramid_width": 6, "head_width": 32},
    "linknet": {"head_width": 32},
    "pspnet": {"head_width": 6},
    "deeplab_v3_plus": {"head_width": 6},
    "upernet": {"head_width": 6},
}


def feature_shapes(net):
    """Height, width and channels of the features by level."""
    # So large that pooling grids have cells of several pixels, where a net has some.
    height, width = (96, 160) if net in ("pspnet", "upernet") else (32, 64)
    strides = [2, 4, 8, 16, 16 if net == "deeplab_v3_plus" else 32]
    return {
        f"P{k}": (height // stride, width // stride, channels)
        for k, (stride, channels) in enumerate(
            zip(strides, CHANNELS, strict=True), start=1
        )
    }


SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.linknet.decoder import LinknetDecoder
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.unetplusplus.decoder import (
    UnetPlusPlusDecoder,
)
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from named_values import named_values
from smp_decoders import CHANNELS, WIDTHS, feature_shapes

channels = (3, *CHANNELS)
nets = {
    "unet": (UnetDecoder(channels, WIDTHS), 4, 3),
    "unet_plus_plus": (UnetPlusPlusDecoder(channels, WIDTHS), 4, 3),
    "fpn": (
        FPNDecoder(channels, pyramid_channels=6, segmentation_channels=32), 32, 1
    ),
    "linknet": (LinknetDecoder(channels), 32, 1),
    "pspnet": (PSPDecoder(channels[:4], out_channels=6), 6, 3),
    "deeplab_v3_plus": (
        DeepLabV3PlusDecoder(channels, 5, 6, (12, 24, 36), 16, True, 0.5), 6, 1
    ),
    "upernet": (UPerNetDecoder(channels, decoder_channels=6), 6, 1),
}
arrays = {}
for name, (decoder, width, size) in nets.items():
    head = SegmentationHead(width, 3, kernel_size=size)
    net = torch.nn.ModuleDict({"decoder": decoder, "segmentation_head": head}).eval()
    shapes = {n: list(x.shape) for n, x in net.state_dict().items() if x.ndim}
    values = {n: torch.tensor(named_values(n, s)) for n, s in shapes.items()}
    net.load_state_dict(values, strict=False)
    features = [torch.zeros(1, 3, *(2 * s for s in feature_shapes(name)["P1"][:2]))]
    for level, (height, width, count) in feature_shapes(name).items():
        x = torch.tensor(named_values(level, (1, height, width, count)))
        features.append(x.permute(0, 3, 1, 2))
    if name == "pspnet":
        features = features[:4]
    with torch.no_grad():
        score = head[0](decoder(features))
    arrays[f"{name}/score"] = score.permute(0, 2, 3, 1).numpy()
    arrays[f"{name}/shapes"] = np.array(json.dumps(shapes))
np.savez_compressed(sys.argv[2], **arrays)
"""
