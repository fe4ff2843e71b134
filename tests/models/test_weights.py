"""Weights of whole models from files."""

import keras
import numpy as np
import pytest

from keras_seg import unet

SMALL = {"widths": (4, 6, 8)}


def random_unet(**arguments):
    keras.utils.set_random_seed(1)
    return unet(3, **(SMALL | arguments))


def tiny_encoder():
    image = x = keras.Input((None, None, 3))
    for width in (4, 6, 8, 10, 12):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same")(x)
    return keras.Model(image, x)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"normalization": "batch"}, {"encoder": tiny_encoder, "widths": (4,) * 5}],
    ids=["plain", "batch", "encoder"],
)
def test_weights_of_an_equal_unet_come_back_from_a_path(arguments, ending, tmp_path):
    def build(**other):
        own = arguments | other
        if "encoder" in own:
            own["encoder"] = own["encoder"]()
        return random_unet(**own)

    saved = build()
    rng = np.random.default_rng(0)
    saved.set_weights([rng.uniform(size=w.shape) for w in saved.get_weights()])
    path = tmp_path / f"model{ending}"
    saved.save(path) if ending == ".keras" else saved.save_weights(path)
    for weights in (path, str(path)):
        loaded = build(weights=weights)
        for weight, wanted in zip(
            loaded.get_weights(), saved.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(weight, wanted)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_weights_come_back_from_a_trained_model_without_its_dropout(ending, tmp_path):
    # The file holds the state of an optimizer and a seed, too.
    saved = random_unet(dropout=0.5)
    saved.compile("adam", "mse")
    saved.fit(np.ones((1, 8, 8, 3)), np.ones((1, 8, 8, 3)), verbose=0)
    path = tmp_path / f"model{ending}"
    saved.save(path) if ending == ".keras" else saved.save_weights(path)
    loaded = random_unet(weights=path)
    for weight, wanted in zip(loaded.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, wanted)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_weights_of_another_unet_name_the_file(ending, tmp_path):
    saved = random_unet()
    path = tmp_path / f"model{ending}"
    saved.save(path) if ending == ".keras" else saved.save_weights(path)
    for other in [
        {"num_classes": 4},
        {"input_shape": (None, None, 1)},
        {"widths": (4, 6, 9)},
        {"widths": (4, 6)},
        {"widths": (4, 6, 8, 10)},
        {"upsampling": "bilinear"},
        {"normalization": "batch"},
    ]:
        arguments = {"num_classes": 3} | SMALL | other
        with pytest.raises(ValueError, match=rf"model\{ending}: Expected"):
            unet(**arguments, weights=path)


def test_weights_of_a_deeper_unet_of_one_width_name_the_file(tmp_path):
    # All its first convolutions have the shapes of the shallower net's.
    path = tmp_path / "deep.weights.h5"
    random_unet(widths=(4, 4, 4), upsampling="bilinear").save_weights(path)
    with pytest.raises(ValueError, match=r"deep\.weights\.h5: Expected"):
        random_unet(widths=(4, 4), upsampling="bilinear", weights=path)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_foreign_files_name_themselves(ending, tmp_path):
    path = tmp_path / f"foreign{ending}"
    for content in (b"", b"hello" * 100):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"foreign\{ending}: Expected"):
            random_unet(weights=path)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_cut_files_name_themselves(ending, tmp_path):
    saved = random_unet()
    path = tmp_path / f"model{ending}"
    saved.save(path) if ending == ".keras" else saved.save_weights(path)
    whole = path.read_bytes()
    for part in (0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(ValueError, match=rf"model\{ending}: Expected"):
            random_unet(weights=path)


def test_missing_files_are_told(tmp_path):
    for name in ("none.keras", "none.weights.h5"):
        with pytest.raises(FileNotFoundError, match=name):
            random_unet(weights=tmp_path / name)


def test_unknown_endings_say_which_are_known():
    for path in ("model.pth", "coco", "model.h5", "a.caffemodel"):
        with pytest.raises(ValueError, match=rf"Expected `weights`.*\.keras.*'{path}'"):
            random_unet(weights=path)
