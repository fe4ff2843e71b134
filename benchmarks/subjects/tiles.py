"""A large image by tiles that overlap by a quarter and are blended where they do."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.subjects.nets import CLASSES, logits_of, ours, theirs

TILE, STEP = 512, 384


def picture(height: int, width: int) -> np.ndarray:
    """An image of bytes, the same for all sides."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def our_tiles(net: str, height: int, width: int) -> Callable[[], Any]:
    """`predict_mask` by tiles."""
    return _mask(net, height, width, tile=TILE, overlap=1 - STEP / TILE)


def whole(net: str, height: int, width: int) -> Callable[[], Any]:
    """`predict_mask` of the whole image at once."""
    return _mask(net, height, width)


def _mask(net: str, height: int, width: int, **options: Any) -> Callable[[], Any]:
    import keras_seg

    model = ours(net)
    image = picture(height, width)

    def predict() -> None:
        keras_seg.predict_mask(model, image, **options)

    return predict


def their_tiles(net: str, height: int, width: int) -> Callable[[], Any]:
    """The loop that is written for PyTorch: sums of weighted probabilities."""
    import torch

    model = theirs(net).eval()
    pixels = torch.from_numpy(picture(height, width)).permute(2, 0, 1)[None]
    hat = torch.minimum(torch.arange(TILE), torch.arange(TILE).flip(0)) + 1.0
    weight = torch.outer(hat, hat)

    def predict() -> None:
        total = torch.zeros(1, CLASSES, height, width)
        weights = torch.zeros(height, width)
        with torch.inference_mode():
            for top in starts(height):
                for left in starts(width):
                    rows, columns = slice(top, top + TILE), slice(left, left + TILE)
                    part = pixels[:, :, rows, columns].float() / 127.5 - 1
                    part = part.contiguous(memory_format=torch.channels_last)
                    found = logits_of(model(part)).softmax(1)
                    total[:, :, rows, columns] += found * weight
                    weights[rows, columns] += weight
            (total / weights).argmax(1).byte().numpy()

    return predict


def starts(side: int) -> list[int]:
    """Where tiles begin along a side; the last one ends with the image."""
    count = -(-max(side - TILE, 0) // STEP) + 1
    return [min(k * STEP, max(side - TILE, 0)) for k in range(count)]
