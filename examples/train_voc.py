"""Train a U-Net on PASCAL VOC: read, build, fit, look, export. Plain Keras throughout.

python examples/train_voc.py VOCdevkit/VOC2012 runs/example
"""

import sys
from pathlib import Path

import keras

import keras_seg


def main(
    root: str,
    out: str,
    *,
    size: int = 256,
    batch_size: int = 8,
    epochs: int = 50,
    widths: tuple[int, ...] = (16, 32, 64, 128, 256),
) -> None:
    """Train on the VOC tree at `root`; write model, curves, a picture and export."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)

    # A Source reads images and masks by index; 255 in a mask means "ignored".
    train = keras_seg.data.voc(root, "train")
    val = keras_seg.data.voc(root, "val")

    # Each example is scaled, cropped to `size`, mirrored and changed in colour; which
    # way depends on (seed, step) alone.
    batches = train.batches(
        batch_size,
        size=(size, size),
        augment=keras_seg.data.standard_augmentation(),
        shuffle=True,
        repeat=True,  # without end, so an epoch is so many steps
    )

    # Images go in as they are, 0..255: normalization is the model's first layer.
    model = keras_seg.unet(train.num_classes, widths=widths)
    model.summary()
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras_seg.losses.Dice() + keras_seg.losses.WeightedCrossEntropy(),
        metrics=[keras_seg.metrics.MeanIoU(train.num_classes)],
        jit_compile=False,  # whole images have many sizes: XLA would compile for each
    )
    model.fit(
        batches,
        validation_data=val.whole_images(),  # at their own sizes, one at a time
        epochs=epochs,
        steps_per_epoch=max(1, len(train) // batch_size),
        callbacks=[
            keras_seg.callbacks.BestModel(folder / "model.keras"),
            keras.callbacks.CSVLogger(str(folder / "history.csv")),
        ],
        shuffle=False,  # the batches are shuffled already
    )

    keras_seg.visualize.curves(folder / "history.csv", folder / "curves.png")
    image, _ = val[0]
    mask = keras_seg.predict_mask(model, image)
    picture = keras_seg.visualize.overlay(image, mask, val.palette)
    keras.utils.save_img(folder / "overlay.png", picture, scale=False)
    keras_seg.export(
        model, folder / "saved_model", class_names=train.class_names, overwrite=True
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
