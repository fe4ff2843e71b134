"""Exports: SavedModels, ONNX and LiteRT files, compared with the original model."""

from keras_seg.exports.formats import Export, export

__all__ = ["Export", "export"]


def __dir__() -> list[str]:
    return __all__
