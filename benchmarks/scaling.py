"""How costs grow with images, classes and pixels: points, and the laws that fit them.

    python -m benchmarks.scaling                    # all, as tables in Markdown
    python -m benchmarks.scaling images pixels      # some

A point whose memory is measured has a process of its own. Times are seconds of
processor time, of all threads together, which other work on the machine disturbs
little; memory is the largest of the process, less what it has after its imports. Names
of a million files are hard links to a few. docs/scaling.md has the numbers, and what
they mean.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.memory import peak_gib

IMAGES = (1_000, 10_000, 100_000, 1_000_000)
CLASSES = (2, 8, 21, 64, 150, 254, 1000)
CLASSES_OF_NETS = (2, 8, 21, 64, 150)  # FCN-32s of 1,000 has 16 GB
SIDES = (256, 512, 1024, 2048)
STEP_SIDES = (128, 256, 512)
#: Sizes to trace with.
SMALL = (32, 64)
#: Files that have many names; ext4 gives a file 65,000 at most.
FILES = 32
BATCH, BATCHES = 8, 50


def processor_seconds() -> float:
    """Of this process so far, in all of its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Clock:
    """Processor seconds since the last look."""

    def __init__(self) -> None:
        self._last = processor_seconds()

    def look(self) -> float:
        """Return them."""
        before, self._last = self._last, processor_seconds()
        return self._last - before


# Points: each returns its numbers by name.


def images(folder: str) -> dict[str, float]:
    """A folder of images and masks: reading its names, a first batch, and further."""
    import keras_seg
    from keras_seg.data import standard_augmentation

    before, clock = peak_gib(), Clock()
    names = keras_seg.data.shapes(1).class_names
    paths = (f"{folder}/images", f"{folder}/masks")
    source = keras_seg.data.folder(*paths, class_names=names)
    found = {"names, CPU s": clock.look()}
    batches = source.batches(
        BATCH, size=(96, 96), augment=standard_augmentation(), shuffle=True, repeat=True
    )
    iterator = iter(batches)
    next(iterator)
    found["first batch, CPU s"] = clock.look()
    for _ in range(BATCHES):
        next(iterator)
    found["an image then, CPU ms"] = 1e3 * clock.look() / (BATCH * BATCHES)
    return found | {"memory, GiB": peak_gib() - before}


def classes(classes: int, side: int = 256) -> dict[str, float]:
    """Losses and metrics of two images, and a model file, of some classes."""
    import tensorflow as tf

    import keras_seg

    rng = np.random.default_rng(0)
    shape = (2, side, side)
    masks = tf.constant(rng.integers(0, classes, shape), tf.int32)
    logits = tf.random.normal((*shape, classes))
    # Not 255: more than 255 classes have it among them.
    loss = keras_seg.losses.WeightedCrossEntropy(ignore=-1)
    metric = keras_seg.metrics.MeanIoU(classes, ignore=-1)

    @tf.function
    def slope() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(masks, logits)
        return tape.gradient(value, logits)

    @tf.function
    def count() -> None:
        metric.update_state(masks, logits)

    return {
        "logits of a megapixel, MB": 4.0 * classes,
        "loss of a megapixel, CPU ms": _milliseconds(slope, math.prod(shape)),
        "metric of a megapixel, CPU ms": _milliseconds(count, math.prod(shape)),
        "counts of a metric, kB": sum(
            math.prod(v.shape) * 8 / 1e3 for v in metric.variables
        ),
    }


def nets(classes: int) -> dict[str, float]:
    """Numbers that nets learn for their classes alone."""
    import keras

    import keras_seg

    def weights(model: Any, kind: Any) -> float:
        """Megabytes of the layers of a kind."""
        return 4e-6 * sum(
            layer.count_params() for layer in model.layers if isinstance(layer, kind)
        )

    thin: dict[str, Any] = {"widths": (1,) * 5, "head_width": 1}
    deconvolution = keras.layers.Conv2DTranspose
    unet = keras_seg.unet(classes, widths=(64, 128))
    return {
        "fcn32s, deconvolutions, MB": weights(
            keras_seg.fcn32s(classes, **thin), deconvolution
        ),
        "fcn8s, deconvolutions, MB": weights(
            keras_seg.fcn8s(classes, **thin), deconvolution
        ),
        "unet, score, MB": 4e-6 * unet.get_layer("score").count_params(),
    }


def prediction(side: int) -> dict[str, float]:
    """One square image through a U-Net on EfficientNet-Lite0, at once."""
    import keras_seg

    model = keras_seg.unet(21, encoder="efficientnet_lite0")
    image = np.zeros((1, side, side, 3), np.float32)
    for small in SMALL:  # after two sizes it is traced for all
        model.predict_on_batch(image[:, :small, :small])
    before, clock = peak_gib(), Clock()
    model.predict_on_batch(image)
    return {
        "prediction, CPU s": clock.look(),
        "prediction, GiB": peak_gib() - before,
        "mask by tiles of 512, GiB": _by_tiles(side),
    }


def _by_tiles(side: int) -> float:
    """What tiles need, in another process, since a peak doesn't fall."""
    if side <= 512:
        return math.nan
    return point("tiles", side=side)["GiB"]


def tiles(side: int) -> dict[str, float]:
    """The mask of one square image by tiles of 512."""
    import keras_seg

    model = keras_seg.unet(21, encoder="efficientnet_lite0")
    for small in SMALL:
        keras_seg.predict_mask(model, np.zeros((small, small, 3), np.uint8))
    before = peak_gib()
    image = np.zeros((side, side, 3), np.uint8)
    keras_seg.predict_mask(model, image, tile=512)
    return {"GiB": peak_gib() - before}


