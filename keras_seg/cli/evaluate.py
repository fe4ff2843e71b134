"""What `keras-seg evaluate` does."""

import argparse
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_seg
from keras_seg.cli import PATHS
from keras_seg.cli.data_options import data_source
from keras_seg.data import Source
from keras_seg.files import write_json
from keras_seg.terminal import progress
from keras_seg.training.runs import METRICS, load_model, read_run


def evaluate(options: argparse.Namespace) -> None:
    """Score a run on a split; see `keras-seg evaluate --help`."""
    run = read_run(options.run)
    run |= {k: v for k, v in vars(options).items() if k in PATHS and v is not None}
    split = options.split or run["val_split"] or "val"
    if options.split and run["data"] in ("voc", "coco"):
        run |= {"train_split": None, "val_split": None}  # "train" is that of the set
    source = data_source(run, options.split or "val")
    score(load_model(options.run), source, options.run, split)


def score(model: keras.Model, source: Source, run: Path, split: str) -> None:
    """Print a table of scores at the images' own sizes, and write metrics.json."""
    metric = keras_seg.metrics.MeanIoU(source.num_classes)
    accuracy = keras_seg.metrics.PixelAccuracy(source.num_classes)
    bar = progress(len(source), "image")
    for image, mask in source.dataset().prefetch(tf.data.AUTOTUNE):
        prediction = keras_seg.predict_mask(model, image.numpy())
        metric.update_state(mask[None], prediction[None])
        bar.add(1)
    accuracy.add_matrix(metric.confusion_matrix)

    iou = {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(source.class_names, metric.class_iou(), strict=True)
    }
    scores = {
        "mean_iou": float(metric.result()),
        "pixel_accuracy": float(accuracy.result()),
        "iou": iou,
        "ignored_pixels": metric.ignored_pixels,
        "images": len(source),
        "split": split,
    }
    width = max(map(len, (*iou, "pixel accuracy")))
    print(f"\n{'class':{width}}  {'IoU':>6}")
    for name, value in iou.items():
        print(f"{name:{width}}  {'absent' if value is None else f'{value:6.3f}'}")
    print(f"\n{'mean IoU':{width}}  {scores['mean_iou']:6.3f}")
    print(f"{'pixel accuracy':{width}}  {scores['pixel_accuracy']:6.3f}")
    print(f"{'ignored pixels':{width}}  {scores['ignored_pixels']:,}")
    write_json(run / METRICS, scores)
