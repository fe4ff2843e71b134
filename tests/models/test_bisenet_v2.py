"""BiSeNetV2: its parameters and its scores are those of mmsegmentation's."""

import re
import subprocess

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.models.auxiliary import trained_part
from tests.models.shapes_only import learning, no_numbers

SIZES = [(128, 160), (96, 128)]


@pytest.mark.parametrize(
    ("auxiliary", "parameters"),
    # mmsegmentation 1.2.2, configs/bisenetv2, without and with its auxiliary heads.
    [(0.0, 3_358_883), (1.0, 14_804_255)],
)
def test_parameters_are_those_of_mmsegmentation(auxiliary, parameters):
    with no_numbers():
        net = keras_seg.bisenet_v2(19, input_shape=(64, 64, 3), auxiliary=auxiliary)
    assert learning(net) == parameters


MMSEG = """
import sys, types
import numpy as np, torch

# Its heads import operations that are compiled, and don't use them.
ops = types.ModuleType("mmcv.ops")
def stand_in(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (torch.nn.Module,), {})
ops.__getattr__ = stand_in
sys.modules["mmcv.ops"] = ops
from mmseg.models.backbones.bisenetv2 import BiSeNetV2
from mmseg.models.decode_heads import FCNHead

def head(index, channels, width, convolutions):
    return FCNHead(
        in_channels=channels, in_index=index, channels=width, num_classes=19,
        num_convs=convolutions, concat_input=False, norm_cfg=dict(type="BN"),
        align_corners=False)

torch.manual_seed(0)
widths = [(16, 16), (32, 64), (64, 256), (128, 1024)]
net = torch.nn.ModuleDict({
    "backbone": BiSeNetV2(), "decode_head": head(0, 128, 1024, 1),
    **{f"auxiliary{k}": head(k, *pair, 2) for k, pair in enumerate(widths, 1)}})
for module in net.eval().modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        torch.nn.init.normal_(module.weight, 1, 0.2)
        torch.nn.init.normal_(module.bias, 0, 0.2)
        torch.nn.init.normal_(module.running_mean, 0, 0.2)
        torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    elif isinstance(module, torch.nn.Conv2d):
        torch.nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            torch.nn.init.normal_(module.bias, 0, 0.1)
mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
deviation = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
found = {}
for size in eval(sys.argv[2]):
    images = torch.randint(0, 256, (1, 3, *size)).float()
    with torch.no_grad():
        features = net["backbone"]((images - mean) / deviation)
        scores = [net[name](features) for name in net if name != "backbone"]
    for name, x in zip(["images", *range(5)], [images, *scores]):
        found[f"{name} {size}"] = x.permute(0, 2, 3, 1).numpy()
state = {k: v.numpy() for k, v in net.state_dict().items() if "tracked" not in k}
np.savez(sys.argv[1], **found, **state)
"""

#: Names of mmsegmentation's modules, and functions that make our layers' of theirs.
NAMES = [
    (r"backbone\.detail\.detail_branch\.(\d)\.(\d)", "detail{0}_{1}"),
    (r"backbone\.semantic\.stage1\.conv_first", "stem_1"),
    (r"backbone\.semantic\.stage1\.convs\.0", "stem_2"),
    (r"backbone\.semantic\.stage1\.convs\.1", "stem_3"),
    (r"backbone\.semantic\.stage1\.fuse_last", "stem_4"),
    (r"backbone\.semantic\.(stage\d)\.(\d)\.conv1", "{0}_{1}_gather"),
    (r"backbone\.semantic\.(stage\d)\.(\d)\.dwconv\.(\d)", "{0}_{1}_expand{2}"),
    (r"backbone\.semantic\.(stage\d)\.(\d)\.conv2\.0", "{0}_{1}_project"),
    (
        r"backbone\.semantic\.(stage\d)\.(\d)\.shortcut\.0\.depthwise_conv",
        "{0}_{1}_shortcut1",
    ),
    (
        r"backbone\.semantic\.(stage\d)\.(\d)\.shortcut\.0\.pointwise_conv",
        "{0}_{1}_shortcut2",
    ),
    (r"backbone\.semantic\.stage4_CEBlock\.gap\.1", "context_mean"),
    (r"backbone\.semantic\.stage4_CEBlock\.conv_gap", "context_1"),
    (r"backbone\.semantic\.stage4_CEBlock\.conv_last", "context_2"),
    (r"backbone\.bga\.(detail|semantic)_dwconv\.0\.depthwise_conv", "guide_{0}"),
    (r"backbone\.bga\.(detail|semantic)_dwconv\.0\.pointwise_conv", "guide_{0}_point"),
    (r"backbone\.bga\.detail_down\.0", "guide_down"),
    (r"backbone\.bga\.semantic_conv\.0", "guide_up"),
    (r"backbone\.bga\.conv", "guide"),
    (r"decode_head\.convs\.0", "head"),
    (r"auxiliary(\d)\.convs\.0", "auxiliary_p{0}_first"),
    (r"auxiliary(\d)\.convs\.1", "auxiliary_p{0}"),
    (r"decode_head", "score"),
    (r"auxiliary(\d)", "auxiliary_p{0}_score"),
]


def layer_of(module):
    """The name of our layer; theirs are counted from 0, and ours from 1."""
    base, kind = re.fullmatch(r"(.*?)(?:\.(conv|bn|conv_seg))?", module).groups()
    for pattern, name in NAMES:
        match = re.fullmatch(pattern, base)
        if match:
            parts = [str(int(x) + 1) if x.isdigit() else x for x in match.groups()]
            name = name.format(*(x.replace("stage", "ge") for x in parts))
            if kind == "conv_seg" or name.endswith("_point"):
                return name
            return f"{name}_conv" if kind == "conv" else f"{name}_norm"
    raise KeyError(module)


@pytest.mark.peers
def test_scores_are_those_of_mmsegmentation(tmp_path, python_of_peers):
    find = "import importlib.util as u, sys; sys.exit(u.find_spec('mmseg') is None)"
    if subprocess.run([python_of_peers, "-c", find], check=False).returncode:
        pytest.skip("the Python of the peers has no mmsegmentation")
    file = tmp_path / "net.npz"
    subprocess.run([python_of_peers, "-c", MMSEG, str(file), str(SIZES)], check=True)
    arrays = dict(np.load(file))
    net = trained_part(keras_seg.bisenet_v2(19, auxiliary=1.0))
    modules: dict = {}
    for name in [name for name in arrays if "." in name]:
        module, _, part = name.rpartition(".")
        modules.setdefault(module, {})[part] = arrays.pop(name)
    for module, parts in modules.items():
        layer = net.get_layer(layer_of(module))
        kernel = parts["weight"]
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kernel = kernel[:, 0].transpose(1, 2, 0)
            kernel = kernel.reshape(3, 3, -1, layer.depth_multiplier)
        elif kernel.ndim == 4:
            kernel = kernel.transpose(2, 3, 1, 0)
        rest = [parts[p] for p in ("bias", "running_mean", "running_var") if p in parts]
        layer.set_weights([kernel, *rest])
    filled = {layer_of(module) for module in modules}
    assert {layer.name for layer in net.layers if layer.weights} == filled

    names = ["score", *(f"auxiliary_p{k}_score" for k in (2, 3, 4, 5))]
    scores = keras.Model(net.input, [net.get_layer(name).output for name in names])
    for size in SIZES:
        for k, found in enumerate(scores(arrays[f"images {size}"])):
            wanted = arrays[f"{k} {size}"]
            scale = np.abs(wanted).max()
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * scale)
