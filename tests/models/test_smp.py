"""Nets of segmentation_models_pytorch: equal to its own, with its weights."""

import keras
import pytest

import keras_seg
from tests.models import oracles

#: smp 0.6, random weights: what its last convolution gives, before the resize.
SCRIPT = """
import segmentation_models_pytorch as smp

net, encoder = name.split("/")
net = getattr(smp, net)(encoder, encoder_weights=None, classes=7)
with torch.no_grad():
    for module in net.modules():
        if isinstance(module, (torch.nn.GroupNorm, torch.nn.LayerNorm)):
            module.weight.uniform_(0.5, 1.0)
            module.bias.normal_(0, 0.1)
randomized(net)
score = net.segmentation_head[0]
run(net, lambda x: {"score": score(net.decoder(net.encoder(x)))})
"""

SIZES = [(128, 160), (65, 97)]

#: smp's names of nets by ours.
NETS = {
    "unet": "Unet",
    "unet_plus_plus": "UnetPlusPlus",
    "fpn": "FPN",
    "linknet": "Linknet",
    "pspnet": "PSPNet",
    "deeplab_v3_plus": "DeepLabV3Plus",
    "upernet": "UPerNet",
}


@pytest.mark.peers
@pytest.mark.parametrize("depth", ["resnet18", "resnet34"])
@pytest.mark.parametrize("net", NETS)
def test_scores_are_those_of_smp_with_its_weights(
    net, depth, tmp_path, python_of_peers
):
    _compare(net, depth, depth, tmp_path, python_of_peers)


@pytest.mark.peers
def test_scores_with_efficientnet_are_those_of_smp_with_its_weights(
    tmp_path, python_of_peers
):
    names = ("efficientnetb0", "efficientnet-b0")
    _compare("unet", *names, tmp_path, python_of_peers)


def _compare(net, encoder, encoder_there, folder, python):
    images, outputs = oracles.run(
        python,
        SCRIPT,
        folder,
        f"{NETS[net]}/{encoder_there}",
        SIZES,
        multiple=8 if net == "pspnet" else 32,
    )
    model = getattr(keras_seg, net)(7, encoder=encoder, weights=folder / "net.pth")
    scores = keras.Model(model.input, model.get_layer("score").output)
    for x, expected in zip(images, outputs, strict=True):
        oracles.assert_close(scores(x), expected["score"])
        assert model(x).shape == (*x.shape[:3], 7)
