"""Visualize: masks over images, samples side by side, curves of a run."""

from keras_seg.palette import IGNORE_COLOR, colorize, save_mask
from keras_seg.visualize.curves import curves
from keras_seg.visualize.pictures import contact_sheet, overlay, samples, visible

__all__ = [
    "IGNORE_COLOR",
    "colorize",
    "contact_sheet",
    "curves",
    "overlay",
    "samples",
    "save_mask",
    "visible",
]


def __dir__() -> list[str]:
    return __all__
