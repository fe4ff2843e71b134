"""Whole images whose sides are multiples: what is padded, and what it may change."""

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg import data
from tests.models.backbones import tiny

SIZES = [(33, 21), (32, 64), (17, 40)]


def examples(dtype="uint8", value_range=None, classes=3):
    """Images of noise, of several sizes, without the darkest value."""
    rng = np.random.default_rng(0)
    low, high = value_range or (0, 255)
    images = [rng.uniform(low + 1, high, (*size, 3)).astype(dtype) for size in SIZES]
    masks = [rng.integers(0, classes, size) for size in SIZES]
    names = [f"class {k}" for k in range(classes)]
    return data.arrays(images, masks, class_names=names, value_range=value_range)


@pytest.mark.parametrize(
    ("multiple", "expected"),
    [(32, [(64, 32), (32, 64), (32, 64)]), (50, [(50, 50), (50, 100), (50, 50)])],
)
@pytest.mark.parametrize(
    ("dtype", "value_range"),
    [("uint8", None), ("float32", (-1000, 3000)), ("uint16", (7, 4095))],
)
def test_sides_become_multiples_by_black_and_ignored_pixels(
    multiple, expected, dtype, value_range
):
    source = examples(dtype, value_range)
    black = (value_range or (0, 255))[0]
    padded = list(source.whole_images(multiple_of=multiple).as_numpy_iterator())
    assert [mask.shape for _, mask in padded] == [(1, *size) for size in expected]
    for (images, masks), (image, mask) in zip(padded, source, strict=True):
        height, width = mask.shape
        assert (images.dtype, masks.dtype) == (image.dtype, np.int32)
        np.testing.assert_array_equal(images[0, :height, :width], image)
        np.testing.assert_array_equal(masks[0, :height, :width], mask)
        assert (masks[0] != 255).sum() == mask.size
        assert (images[0, height:] == black).all()
        assert (images[0, :, width:] == black).all()


@pytest.mark.parametrize("multiple", [0, -32, 2.5, "32"])
def test_a_multiple_is_a_positive_integer(multiple):
    with pytest.raises(ValueError, match="multiple_of"):
        examples().whole_images(multiple_of=multiple)


def scored(model, dataset):
    loss, metric = keras_seg.losses.WeightedCrossEntropy(), keras_seg.metrics.MeanIoU(3)
    model.compile(loss=loss, metrics=[metric], jit_compile=False)
    value, _ = model.evaluate(dataset, verbose=0)
    return value, metric.confusion_matrix


@pytest.mark.parametrize(
    "builder", ["unet", pytest.param("deeplab_v3", marks=pytest.mark.slow)]
)
def test_a_net_that_pads_to_32_itself_has_the_same_scores(builder):
    model = getattr(keras_seg, builder)(3, encoder=tiny())
    source = examples()
    loss, matrix = scored(model, source.whole_images())
    padded, same = scored(model, source.whole_images(multiple_of=32))
    assert matrix.sum() == sum(height * width for height, width in SIZES)
    assert len(np.unique(matrix.sum(axis=0))) > 1  # it doesn't see one class only
    np.testing.assert_array_equal(same, matrix)
    assert padded == pytest.approx(loss, rel=1e-6)


def test_padding_changes_no_logit_farther_from_it_than_a_pixel_sees():
    """Of a U-Net of two levels: two convolutions, two at half the size, two.

    A pool and a transposed convolution of 2 x 2 see a pixel more: 2 + 1 + 4 + 1 + 2.
    """
    model = keras_seg.unet(3, widths=(4, 8))
    keras.utils.set_random_seed(0)
    for variable in model.trainable_variables:
        variable.assign(keras.random.normal(variable.shape, stddev=0.3))
    source = examples()
    ((height, width), *_) = SIZES
    image, _ = next(source.whole_images().as_numpy_iterator())
    padded, _ = next(source.whole_images(multiple_of=64).as_numpy_iterator())
    whole = model.predict_on_batch(image)[0]
    part = model.predict_on_batch(padded)[0, :height, :width]
    reach = 10
    np.testing.assert_allclose(
        part[:-reach, :-reach], whole[:-reach, :-reach], rtol=1e-4, atol=1e-5
    )
    assert np.abs(part - whole)[-1].max() > 1e-3
