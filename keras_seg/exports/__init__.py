"""Exports: models for serving, compared with the original."""

from keras_seg.exports.saved_model import export

__all__ = ["export"]


def __dir__() -> list[str]:
    return __all__
