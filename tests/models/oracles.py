"""Nets of other projects, run in the Python that has PyTorch.

Each script makes a net with random weights and random batch-norm statistics, saves its
state_dict to `{folder}/net.pth`, and what it makes of `{folder}/images*.npy` (images in
0..255, normalized there as its users do it) to `{folder}/outputs*.npz`.
"""

import subprocess

import numpy as np

COMMON = """
import pathlib, sys
import numpy as np, torch

folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)


def randomized(net):
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0)
                module.bias.normal_(0, 0.1)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def run(net, outputs):
    torch.save(net.state_dict(), folder / "net.pth")
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    for path in sorted(folder.glob("images*.npy")):
        x = torch.tensor(np.load(path)).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            found = outputs((x - mean) / deviation)
        arrays = {k: v.permute(0, 2, 3, 1).numpy() for k, v in found.items()}
        np.savez(folder / path.stem.replace("images", "outputs"), **arrays)
"""

RESNET = """
import torchvision

depth, stride = name.split("-")
dilated = {"32": None, "16": [False, False, True], "8": [False, True, True]}[stride]
net = getattr(torchvision.models, depth)(replace_stride_with_dilation=dilated)
stages = ["layer1", "layer2", "layer3", "layer4"]
getter = torchvision.models._utils.IntermediateLayerGetter
names = {"relu": "P1"} | {stage: f"P{k}" for k, stage in enumerate(stages, start=2)}
features = getter(randomized(net), names)
run(net, features)
"""

SMP_ENCODER = """
import segmentation_models_pytorch as smp

encoder, stride = name.split("-")
net = randomized(smp.encoders.get_encoder(
    encoder, weights=None, output_stride=int(stride)
))
run(net, lambda x: {f"P{k}": y for k, y in enumerate(net(x)) if k > 0})
"""

SEGMENTATION = """
from torchvision.models import segmentation

net = getattr(segmentation, name)(
    weights=None, weights_backbone=None, num_classes=21, aux_loss=True
)
randomized(net)


def outputs(x):
    features = net.backbone(x)
    scores = {
        "score": net.classifier(features["out"]),
        "auxiliary_score": net.aux_classifier(features["aux"]),
    }
    logits = net(x)
    return scores | {"logits": logits["out"], "auxiliary": logits["aux"]}


run(net, outputs)
"""

# Both names of weights: the published ones in model.safetensors, and those in memory.
SEGFORMER = """
from transformers import SegformerConfig, SegformerForSemanticSegmentation

sizes = {
    "b0": {},
    "b2": dict(
        hidden_sizes=[64, 128, 320, 512], depths=[3, 4, 6, 3], decoder_hidden_size=768
    ),
}
net = SegformerForSemanticSegmentation(SegformerConfig(num_labels=21, **sizes[name]))
randomized(net)
with torch.no_grad():
    for parameter in net.parameters():  # so that no bias is 0, and no scale 1
        parameter.add_(0.05 * torch.randn_like(parameter))
net.save_pretrained(folder)


def outputs(x):
    found = net(x, output_hidden_states=True)
    features = {f"P{k}": y for k, y in enumerate(found.hidden_states, start=2)}
    return features | {"score": found.logits}


run(net, outputs)
"""


def padded(images, multiple=32):
    """Images padded with 0 at the bottom and right to multiples of so many pixels."""
    height, width = images.shape[1:3]
    bottom, right = -height % multiple, -width % multiple
    return np.pad(images, [(0, 0), (0, bottom), (0, right), (0, 0)])


def run(python, script, folder, name, sizes, *, multiple=32):
    """Run a net on random images, padded; return them, unpadded, and its outputs."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (1, *size, 3), np.uint8) for size in sizes]
    for k, x in enumerate(images):
        np.save(folder / f"images{k}.npy", padded(x, multiple))
    run_script(python, script, folder, name)
    outputs = [np.load(folder / f"outputs{k}.npz") for k in range(len(images))]
    return images, outputs


def run_script(python, script, folder, name):
    """Run a script, after what all of them share."""
    subprocess.run([python, "-c", COMMON + script, str(folder), name], check=True)


def assert_close(found, expected, tolerance=1e-4):
    """Equal up to a share of the range of the expected values."""
    atol = tolerance * np.ptp(expected)
    assert atol > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