def step(side: int) -> dict[str, float]:
    """A training step of four square images, of the same net."""
    import keras_seg

    model = keras_seg.unet(21, encoder="efficientnet_lite0")
    model.compile("adam", keras_seg.losses.WeightedCrossEntropy(), jit_compile=False)
    x = np.zeros((4, side, side, 3), np.float32)
    y = np.zeros((4, side, side), np.int32)
    for small in SMALL:
        model.train_on_batch(x[:, :small, :small], y[:, :small, :small])
    before, clock = peak_gib(), Clock()
    model.train_on_batch(x, y)
    return {"step, CPU s": clock.look(), "step, GiB": peak_gib() - before}


def _milliseconds(run: Callable[[], Any], pixels: int, times: int = 5) -> float:
    """Of a megapixel, without the first run, which traces."""
    run()
    clock = Clock()
    for _ in range(times):
        run()
    return 1e3 * clock.look() / times / (pixels / 1e6)


# Sweeps


def many_names(folder: Path, count: int, *, have: int = 0) -> None:
    """Give few images and masks many names, numbers from `have` to `count`."""
    import keras_seg

    if not have:
        few = keras_seg.data.shapes(FILES, size=(96, 128))
        keras_seg.data.prepare(few, folder / "few", verbose=False)
    for kind in ("images", "masks"):
        originals = sorted((folder / "few" / kind).iterdir())
        (folder / kind).mkdir(exist_ok=True)
        for k in range(have, count):
            original = originals[k % FILES]
            os.link(original, folder / kind / f"{k:07d}{original.suffix}")


def point(function: str, **arguments: Any) -> dict[str, float]:
    """The numbers of a point, from a process of its own."""
    words = ["--point", function, json.dumps(arguments)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *words],
        check=True,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def sweep_images() -> None:
    """Folders of more and more files."""
    rows, have = [], 0
    with tempfile.TemporaryDirectory() as name:
        for count in IMAGES:
            many_names(Path(name), count, have=have)
            have = count
            rows.append(point("images", folder=name))
            print(count, rows[-1], file=sys.stderr, flush=True)
    show("images", IMAGES, rows)


def sweep_sides(what: str, function: str, sides: Sequence[int]) -> None:
    """Images of more and more pixels."""
    rows = []
    for side in sides:
        rows.append(point(function, side=side))
        print(side, rows[-1], file=sys.stderr, flush=True)
    show(what, [side**2 for side in sides], rows)


def sweep_classes(function: Callable[[int], Any], values: Sequence[int]) -> None:
    """More and more classes, in this process: its memory isn't measured."""
    show("classes", values, [function(value) for value in values])


SWEEPS: dict[str, Callable[[], None]] = {
    "images": sweep_images,
    "classes": lambda: sweep_classes(classes, CLASSES),
    "nets": lambda: sweep_classes(nets, CLASSES_OF_NETS),
    "pixels": lambda: sweep_sides("pixels", "prediction", SIDES),
    "steps": lambda: sweep_sides("pixels of each of four", "step", STEP_SIDES),
}


# Laws


def power(x: Any, y: Any) -> tuple[float, float]:
    """(c, p) of y = c x^p, by least squares of logarithms."""
    p, c = np.polyfit(np.log(x), np.log(y), 1)
    return float(np.exp(c)), float(p)


def line(x: Any, y: Any) -> tuple[float, float]:
    """(a, b) of y = a + b x, by least squares of relative errors."""
    found = np.array(y, np.float64)
    terms = np.stack([np.ones(len(found)), np.array(x, np.float64)], axis=1)
    one = np.ones(len(found))
    a, b = np.linalg.lstsq(terms / found[:, None], one, rcond=None)[0]
    return float(a), float(b)


def show(what: str, values: Sequence[int], rows: Sequence[dict[str, float]]) -> None:
    """Print a table in Markdown, and below it the laws of its columns."""
    names = list(rows[0])
    print("|", " | ".join([what, *names]), "|")
    print("|--:" * (len(names) + 1) + "|")
    for value, row in zip(values, rows, strict=True):
        cells = ["" if math.isnan(row[n]) else f"{row[n]:.3g}" for n in names]
        print("|", " | ".join([f"{value:,}", *cells]), "|")
    print("| law |", " | ".join(law(values, [r[n] for r in rows]) for n in names), "|")
    print(flush=True)


def law(x: Sequence[float], y: Sequence[float]) -> str:
    """A line or a power, whichever is never as far off, and how far that is."""
    known = [(a, b) for a, b in zip(x, y, strict=True) if b > 0]
    if len(known) < 3:
        return ""
    xs, ys = (np.array(values, np.float64) for values in zip(*known, strict=True))
    a, b = line(xs, ys)
    c, p = power(xs, ys)
    laws = {f"{a:.2g} + {b:.2g} x": a + b * xs, f"{c:.2g} x^{p:.2f}": c * xs**p}
    off = {words: np.abs(found / ys - 1).max() for words, found in laws.items()}
    best = min(off, key=lambda words: round(off[words], 3))
    return f"{best}, +-{off[best]:.0%}"


def main() -> None:
    """Measure one point, or sweep."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", help=f"some of {', '.join(SWEEPS)}")
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        function, arguments = options.point
        print(json.dumps(globals()[function](**json.loads(arguments))))
        return
    for name in options.what or SWEEPS:
        SWEEPS[name]()


if __name__ == "__main__":
    main()
