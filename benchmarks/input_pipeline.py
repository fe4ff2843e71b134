"""How fast augmented batches of VOC come: ours beside PyTorch's DataLoader.

    pip install torch albumentations opencv-python-headless
    python benchmarks/input_pipeline.py VOCdevkit/VOC2012 [--rounds 5]

Both scale by 0.5 to 2, crop 320 x 320, mirror, and change brightness, contrast and
saturation, in batches of 8 from the JPEGs and palette PNGs of `train`. The peer is
albumentations with OpenCV in a DataLoader of two workers. The third line is what JPEG
decoding alone allows: TensorFlow's, whole images, the same threads. Each side runs in a
process of its own, they take turns, and the ratios are of medians.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BATCH, SIZE = 8, (320, 320)
BATCHES, WARM_UP = 100, 20


def ours(root: Path) -> Iterable:
    """Batches of keras_seg."""
    import keras_seg

    return keras_seg.data.voc(root, "train").batches(
        BATCH,
        size=SIZE,
        augment=keras_seg.data.standard_augmentation(),
        shuffle=True,
        repeat=True,
    )


def decoding(root: Path) -> Iterable:
    """Whole images, decoded and no more, eight at a time."""
    import tensorflow as tf

    def read(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(
            tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE"
        )
        return tf.shape(image)  # not the copy of a batch

    files = [str(root / f"JPEGImages/{stem}.jpg") for stem in stems(root)]
    data = tf.data.Dataset.from_tensor_slices(files).repeat()
    data = data.map(read, num_parallel_calls=tf.data.AUTOTUNE)
    return data.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def peer(root: Path) -> Iterable:
    """Batches of PyTorch's DataLoader with albumentations."""
    import albumentations
    import cv2
    import numpy as np
    import torch
    from PIL import Image

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    augment = albumentations.Compose(
        [
            albumentations.RandomScale((-0.5, 1.0), p=1.0),
            albumentations.PadIfNeeded(
                *SIZE, position="top_left", border_mode=0, fill=0, fill_mask=255
            ),
            albumentations.RandomCrop(*SIZE),
            albumentations.HorizontalFlip(),
            albumentations.ColorJitter(0.3, 0.3, 0.3, 0.0, p=1.0),
        ]
    )
    names = stems(root)

    class Voc(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(names)

        def __getitem__(self, index: int) -> tuple:
            image = cv2.imread(str(root / f"JPEGImages/{names[index]}.jpg"))
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            mask = np.array(Image.open(root / f"SegmentationClass/{names[index]}.png"))
            both = augment(image=image, mask=mask)
            # int64 is what torch's cross_entropy takes, as int32 is what comes from us.
            return both["image"], both["mask"].astype(np.int64)

    loader = torch.utils.data.DataLoader(
        Voc(), BATCH, shuffle=True, num_workers=2, drop_last=True
    )
    return itertools.chain.from_iterable(itertools.repeat(loader))


SIDES = {"keras_seg": ours, "PyTorch, albumentations": peer, "decoding alone": decoding}


def stems(root: Path) -> list[str]:
    """Stems of the training images."""
    return (root / "ImageSets/Segmentation/train.txt").read_text().split()


def rate(side: str, root: Path) -> float:
    """Images per second of one side, in this process."""
    batches = iter(SIDES[side](root))
    for _ in range(WARM_UP):
        next(batches)
    start = time.perf_counter()
    for _ in range(BATCHES):
        next(batches)
    return BATCHES * BATCH / (time.perf_counter() - start)


def main() -> None:
    """Print the table, or the rate of one side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(rate(options.side, options.root))
        return

    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side, found in rates.items():
            command = [sys.executable, __file__, str(options.root), "--side", side]
            output = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(float(output.stdout.split()[-1]))
    medians = {side: statistics.median(found) for side, found in rates.items()}
    print(
        f"{BATCHES} batches of {BATCH}, {os.cpu_count()} CPUs, {options.rounds} rounds"
    )
    for side, found in rates.items():
        ratio = medians["keras_seg"] / medians[side]
        print(
            f"{side:24} {medians[side]:6.0f} images/s "
            f"({min(found):.0f} to {max(found):.0f}), keras_seg / this {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
