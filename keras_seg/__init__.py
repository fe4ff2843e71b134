"""Semantic segmentation in Keras 3, from a folder of images to a served model."""

import os
import sys

__version__ = "0.1.0"

__all__ = [
    "Scores",
    "attention_unet",
    "bisenet_v2",
    "callbacks",
    "data",
    "deeplab_v3",
    "deeplab_v3_plus",
    "evaluate",
    "export",
    "fcn",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "fpn",
    "labels",
    "linknet",
    "losses",
    "metrics",
    "models",
    "predict",
    "predict_files",
    "predict_mask",
    "predict_scene",
    "pspnet",
    "segformer",
    "training",
    "unet",
    "unet_plus_plus",
    "upernet",
    "visualize",
]


def _is_command_starting() -> bool:
    """Tell whether this is the command `keras-seg`, or `python -m keras_seg`.

    The command answers `--help` and mistyped options before it imports TensorFlow,
    which takes seconds; `keras_seg.cli.main` imports the rest once it is needed.
    """
    if sys.argv[:1] == ["-m"]:  # Python is still looking for the module to run
        arguments = iter(sys.orig_argv)
        return "-m" in arguments and next(arguments) == "keras_seg"
    return os.path.basename("".join(sys.argv[:1])) in ("keras-seg", "keras-seg.exe")


if "keras_seg.cli" in sys.modules or not _is_command_starting():
    from keras_seg import (
        callbacks,
        data,
        labels,
        losses,
        metrics,
        models,
        training,
        visualize,
    )
    from keras_seg.exports import export
    from keras_seg.inference import (
        Scores,
        evaluate,
        predict,
        predict_files,
        predict_mask,
        predict_scene,
    )
    from keras_seg.models import (
        attention_unet,
        bisenet_v2,
        deeplab_v3,
        deeplab_v3_plus,
        fcn,
        fcn8s,
        fcn16s,
        fcn32s,
        fpn,
        linknet,
        pspnet,
        segformer,
        unet,
        unet_plus_plus,
        upernet,
    )


def __dir__() -> list[str]:
    return __all__
