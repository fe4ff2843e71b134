"""Visualize: masks over images, samples side by side, curves, a page of a model."""

from keras_seg.palette import IGNORE_COLOR, colorize, save_mask
from keras_seg.visualize.history import curves
from keras_seg.visualize.page.report import report
from keras_seg.visualize.pictures import contact_sheet, overlay, samples, visible

__all__ = [
    "IGNORE_COLOR",
    "colorize",
    "contact_sheet",
    "curves",
    "overlay",
    "report",
    "samples",
    "save_mask",
    "visible",
]


def __dir__() -> list[str]:
    return __all__
