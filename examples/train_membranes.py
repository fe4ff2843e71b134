"""Train a U-Net on membranes as its paper does: without padding, cells kept apart.

python examples/train_membranes.py runs/membranes train-volume.tif train-labels.tif

The files are those of ISBI 2012: a stack of images, and one of masks with 0 for
membranes and 255 for cells. Without files it draws its own. It needs SciPy.
Ronneberger, Fischer and Brox 2015, https://arxiv.org/abs/1505.04597.
"""

import functools
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_seg
from keras_seg import data


def main(
    out: str,
    images: str | None = None,
    masks: str | None = None,
    *,
    size: int = 220,  # the paper's is 572
    batch_size: int = 4,  # 1
    epochs: int = 3,
    steps_per_epoch: int = 40,
    widths: tuple[int, ...] = (16, 32, 64, 128),  # 64, 128, 256, 512, 1024
) -> None:
    """Train on stacks, or drawn cells; write model, history and a picture to `out`."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    # 255 is a cell here, so masks are read as 0 and anything else.
    source = data.folder(images, masks, binary=True) if images and masks else drawn(30)
    train, val = source.split(0.8, seed=0)

    # Without padding the net gives no scores within `margin` of the edges. So images
    # are continued by their mirror images, for training as when it predicts.
    model = keras_seg.unet(
        2,
        input_shape=(None, None, 1),
        widths=widths,
        padding="valid",
        dropout=0.5,
        value_range=source.value_range,
    )
    margin = (size - model.compute_output_shape((1, size, size, 1))[1]) // 2

    def scored(images: Any, *labels: Any) -> Any:
        return (images, *(x[:, margin:-margin, margin:-margin] for x in labels))

    batches = mirrored(train, margin).batches(
        batch_size,
        size=(size, size),
        augment=data.standard_augmentation(
            scale=(1, 1), flip="both", rotation="quarter", elastic=10
        ),
        # Membranes between cells weigh up to 10 more: equation 2 of the paper.
        sample_weight=functools.partial(
            data.border_weights,
            class_weights=data.class_weights(data.class_frequencies(train)),
        ),
        shuffle=True,
        repeat=True,
    )
    model.compile(
        # The paper's: SGD with momentum 0.99, which takes more steps.
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras_seg.losses.WeightedCrossEntropy(),
        jit_compile=False,
    )
    model.fit(
        batches.map(scored),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        callbacks=[
            keras_seg.callbacks.Validate(val),
            keras_seg.callbacks.BestModel(folder / "model.keras"),
            keras.callbacks.CSVLogger(str(folder / "history.csv")),
        ],
        shuffle=False,  # the batches are shuffled already
    )

    # Overlap-tile: each tile is given the margin around it that the net needs.
    model = keras.saving.load_model(folder / "model.keras")
    image, _ = val[0]
    mask = keras_seg.predict_mask(model, image, tile=size)
    picture = keras_seg.visualize.overlay(image, mask, val.palette)
    keras.utils.save_img(folder / "overlay.png", picture, scale=False)


def mirrored(source: data.Source, margin: int) -> data.Source:
    """Continue images and masks by their mirror images on all sides."""
    around = ((margin, margin), (margin, margin))
    pairs = [source[i] for i in range(len(source))]
    return data.arrays(
        [np.pad(image, (*around, (0, 0)), "reflect") for image, _ in pairs],
        [np.pad(mask, around, "reflect") for _, mask in pairs],
        class_names=source.class_names,
        value_range=source.value_range,
    )


def drawn(length: int, side: int = 160) -> data.Source:
    """Draw grey cells with dark membranes, and spots that are as dark but no border."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    images, masks = [], []
    for _ in range(length):
        middles = rng.uniform(-20, side + 20, (60, 2))
        distances = np.hypot(
            rows[..., None] - middles[:, 0], columns[..., None] - middles[:, 1]
        )
        first, second = np.partition(distances, 1)[..., :2].transpose(2, 0, 1)
        membrane = second - first < 3
        spot = (first < 3.5) & (first > 1.5)
        grey = np.where(membrane | spot, 90, 170) + rng.normal(0, 25, membrane.shape)
        images.append(np.clip(grey, 0, 255).astype("uint8")[..., None])
        masks.append((~membrane).astype("uint8"))
    return data.arrays(images, masks, class_names=["membrane", "cell"])


if __name__ == "__main__":
    if len(sys.argv) not in (2, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
