"""Exports of models of images beyond 8 bits take them as they are."""

import numpy as np
import pytest

import keras_seg
from keras_seg.exports.formats import FORMATS
from keras_seg.inference.opened import as_net

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    return keras_seg.unet(
        3, input_shape=(None, None, 2), widths=(2, 4), value_range=((0, -100), (1, 300))
    )


@pytest.mark.parametrize(
    ("format", "dtype"),
    [
        ("saved_model", "uint16"),
        ("onnx", "uint16"),
        pytest.param("onnx", None, marks=pytest.mark.slow),
        ("litert", "uint16"),
        pytest.param("litert", None, marks=pytest.mark.slow),
    ],
)
def test_ids_of_16_bits_and_of_floats_are_the_models(model, tmp_path, format, dtype):
    path = tmp_path / f"export{FORMATS[format][0]}"
    keras_seg.export(model, path, format=format, dtype=dtype)
    net = as_net(path)
    assert net.dtype == (dtype or "float32")
    assert net.value_range == ((0, -100), (1, 300))
    assert f"image: {net.dtype} [batch" in net.metadata["input"]
    image = RNG.uniform((0, 0), (1.4, 299), (33, 47, 2)).astype(net.dtype)
    expected = keras_seg.predict_mask(model, image)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(keras_seg.predict_mask(path, image), expected)
    with pytest.raises(ValueError, match=r"Expected an image in 0\.\.1, -100\.\.300"):
        keras_seg.predict_mask(path, 4000 + image)


def test_a_type_that_cannot_hold_the_range_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"`dtype` to hold.*up to 300.*'uint8'"):
        keras_seg.export(model, tmp_path / "served", dtype="uint8")
    with pytest.raises(ValueError, match="one of 'uint8', 'uint16', 'float32'"):
        keras_seg.export(model, tmp_path / "served", dtype="int8")
