"""`keras-seg predict` over a folder of photos, beside its model alone.

The command opens the run, reads JPEGs, and writes a mask of each, and an overlay. The
other side has the same images in memory, in batches of one size as large as the
command's, and calls `predict_on_batch`, whose logits it drops: no files, no ids.

The net is trained for some steps first. Masks of random weights are noise, which takes
much longer to compress than what anybody writes.
"""

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.subjects.nets import CLASSES

#: As `keras-seg train` builds them.
NETS: dict[str, dict[str, Any]] = {
    "unet, 16 to 128": {"widths": (16, 32, 64, 128)},
    "unet, efficientnet_lite0": {"encoder": "efficientnet_lite0"},
}
BATCH, STEPS, CROP = 8, 60, (128, 128)


def photos(root: str, images: int) -> list[Path]:
    """The first validation images of VOC."""
    stems = (Path(root) / "ImageSets/Segmentation/val.txt").read_text().split()
    return [Path(root, f"JPEGImages/{stem}.jpg") for stem in stems[:images]]


def build(net: str) -> Any:
    """A net; without XLA, which would compile anew for each size of images."""
    import keras_seg

    model = keras_seg.unet(CLASSES, **NETS[net])
    model.compile(jit_compile=False)
    return model


def command(root: str, net: str, images: int, words: list[str]) -> Callable[[], Any]:
    """The command in this process: from opening the model to the last file.

    Args:
        root: The folder VOCdevkit/VOC2012.
        net: Which of `NETS`.
        images: How many to predict.
        words: Options of the command.
    """
    from keras_seg.cli import main

    folder = Path(tempfile.mkdtemp(prefix="predict"))
    (folder / "photos").mkdir()
    for path in photos(root, images):
        shutil.copy(path, folder / "photos")
    run = _trained(root, net, folder / "run")

    def turn() -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        given = [str(run), str(folder / "photos"), "--out", str(folder / "out")]
        if main(["predict", *given, "--batch-size", str(BATCH), *words]):
            raise RuntimeError("keras-seg predict failed")

    return turn


def bare(root: str, net: str, images: int) -> Callable[[], Any]:
    """Batches in memory, of one size each, through the model."""
    from PIL import Image

    model = build(net)
    of_size: dict[tuple, list] = defaultdict(list)
    for path in photos(root, images):
        pixels = np.asarray(Image.open(path))
        of_size[pixels.shape].append(pixels)
    batches = [
        np.stack(group[k : k + BATCH])
        for group in of_size.values()
        for k in range(0, len(group), BATCH)
    ]

    def turn() -> None:
        for batch in batches:
            model.predict_on_batch(batch)

    return turn


def _trained(root: str, net: str, folder: Path) -> Path:
    """The folder of a run, as `predict` needs it."""
    import keras_seg

    source = keras_seg.data.voc(root, "train")
    model = build(net)
    loss = keras_seg.losses.WeightedCrossEntropy()
    model.compile("adam", loss, jit_compile=False)
    augment = keras_seg.data.standard_augmentation()
    batches = source.batches(
        BATCH, size=CROP, augment=augment, shuffle=True, repeat=True
    )
    model.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    folder.mkdir()
    model.save(folder / "model.keras")
    about = {"class_names": source.class_names, "palette": source.palette.tolist()}
    (folder / "run.json").write_text(json.dumps(about))
    return folder
