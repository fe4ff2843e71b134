"""Demo: a local page that shows what a model says of photos."""

from keras_seg.demo.answer import Answers
from keras_seg.demo.page import serving

__all__ = ["Answers", "serving"]


def __dir__() -> list[str]:
    return __all__
