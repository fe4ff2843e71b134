"""The side of segmentation_models.pytorch in `accuracy.py`, which runs this file.

It runs in the Python that KERAS_SEG_PEERS names, with PyTorch,
segmentation-models-pytorch and timm, and needs nothing of keras_seg. From standard
input it reads a line of settings, the training batches, and then batches of whole
images; it answers each of these with masks. So both sides see the same arrays.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import segmentation_models_pytorch as smp
import torch

THREADS = 2


def build(settings: dict[str, Any]) -> torch.nn.Module:
    """The U-Net of smp, its encoder with the weights of the file that ours has."""
    torch.manual_seed(settings["seed"])
    net = smp.Unet(
        "tu-tf_efficientnet_lite0", encoder_weights=None, classes=settings["classes"]
    )
    tensors = torch.load(settings["weights"], weights_only=True)
    # Names differ, the order is that of execution in both.
    encoder = net.encoder.model.state_dict()
    values = list(tensors.values())[: len(encoder)]
    for name, value in zip(encoder, values, strict=True):
        assert encoder[name].shape == value.shape, name
        encoder[name].copy_(value)
    return net.to(memory_format=torch.channels_last)


def optimizer(net: torch.nn.Module, settings: dict[str, Any]) -> tuple[Any, Any]:
    """AdamW with a rate for the encoder, kernels decayed only, poly after a rise."""
    steps, warmup = settings["steps"], settings["warmup"]
    groups = []
    for is_encoder in (True, False):
        rate = settings["learning_rate"]
        rate *= settings["encoder_rate"] if is_encoder else 1
        for is_kernel in (True, False):
            parameters = [
                p
                for name, p in net.named_parameters()
                if name.startswith("encoder.") == is_encoder
                and (p.ndim > 1) == is_kernel
            ]
            decay = settings["weight_decay"] if is_kernel else 0.0
            groups.append({"params": parameters, "lr": rate, "weight_decay": decay})

    def part(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return (1 - (step - warmup) / (steps - warmup)) ** 0.9 if step < steps else 0.0

    adamw = torch.optim.AdamW(groups)
    return adamw, torch.optim.lr_scheduler.LambdaLR(adamw, part)


def loss_of(settings: dict[str, Any]) -> Callable[..., torch.Tensor]:
    """The loss of smp's users that has the name of one of ours."""
    cross_entropy = torch.nn.CrossEntropyLoss(ignore_index=255)
    dice = smp.losses.DiceLoss("multiclass", ignore_index=255)
    losses = {
        "cross_entropy": cross_entropy,
        "dice+cross_entropy": lambda x, y: dice(x, y) + cross_entropy(x, y),
    }
    return losses[settings["loss"]]


def to_training(net: torch.nn.Module, freeze: str) -> None:
    """Switch to training all but what is frozen: see `--freeze` of `accuracy.py`."""
    net.train()
    for layer in net.encoder.modules():
        is_norm = isinstance(layer, torch.nn.BatchNorm2d)
        if freeze == "all" or (freeze == "statistics" and is_norm):
            layer.eval()
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad = False


def array(stream: BinaryIO, shape: list[int]) -> np.ndarray:
    """Read a uint8 array."""
    data = stream.read(int(np.prod(shape)))
    return np.frombuffer(bytearray(data), np.uint8).reshape(shape)


def as_input(images: np.ndarray) -> torch.Tensor:
    """Channels last in memory, and the input range of the weights."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128


def main() -> None:
    """Train, then answer images with masks."""
    torch.set_num_threads(THREADS)
    source, answer = sys.stdin.buffer, sys.stdout.buffer
    settings = json.loads(source.readline())
    net = build(settings)
    adamw, schedule = optimizer(net, settings)
    loss_between = loss_of(settings)
    batch, size = settings["batch_size"], settings["size"]
    losses, seconds = [], 0.0
    to_training(net, settings["freeze"])
    for _ in range(settings["steps"]):
        x = as_input(array(source, [batch, size, size, 3]))
        y = torch.from_numpy(array(source, [batch, size, size])).long()
        start = time.perf_counter()
        adamw.zero_grad()
        loss = loss_between(net(x), y)
        loss.backward()
        adamw.step()
        schedule.step()
        seconds += time.perf_counter() - start
        losses.append(loss.item())

    net.eval()
    versions = {m.__name__: m.__version__ for m in (torch, smp)}
    report = {"losses": losses, "seconds": seconds, "versions": versions}
    report["parameters"] = sum(p.numel() for p in net.parameters() if p.requires_grad)
    answer.write(json.dumps(report).encode() + b"\n")
    answer.flush()
    while line := source.readline():
        images = array(source, json.loads(line))
        height, width = images.shape[1:3]
        padding = ((0, 0), (0, -height % 32), (0, -width % 32), (0, 0))
        with torch.no_grad():
            logits = net(as_input(np.pad(images, padding)))
        masks = logits[:, :, :height, :width].argmax(1).to(torch.uint8)
        answer.write(masks.numpy().tobytes())
        answer.flush()


if __name__ == "__main__":
    main()
