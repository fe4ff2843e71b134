"""Augmented batches: 8 crops of 320 x 320, scaled by 0.5 to 2, mirrored, recoloured.

The peer is albumentations with OpenCV in PyTorch's DataLoader, whose two workers are
kept from epoch to epoch. Both draw scales uniformly in their logarithm. "Decoding
alone" is TensorFlow's, of whole JPEGs and nothing else, in as many threads as AUTOTUNE
finds best; keras_seg has a fixed number, and decodes the window that a crop needs.
"""

import itertools
import math
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

BATCH, SIZE = 8, (320, 320)
#: Batches of one turn.
BATCHES = 50


def ours(root: str, *, kind: str = "files") -> Callable[[], Any]:
    """Batches of keras_seg: of VOC's files, of a prepared folder, or of memory."""
    import keras_seg

    source = keras_seg.data.voc(root, "train")
    if kind == "prepared":
        folder = tempfile.mkdtemp(prefix="prepared")
        keras_seg.data.prepare(source, folder, verbose=False)
        source = keras_seg.data.folder(f"{folder}/images", f"{folder}/masks")
    elif kind == "cached":
        source = keras_seg.data.cached(source, verbose=False)
    batches = source.batches(
        BATCH,
        size=SIZE,
        augment=keras_seg.data.standard_augmentation(),
        shuffle=True,
        repeat=True,
    )
    return _turns(batches)


def one_pass(root: str) -> Callable[[], Any]:
    """An epoch of the form of `batches` that ends, from its opening on."""
    import keras_seg

    source = keras_seg.data.voc(root, "train")[: BATCH * BATCHES]
    augment = keras_seg.data.standard_augmentation()
    batches = source.batches(BATCH, size=SIZE, augment=augment, shuffle=True)

    def turn() -> None:
        for _ in batches:
            pass

    return turn


def decoding(root: str) -> Callable[[], Any]:
    """Whole images, decoded and no more, eight at a time."""
    import tensorflow as tf

    def read(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(
            tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE"
        )
        return tf.shape(image)  # not the copy of a batch

    files = [f"{root}/JPEGImages/{stem}.jpg" for stem in stems(root)]
    data = tf.data.Dataset.from_tensor_slices(files).repeat()
    data = data.map(read, num_parallel_calls=tf.data.AUTOTUNE)
    return _turns(data.batch(BATCH).prefetch(tf.data.AUTOTUNE))


def torch_loader(root: str, *, masks: str = "uint8") -> Callable[[], Any]:
    """Batches of PyTorch's DataLoader with albumentations."""
    import albumentations
    import cv2
    import numpy as np
    import torch
    from PIL import Image

    cv2.setNumThreads(0)
    torch.set_num_threads(1)

    class LogUniformScale(albumentations.RandomScale):
        """As ours: a mean area of 1.35, where uniform scales have 1.75."""

        def get_params(self) -> dict[str, float]:
            logarithm = self.py_random.uniform(math.log(0.5), math.log(2))
            return {"scale": math.exp(logarithm)}

    augment = albumentations.Compose(
        [
            LogUniformScale(p=1.0),
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
            image = cv2.imread(f"{root}/JPEGImages/{names[index]}.jpg")
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            path = f"{root}/SegmentationClass/{names[index]}.png"
            both = augment(image=image, mask=np.array(Image.open(path)))
            return both["image"], both["mask"].astype(masks)

    loader = torch.utils.data.DataLoader(
        Voc(),
        BATCH,
        shuffle=True,
        num_workers=2,
        drop_last=True,
        persistent_workers=True,
    )
    return _turns(itertools.chain.from_iterable(itertools.repeat(loader)))


def stems(root: str) -> list[str]:
    """Stems of the training images."""
    return (Path(root) / "ImageSets/Segmentation/train.txt").read_text().split()


def _turns(batches: Iterable) -> Callable[[], Any]:
    iterator = iter(batches)

    def turn() -> None:
        for _ in range(BATCHES):
            next(iterator)

    return turn
