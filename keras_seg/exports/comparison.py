"""Whether what was written gives what the model gives."""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from keras_seg.exports.serving import Served
from keras_seg.inference.exported import ExportedNet
from keras_seg.inference.ranges import as_dtype
from keras_seg.models.outputs import check_finite

#: Images `[batch, height, width, channels]`, and the probabilities for them.
Example = tuple[np.ndarray, np.ndarray]

# Batches of these sizes that a model takes are compared.
_SIZES = ((2, 64, 96), (1, 33, 47), (2, 65, 97), (2, 1, 1))
# If those are fewer than two, these too: an unpadded U-Net wants some like them.
_LARGER = ((2, 192, 224), (1, 188, 204))
# What is said of an export that isn't the model.
_WRONG = (
    "Likely cause: an operation that the format's converter writes wrongly. Nothing "
    "was written. Try: another `format`, or other layers."
)
# Share of equal pixels below which a quantized model is of no use.
_LEAST = 0.5


def random_examples(served: Served) -> list[Example]:
    """Noise of several sizes that the model takes, and what it gives for it.

    Raises:
        ValueError: for a model that takes none of them, or gives NaN.
    """
    height, width, channels = served.input_shape
    rng = np.random.default_rng(0)
    examples: list[Example] = []
    refused: Exception | None = None
    sizes = {(n, height or h, width or w): None for n, h, w in _SIZES}
    larger = {(n, height or h, width or w): None for n, h, w in _LARGER}
    for size in (*sizes, *larger):
        if size in larger and len(examples) >= 2:
            break
        image = _noise(rng, (*size, channels), served)
        try:
            given = served.probabilities(tf.constant(image))["probabilities"].numpy()
        except Exception as error:  # whatever its layers say of this size
            refused = error
            continue
        if given.size:  # a pool without padding leaves nothing of a pixel
            check_finite(served.model, given)
            examples.append((image, given))
    if not examples:
        tried = ", ".join(f"{h} x {w}" for _, h, w in (*_SIZES, *_LARGER))
        answer = "it gives maps without a pixel" if refused is None else str(refused)
        raise ValueError(
            f"Expected a model that takes images of one of the sizes {tried}. "
            f"Received: one that takes none. For one of them: {answer}"
        )
    return examples


def _noise(rng: np.random.Generator, shape: tuple, served: Served) -> np.ndarray:
    """Images of the range and dtype that a model takes."""
    low, high = (np.asarray(side, np.float64) for side in served.value_range)
    return as_dtype(rng.uniform(low, high, shape), served.image.dtype.name)


def compare(net: ExportedNet, examples: Iterable[Example], *, tolerance: float) -> None:
    """Raise unless an export gives what the model gave.

    Args:
        net: The export.
        examples: Images, and the probabilities that the model gave for them.
        tolerance: By how much a probability may differ, and by how much the class of a
            mask may be less likely than the most likely one: of two that are nearly as
            likely either may win.

    Raises:
        RuntimeError: if probabilities or masks differ.
    """
    for images, expected in examples:
        received = net.served("probabilities", images)
        mask = net.served("mask", images)
        _require_shapes(images, expected, received, mask)
        difference = np.abs(received - expected).max()
        valid = mask < expected.shape[-1]
        chosen = np.where(valid, mask, 0)[..., None].astype(int)
        chosen = np.take_along_axis(expected, chosen, -1)[..., 0]
        lost = np.where(valid, expected.max(-1) - chosen, 1).max()
        if not (difference <= tolerance and lost <= tolerance):  # nor if it is NaN
            raise RuntimeError(
                "Expected an export that gives what the model gives, but for "
                f"{tolerance:g}. Received: one that differs from the model at "
                f"{_size(images)}: probabilities by up to {difference:.2g}, those of "
                f"the classes in the mask by up to {lost:.2g}. {_WRONG}"
            )


def agreement(net: ExportedNet, served: Served, images: Sequence[np.ndarray]) -> float:
    """Share of the pixels for which a quantized export gives the model's class.

    Args:
        net: The export.
        served: The model.
        images: `[height, width, channels]` each.

    Raises:
        RuntimeError: if it is below a half, or if the export gives all pixels one class
            where the model doesn't.
    """
    equal = pixels = 0
    classes: tuple[set, set] = (set(), set())
    for image in images:
        both = served.both(tf.constant(image[None]))
        expected = both["mask"].numpy()
        received = net.served("probabilities", image[None])
        mask = net.served("mask", image[None])
        _require_shapes(image[None], both["probabilities"].numpy(), received, mask)
        equal += int((mask == expected).sum())
        pixels += mask.size
        for found, ids in zip(classes, (expected, mask), strict=True):
            found.update(np.unique(ids).tolist())
    share = equal / pixels
    if share < _LEAST or len(classes[1]) == 1 < len(classes[0]):
        raise RuntimeError(
            "Expected a quantized export with the model's class at half of the pixels "
            "or more, and with several classes where the model has several. Received: "
            f"the model's class at {share:.1%} of the pixels of {len(images)} images, "
            f"and {len(classes[1])} of its {len(classes[0])} classes. Likely causes: "
            "of int8, too few images to measure by (`examples`), or images that aren't "
            "like those of training; of float16, numbers that are too large for it. "
            "Nothing was written."
        )
    return share


def require_equal_shapes(net: ExportedNet, examples: Iterable[Example]) -> None:
    """Raise unless a quantized export gives outputs of the model's size."""
    for images, expected in examples:
        received = net.served("probabilities", images)
        _require_shapes(images, expected, received, net.served("mask", images))


def _require_shapes(
    images: np.ndarray, expected: np.ndarray, received: np.ndarray, mask: np.ndarray
) -> None:
    if received.shape != expected.shape or mask.shape != expected.shape[:3]:
        raise RuntimeError(
            f"Expected an export that gives probabilities {list(expected.shape)} at "
            f"{_size(images)}, as the model. Received: {list(received.shape)}, and a "
            f"mask {list(mask.shape)}. {_WRONG}"
        )


def _size(images: np.ndarray) -> str:
    return f"{images.shape[1]} x {images.shape[2]}"


def resized(image: np.ndarray, size: Sequence[int | None]) -> np.ndarray:
    """An image at the size that an export takes, where that is fixed."""
    wanted = [side or own for side, own in zip(size, image.shape, strict=False)]
    if wanted == list(image.shape[:2]):
        return image
    return as_dtype(tf.image.resize(image, wanted), image.dtype.name)
