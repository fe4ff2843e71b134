"""Images are in the range of the model, or refused."""

import numpy as np
import pytest

import keras_seg
from keras_seg.inference.files import predict_files
from keras_seg.inference.ranges import as_dtype, check_range

RNG = np.random.default_rng(0)


def values(low, high, dtype):
    return RNG.uniform(low, high, (6, 8, 2)).astype(dtype)


@pytest.mark.parametrize(
    ("image", "value_range"),
    [
        (values(0, 255, "uint8"), (0, 255)),
        (values(0, 200, "float32"), (0, 255)),
        (values(0, 4095, "uint16"), (0, 4095)),
        (values(0, 3, "uint16"), (0, 4095)),
        (values(3000, 4200, "uint16"), (0, 4095)),
        (values(0, 1, "float64"), (0, 1)),
        (values(-1000, 3000, "int16"), (-1024, 3071)),
        (values(50, 150, "float32"), ((90, 100), (110, 120))),  # measured
        (values(0, 255, "uint8"), (0, 400)),
    ],
)
def test_images_of_the_range_are_taken(image, value_range):
    check_range(image, value_range)


@pytest.mark.parametrize(
    ("image", "value_range", "message"),
    [
        (values(0, 3000, "uint16"), (0, 255), r"0\.\.255.*uint16.*Scale it"),
        (values(0.1, 1, "float32"), (0, 255), "Multiply it by 255"),
        (values(-1, 1, "float32"), (0, 255), "Leave out its normalization"),
        (values(0.1, 1, "float32"), (0, 4095), "leave out what scales them"),
        (values(0, 255, "uint8"), (0, 4095), "It has 8 bits"),
        (values(20000, 60000, "uint16"), (0, 4095), "not scaled"),
        (values(0, 255, "uint8"), (0, 1), "not scaled"),
        (values(0, 1, "float32") * np.nan, (0, 1), "no numbers"),
        (values(0, 1, "float32") + np.inf, (0, 255), "no numbers"),
    ],
)
def test_images_of_another_range_are_refused(image, value_range, message):
    with pytest.raises(ValueError, match=rf"^Expected an image in .*{message}"):
        check_range(image, value_range)


def test_as_dtype_rounds_and_keeps_within_the_dtype():
    images = np.array([-3, 0.6, 70000.2])
    assert as_dtype(images, "uint16").tolist() == [0, 1, 65535]
    assert as_dtype(images, "uint8").tolist() == [0, 1, 255]
    assert as_dtype(images, "float32").tolist() == images.astype(np.float32).tolist()


def test_predict_and_evaluate_ask_the_model_for_its_range():
    model = keras_seg.unet(
        2, input_shape=(None, None, 2), widths=(4, 8), value_range=(0, 4095)
    )
    image = values(0, 4095, "uint16")
    assert keras_seg.predict_mask(model, image).shape == (6, 8)
    scaled = image / 4095
    with pytest.raises(ValueError, match=r"Expected an image in 0..4095"):
        keras_seg.predict(model, scaled)
    source = keras_seg.data.arrays(
        [scaled], [np.zeros((6, 8), int)], class_names=["a", "b"], value_range=(0, 1)
    )
    with pytest.raises(ValueError, match=r"Expected an image in 0..4095"):
        keras_seg.evaluate(model, source)


@pytest.mark.parametrize("tagged", [True, False])
def test_files_with_pixels_without_data_are_predicted_around_them(tmp_path, tagged):
    tifffile = pytest.importorskip("tifffile", reason="tifffile isn't installed")
    model = keras_seg.unet(
        2, input_shape=(None, None, 1), widths=(4, 8), value_range=(0, 1)
    )
    image = RNG.uniform(0, 1, (24, 20)).astype(np.float32)
    filled = image.copy()
    filled[:3] = 0
    image[:3] = -9999 if tagged else np.nan
    tag = [(42113, 2, None, b"-9999")] if tagged else []  # GDAL_NODATA
    tifffile.imwrite(tmp_path / "a.tif", image, extratags=tag)
    nodata = None if tagged else np.nan
    masks = []
    paths = [tmp_path / "a.tif"]
    use = lambda path, image, mask: masks.append(mask)  # noqa: E731 # one line
    assert list(predict_files(model, paths, use, nodata=nodata)) == [(paths[0], None)]
    expected = keras_seg.predict_mask(model, filled[..., None])
    expected[:3] = 255
    np.testing.assert_array_equal(masks[0], expected)
    if not tagged:
        ((_, error),) = predict_files(model, paths, use)
        assert "no numbers" in str(error)
