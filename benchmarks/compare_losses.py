"""The same net and steps with three losses: IoU of common and of rare classes.

    python benchmarks/compare_losses.py VOCdevkit/VOC2012

A U-Net on a frozen EfficientNet-Lite0 (`pip install 'keras-seg[lite]'`) learns from the
same crops in the same order with each loss, and is evaluated on whole images of `val`
at their own size. Common are the classes with at least `--common` images in `train`,
rare the others that occur in `train` and in what is evaluated. Prints the table that
docs/losses.md shows.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_seg
from keras_seg.data import class_frequencies, class_weights
from keras_seg.losses import Dice, WeightedCrossEntropy
from keras_seg.metrics import SegmentationScores


def scores_of(
    loss: keras.losses.Loss,
    train: keras_seg.data.Source,
    val: keras_seg.data.Source,
    options: argparse.Namespace,
) -> dict[str, float]:
    """Scores of a net that learnt with this loss."""
    keras.utils.set_random_seed(options.seed)
    classes = train.num_classes
    model = keras_seg.unet(
        classes,
        encoder="efficientnet_lite0",
        encoder_weights="imagenet",
        widths=(16, 16, 32, 64, 128),
        upsampling="bilinear",
        normalization="batch",
    )
    model.get_layer("encoder").trainable = False
    rate = keras.optimizers.schedules.CosineDecay(3e-3, options.steps)
    scores = SegmentationScores(classes, class_names=val.class_names, per_class=True)
    model.compile(keras.optimizers.Adam(rate), loss=loss, metrics=[scores])
    crops = train.batches(
        options.batch_size,
        size=(options.size, options.size),
        augment=keras_seg.data.standard_augmentation(scale=(0.3, 0.5)),
        shuffle=True,
        seed=options.seed,
        repeat=True,
    )
    model.fit(crops, steps_per_epoch=options.steps, shuffle=False, verbose=0)
    return model.evaluate(val.batches(1), return_dict=True, verbose=0)


def main() -> None:
    """Train with each loss, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="the folder VOCdevkit/VOC2012")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--size", type=int, default=128, help="side of the crops")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--images", type=int, default=None, help="of val; default all")
    parser.add_argument("--common", type=int, default=50, help="images, at least")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    train = keras_seg.data.voc(options.root, "train")
    val = keras_seg.data.voc(options.root, "val")[: options.images]
    frequencies = class_frequencies(train, verbose=False)
    seen, tested = frequencies.images, class_frequencies(val, verbose=False).images
    common = seen >= options.common
    rare = (seen > 0) & (tested > 0) & ~common
    print(f"{len(train)} images to learn from, {len(val)} to evaluate")
    for kind, of_kind in (("common", common), ("rare", rare)):
        names = [
            f"{val.class_names[c]} {seen[c]}/{tested[c]}"
            for c in np.flatnonzero(of_kind)
        ]
        print(f"{kind}, images in train/val: {', '.join(names)}")

    weights = class_weights(frequencies, "median")
    plain = WeightedCrossEntropy()
    losses = {
        "`WeightedCrossEntropy()`": plain,
        "`WeightedCrossEntropy(class_weights)`": WeightedCrossEntropy(weights),
        "`WeightedCrossEntropy() + 0.5 * Dice()`": plain + 0.5 * Dice(),
    }
    print("\n| loss | IoU, common | IoU, rare | rare found at all | pixel accuracy |")
    print("|---|---|---|---|---|")
    each = {}
    for name, loss in losses.items():
        start = time.perf_counter()
        scores = scores_of(loss, train, val, options)
        iou = np.array([scores[f"iou/{c}"] for c in val.class_names])
        each[name] = iou
        print(
            f"| {name} | {iou[common].mean():.3f} | {iou[rare].mean():.3f} "
            f"| {(iou[rare] > 0.01).sum()} of {rare.sum()} "
            f"| {scores['pixel_accuracy']:.3f} |",
            flush=True,
        )
        print(f"<!-- {time.perf_counter() - start:.0f} s -->", flush=True)
    print("\n| class | " + " | ".join(each) + " |\n|---|" + "---|" * len(each))
    for c in np.flatnonzero(common | rare):
        row = " | ".join(f"{iou[c]:.3f}" for iou in each.values())
        print(f"| {val.class_names[c]} | {row} |")


if __name__ == "__main__":
    main()
