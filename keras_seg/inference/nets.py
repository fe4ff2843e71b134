"""What `predict` and `evaluate` use a model through: images in, scores or ids out.

Models of Keras are here; those that `export` wrote are in `exported`.
"""

import functools
import math
import warnings
import weakref

import keras
import numpy as np
from keras import ops

from keras_seg.inference.memory import (
    MOST_PER_PIXEL,
    UNKNOWN_PER_PIXEL,
    PassMemory,
    free_memory,
    has_gpu,
    takes,
)
from keras_seg.inference.one_device import predict_on_batch
from keras_seg.inference.sides import Side, sides_of
from keras_seg.labels import ValueRange
from keras_seg.models.inputs import value_range_of
from keras_seg.models.outputs import check_finite, count_classes, ends_in_softmax

#: What a pass may need of the free memory; the rest is for the maps that wait.
SHARE = 0.5


class Net:
    """A model for inference.

    Attributes:
        num_classes: Number of classes.
        input_shape: (height, width, channels) of the images; None is any height or
            width.
        value_range: (low, high) of the images, numbers or one for each channel.
        bands: Bands (channels of an image file) that it takes, in this order; None is
            all, or unknown.
        are_probabilities: Whether `scores` are probabilities, or else logits.
        largest: Pixels of the largest pass that isn't known to be too large.
    """

    num_classes: int
    input_shape: tuple[int | None, int | None, int | None]
    value_range: ValueRange = (0, 255)
    bands: tuple[int, ...] | None = None
    are_probabilities: bool
    largest: float = math.inf
    _has_spoken = False

    def sides(self, *, by_tiles: bool = False) -> tuple[Side, Side]:
        """Heights and widths that it takes.

        Args:
            by_tiles: Whether they are for tiles, whose sizes can be chosen: then sizes
                that it refuses are looked for.
        """
        height, width, _ = self.input_shape
        return Side(height or 1, int(not height)), Side(width or 1, int(not width))

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Logits or probabilities, float32 `[batch, height, width, num_classes]`.

        Args:
            images: `[batch, height, width, channels]`.

        Raises:
            ValueError: if scores aren't numbers.
        """
        raise NotImplementedError  # each kind of net has its own

    def masks(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids, uint8 `[batch, height, width]`; which images have numbers as scores."""
        raise NotImplementedError  # each kind of net has its own

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probabilities, float32 `[batch, height, width, num_classes]`."""
        finished, scores = self.are_probabilities, self.scores(images)
        return scores if finished else ops.convert_to_numpy(ops.softmax(scores))

    def needed(self, images: int, pixels: int) -> float:
        """Bytes that a pass of images of so many pixels each needs."""
        return images * pixels * UNKNOWN_PER_PIXEL

    def is_too_large(self, images: int, pixels: int) -> bool:
        """Whether a pass of images of so many pixels each wouldn't fit into memory."""
        if images * pixels > self.largest:
            return True
        if has_gpu():  # where running out of memory is an error that can be caught
            return False
        allowed = SHARE * free_memory()
        if images * pixels * MOST_PER_PIXEL <= allowed:
            return False
        return self.needed(images, pixels) > allowed

    def say_once(self, text: str) -> None:
        """Warn, unless this model has been warned about."""
        if not self._has_spoken:
            warnings.warn(text, stacklevel=2)
        self._has_spoken = True


class KerasNet(Net):
    """A Keras model from images to logits, or to probabilities.

    Args:
        model: A functional or sequential model.
    """

    def __init__(self, model: keras.Model):
        self.num_classes = count_classes(model)
        self.input_shape = tuple(model.input_shape[1:])
        self.value_range = value_range_of(model)
        # What is known of a model is kept for as long as the model is.
        self._model = weakref.ref(model)

    @property
    def model(self) -> keras.Model:
        return self._model()

    @property
    def are_probabilities(self) -> bool:  # type: ignore[override] # read each time
        return ends_in_softmax(self.model)

    def sides(self, *, by_tiles: bool = False) -> tuple[Side, Side]:
        return self._sides_of_tiles if by_tiles else self._sides

    @functools.cached_property
    def _sides(self) -> tuple[Side, Side]:
        return sides_of(self.model)

    @functools.cached_property
    def _sides_of_tiles(self) -> tuple[Side, Side]:
        return sides_of(self.model, takes)

    def scores(self, images: np.ndarray) -> np.ndarray:
        scores = np.asarray(predict_on_batch(self.model, images), np.float32)
        check_finite(self.model, scores)
        return scores

    def masks(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return predict_on_batch(self._mask_model, images)

    @functools.cached_property
    def _mask_model(self) -> keras.Model:
        """From images to ids, and to whether all scores of an image are numbers.

        Finding the largest score in the graph saves handing all of them to Python.
        """
        model = self.model
        scores = model.outputs[0]
        outputs = [
            ops.cast(ops.argmax(scores, axis=-1), "uint8"),
            ops.all(ops.isfinite(scores), axis=(1, 2, 3)),
        ]
        masks_of = keras.Model(model.inputs, outputs)
        # Images come in many sizes, and XLA would compile anew for each.
        masks_of.compile(jit_compile=False)
        return masks_of

    def needed(self, images: int, pixels: int) -> float:
        memory = self._memory
        if memory is None:
            return super().needed(images, pixels)
        return memory.needed(images, pixels)

    @functools.cached_property
    def _memory(self) -> PassMemory | None:
        """None for a model whose operations can't be seen."""
        if keras.backend.backend() != "tensorflow":
            return None
        height, width = self.sides(by_tiles=True)
        sizes = [
            (height.for_output(n) or height.first, width.for_output(n) or width.first)
            for n in (256, 768)
        ]
        try:
            return PassMemory(self.model, sizes)
        except Exception:  # whatever the layers of other people's models raise
            return None
