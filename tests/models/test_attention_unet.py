"""Attention U-Net: its parameters, its gates, and a net in PyTorch of the same form."""

import subprocess

import keras
import numpy as np
import pytest

import keras_seg
from tests.models.shapes_only import learning, no_numbers


@pytest.mark.parametrize(
    ("channels", "classes", "parameters"),
    # Of the net of this name in LeeJunHyun/Image_Segmentation, whose counts are of one
    # class: each more has 64 weights and a bias.
    [(3, 2, 34_878_573 + 65), (1, 2, 34_877_421 + 65), (3, 21, 34_879_873)],
)
def test_parameters_are_those_of_the_net_that_most_use(channels, classes, parameters):
    with no_numbers():
        net = keras_seg.attention_unet(classes, input_shape=(16, 16, channels))
    assert learning(net) == parameters


def test_a_closed_gate_lets_nothing_of_a_skip_through():
    net = keras_seg.attention_unet(3, widths=(4, 6, 8), normalization="none")
    images = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3))
    gated = keras.Model(net.input, net.get_layer("up1_gate_apply").output)
    skip = keras.Model(net.input, net.get_layer("down1_conv2").output)(images)
    bias = net.get_layer("up1_gate_psi_conv").bias
    bias.assign([-1000.0])
    assert not np.any(gated(images))
    bias.assign([1000.0])  # and an open one lets all of it
    np.testing.assert_allclose(gated(images), skip, rtol=1e-6)


TORCH = """
import sys
import numpy as np, torch
from torch import nn
from torch.nn import functional as F

def conv(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())
def point(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 1), nn.BatchNorm2d(o))

class Net(nn.Module):
    def __init__(self, f):
        super().__init__()
        inputs = [3, *f]
        self.down = nn.ModuleList(
            nn.Sequential(conv(i, o), conv(o, o)) for i, o in zip(inputs, f))
        pairs = list(zip(f[1:], f))[::-1]
        self.up = nn.ModuleList(conv(i, o) for i, o in pairs)
        self.theta = nn.ModuleList(point(o, o // 2) for _, o in pairs)
        self.phi = nn.ModuleList(point(o, o // 2) for _, o in pairs)
        self.psi = nn.ModuleList(point(o // 2, 1) for _, o in pairs)
        self.join = nn.ModuleList(
            nn.Sequential(conv(2 * o, o), conv(o, o)) for _, o in pairs)
        self.score = nn.Conv2d(f[0], 3, 1)
    def forward(self, x):
        skips = []
        for k, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if k else x)
            skips.append(x)
        for k, skip in enumerate(skips[-2::-1]):
            x = self.up[k](F.interpolate(x, scale_factor=2))
            weight = self.psi[k](F.relu(self.theta[k](skip) + self.phi[k](x)))
            x = self.join[k](torch.cat([skip * torch.sigmoid(weight), x], 1))
        return self.score(x)

torch.manual_seed(0)
net = Net([4, 6, 8]).eval()
for module in net.modules():
    if isinstance(module, nn.BatchNorm2d):
        for tensor in (module.weight, module.bias, module.running_mean):
            nn.init.normal_(tensor, 0.5, 0.2)
        nn.init.uniform_(module.running_var, 0.5, 1.5)
images = torch.randint(0, 256, (2, 3, 24, 40)).float()
with torch.no_grad():
    scores = net(images / 127.5 - 1)
arrays = {k: v.numpy() for k, v in net.state_dict().items() if "tracked" not in k}
to_last = lambda x: x.permute(0, 2, 3, 1).numpy()
np.savez(sys.argv[1], images=to_last(images), scores=to_last(scores), **arrays)
"""


@pytest.mark.peers
def test_scores_are_those_of_the_same_net_in_torch(tmp_path, python_of_peers):
    file = tmp_path / "net.npz"
    subprocess.run([python_of_peers, "-c", TORCH, str(file)], check=True)
    arrays = dict(np.load(file))
    net = keras_seg.attention_unet(3, widths=(4, 6, 8))

    def give(layer, module):
        parts = [f"{module}.{part}" for part in ("weight", "bias")]
        if "norm" in layer:
            parts += [f"{module}.running_mean", f"{module}.running_var"]
        values = [arrays.pop(part) for part in parts]
        if values[0].ndim == 4:
            values[0] = values[0].transpose(2, 3, 1, 0)
        net.get_layer(layer).set_weights(values)

    for k, place in enumerate(("down1", "down2", "bottom")):
        for i in (0, 1):
            give(f"{place}_conv{i + 1}", f"down.{k}.{i}.0")
            give(f"{place}_norm{i + 1}", f"down.{k}.{i}.1")
    for k, level in enumerate((2, 1)):
        give(f"up{level}_conv0", f"up.{k}.0")
        give(f"up{level}_norm0", f"up.{k}.1")
        for part in ("theta", "phi", "psi"):
            give(f"up{level}_gate_{part}_conv", f"{part}.{k}.0")
            give(f"up{level}_gate_{part}_norm", f"{part}.{k}.1")
        for i in (0, 1):
            give(f"up{level}_conv{i + 1}", f"join.{k}.{i}.0")
            give(f"up{level}_norm{i + 1}", f"join.{k}.{i}.1")
    give("score", "score")
    images, scores = arrays.pop("images"), arrays.pop("scores")
    assert not arrays
    np.testing.assert_allclose(net(images), scores, rtol=1e-4, atol=1e-4)
