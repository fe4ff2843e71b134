import numpy as np
import pytest
import tensorflow as tf

from keras_seg import data

NAMES = ["field", "water"]


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_images_of_any_number_of_channels_come_back(channels):
    images, masks = pixels(3, 5, 7, channels), np.arange(105).reshape(3, 5, 7) % 2
    source = data.arrays(images, masks, class_names=NAMES)
    assert len(source) == 3
    for index in range(3):
        image, mask = source[index]
        assert (image.dtype, mask.dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(image, images[index])
        np.testing.assert_array_equal(mask, masks[index])
    (batch, _) = next(iter(source.batches(3)))
    assert batch.shape == (3, 32, 32, channels)
    assert source.batches(3).element_spec[0].shape[-1] == channels


def test_arrays_of_different_sizes_come_back():
    sizes = [(4, 9), (8, 2), (1, 1)]
    images = [pixels(*size, 3) for size in sizes]
    source = data.arrays(images, [np.zeros(s, int) for s in sizes], class_names=NAMES)
    for index, (image, mask) in enumerate(source):
        np.testing.assert_array_equal(image, images[index])
        assert mask.shape == sizes[index]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64])
def test_masks_of_any_integer_come_back(dtype):
    mask = np.array([[0, 1, 255]], dtype)
    source = data.arrays(pixels(1, 1, 3, 3), [mask], class_names=NAMES)
    assert source[0][1].tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_stay_what_they_are(dtype):
    values = np.array([0, 0.4, 0.6, 100.625, 254.4, 255], dtype)
    image = np.broadcast_to(values[:, None, None], (6, 1, 3))
    source = data.arrays([image], [np.zeros((6, 1), int)], class_names=NAMES)
    assert source.dtype == source[0][0].dtype == np.float32
    np.testing.assert_array_equal(source[0][0][:, 0, 0], values.astype(np.float32))


def test_a_black_image_of_floats_is_no_error():
    source = data.arrays(
        [np.zeros((2, 2, 3))], [np.zeros((2, 2), int)], class_names=NAMES
    )
    assert source[0][0].max() == 0


IMAGE, MASK = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), int)


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        ([], [], "Received: 0 images, 0 masks"),
        ([IMAGE] * 2, [MASK], "Received: 2 images, 1 masks"),
        ([MASK], [MASK], r"image\[..., None\]"),
        ([IMAGE.astype(np.int32)], [MASK], "Received: int32"),
        ([IMAGE.astype(bool)], [MASK], "Received: bool"),
        ([IMAGE.astype(str)], [MASK], "image of numbers.*Received: string"),
        ([IMAGE + 0.5], [MASK], r"float64 in 0.5..0.5.*`value_range=\(0, 1\)`"),
        ([IMAGE - 1.0], [MASK], "float64 in -1..-1"),
        ([IMAGE + 256.0], [MASK], "float64 in 256..256"),
        ([IMAGE * np.nan], [MASK], "12 values that are NaN or infinite"),
        ([IMAGE], [MASK + 0.5], "masks .* of integers.*float64"),
        ([IMAGE], [MASK == 0], "masks .* of integers.*bool"),
        ([IMAGE], [MASK[..., None]], r"masks .*\(2, 2, 1\)"),
    ],
)
def test_what_is_no_image_or_mask_is_an_error_at_once(images, masks, message):
    with pytest.raises(ValueError, match=message):
        data.arrays(images, masks, class_names=NAMES)


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        ([IMAGE, IMAGE[..., :1]], [MASK] * 2, r"\[height, width, 3\].*\(2, 2, 1\)"),
        ([IMAGE] * 2, [MASK, MASK + 2], "class ids 0..1, or 255.*Received: 2"),
        ([IMAGE] * 2, [MASK, MASK - 1], "Received: -1"),
        ([IMAGE] * 2, [MASK, MASK + 256], "Received: 256"),
        ([IMAGE] * 2, [MASK, MASK + 2**32 + 1], "Received"),
        ([IMAGE] * 2, [MASK, MASK[:1]], "image 2 x 2, mask 1 x 2"),
    ],
    ids=["channels", "id 2", "id -1", "id 256", "id 2**32 + 1", "size"],
)
def test_a_bad_example_is_an_error_by_its_number(images, masks, message):
    source = data.arrays(images, masks, class_names=NAMES)
    source[0]
    with pytest.raises(ValueError, match=f"example 1: .*{message}"):
        source[1]


@pytest.mark.parametrize("size", [(4, 4), (8, 8)])
def test_a_mask_of_another_size_than_its_image_is_an_error_when_augmented(size):
    """Else the window that the mask asks for is the wrong part of the image."""
    masks = [np.zeros((6, 6), int), np.zeros(size, int)]
    source = data.arrays(pixels(2, 6, 6, 3), masks, class_names=NAMES)
    augment = data.standard_augmentation(scale=(1, 1))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"example 1: .*image and mask of the same"
    ):
        list(source.batches(1, size=(2, 2), augment=augment))


def test_the_arrays_stay_as_they_are_when_an_example_is_written_to():
    images, masks = pixels(1, 64, 64, 3), np.zeros((1, 64, 64), np.int32)
    before = images.copy()
    image, mask = data.arrays(images, masks, class_names=NAMES)[0]
    image[:], mask[:] = 0, 1
    np.testing.assert_array_equal(images, before)
    assert masks.max() == 0
