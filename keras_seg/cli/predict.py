"""What `keras-seg predict` does."""

import argparse
from collections import Counter

import keras
import numpy as np

import keras_seg
from keras_seg.data.decode.image import read_image
from keras_seg.data.decode.png import write_label_png
from keras_seg.training.runs import load_model, read_run
from keras_seg.visualize import IGNORE_COLOR, overlay, visible

# How the picture of a prediction ends.
_OVERLAY = "_overlay.png"


def predict(options: argparse.Namespace) -> None:
    """Predict masks of image files; see `keras-seg predict --help`."""
    run = read_run(options.run)
    stems = [image.stem for image in options.image]
    written = Counter(
        options.out / f"{s}{e}" for s in stems for e in (".png", _OVERLAY)
    )
    places = {path.resolve() for path in written}
    for image in options.image:
        if not image.is_file():
            raise FileNotFoundError(f"Expected an image at {image}. It isn't there.")
        if image.resolve() in places:
            raise ValueError(
                f"Expected another folder. {image} would be written over: --out "
                f"{options.out}"
            )
    for path, times in written.items():
        if times > 1:
            raise ValueError(
                "Expected images whose masks have names that differ. Received: two "
                f"for {path}"
            )
    model = load_model(options.run)
    palette = np.array(run["palette"], np.uint8)
    colors = np.full((256, 3), IGNORE_COLOR, np.uint8)
    colors[: len(palette)] = palette

    options.out.mkdir(parents=True, exist_ok=True)
    progress = keras.utils.Progbar(len(stems))
    for path, stem in zip(options.image, stems, strict=True):
        image = read_image(str(path), channels=model.input_shape[-1]).numpy()
        mask = keras_seg.predict_mask(model, image)
        write_label_png(str(options.out / f"{stem}.png"), mask, colors)
        keras.utils.save_img(
            options.out / f"{stem}{_OVERLAY}",
            overlay(visible(image), mask, palette),
            scale=False,
        )
        progress.add(1)
    print(f"Wrote masks and overlays of {len(stems)} images to {options.out}")
