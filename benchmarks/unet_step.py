"""A training step of the paper's U-Net: keras_seg against the same net in PyTorch.

    pip install torch && python benchmarks/unet_step.py [--rounds 5] [--side 256]

Both nets have 31.0 million parameters, padded convolutions, cross-entropy and Adam, the
same batch of 4 and as many threads. PyTorch runs eagerly with channels-last memory, as
its users run it on a CPU. The sides take turns; the ratio is of medians.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import torch
from torch import nn

import keras_seg

CLASSES, BATCH = 21, 4
WIDTHS = (64, 128, 256, 512, 1024)


class Double(nn.Sequential):
    """Two 3x3 convolutions, each with a ReLU."""

    def __init__(self, inner: int, outer: int):
        super().__init__(
            nn.Conv2d(inner, outer, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(outer, outer, 3, padding=1),
            nn.ReLU(inplace=True),
        )


class TorchUNet(nn.Module):
    """The U-Net of the paper with padded convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            Double(i, o) for i, o in zip((3, *WIDTHS), WIDTHS, strict=False)
        )
        above = WIDTHS[-2::-1]
        below = WIDTHS[:0:-1]
        self.scale = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, stride=2)
            for b, a in zip(below, above, strict=True)
        )
        self.up = nn.ModuleList(Double(2 * a, a) for a in above)
        self.logits = nn.Conv2d(WIDTHS[0], CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, double in enumerate(self.down):
            if level:
                x = nn.functional.max_pool2d(x, 2)
            x = double(x)
            skips.append(x)
        skips.pop()
        for scale, double in zip(self.scale, self.up, strict=True):
            x = double(torch.cat([skips.pop(), scale(x)], dim=1))
        return self.logits(x)


def keras_step(upsampling: str, images: np.ndarray, masks: np.ndarray) -> Callable:
    """A step of ours, as `fit` does it."""
    model = keras_seg.unet(CLASSES, upsampling=upsampling)
    model.compile("adam", keras_seg.losses.WeightedCrossEntropy(), jit_compile=False)
    return lambda: model.train_on_batch(images, masks)


def torch_step(images: np.ndarray, masks: np.ndarray) -> Callable:
    """The same step in PyTorch."""
    model = TorchUNet().to(memory_format=torch.channels_last)
    assert sum(p.numel() for p in model.parameters()) == 31_033_045
    optimizer = torch.optim.Adam(model.parameters())
    loss = nn.CrossEntropyLoss(ignore_index=255)
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1  # channels last
    y = torch.from_numpy(masks).long()

    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return step


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)

    rng = np.random.default_rng(0)
    shape = (BATCH, options.side, options.side)
    images = rng.integers(0, 256, (*shape, 3)).astype(np.float32)
    masks = rng.integers(0, CLASSES, shape)
    steps = {
        "keras_seg, transpose": keras_step("transpose", images, masks),
        "keras_seg, bilinear": keras_step("bilinear", images, masks),
        "PyTorch": torch_step(images, masks),
    }
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(options.rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:  # the first one traces
                spent[name].append(time.perf_counter() - start)

    theirs = statistics.median(spent["PyTorch"])
    print(f"U-Net, batch {BATCH} of side {options.side}, {os.cpu_count()} CPUs")
    for name, values in spent.items():
        median = statistics.median(values)
        print(f"{name:22} {median:6.2f} s a step, {median / theirs:.2f} of PyTorch's")


if __name__ == "__main__":
    main()
