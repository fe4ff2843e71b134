"""Weights of whole models from files."""

import keras
import numpy as np
import pytest

from keras_seg import unet
from keras_seg.models.weights.by_name import assign, named_weights
from tests.models.backbones import tiny

SMALL = {"widths": (4, 6, 8)}


def random_unet(**arguments):
    keras.utils.set_random_seed(1)
    return unet(3, **(SMALL | arguments))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"normalization": "batch"}, {"encoder": tiny, "widths": (4,) * 5}],
    ids=["plain", "batch", "encoder"],
)
def test_weights_of_an_equal_unet_come_back_from_a_path(arguments, tmp_path):
    def build(**other):
        own = arguments | other
        if "encoder" in own:
            own["encoder"] = own["encoder"]()
        return random_unet(**own)

    saved = build()
    rng = np.random.default_rng(0)
    saved.set_weights([rng.uniform(size=w.shape) for w in saved.get_weights()])
    path, by_order = tmp_path / "model.keras", tmp_path / "model.weights.h5"
    saved.save(path)
    saved.save_weights(by_order)
    # A path, a string, the folder of a run, or weights alone.
    for weights in (path, str(path), tmp_path, by_order):
        loaded = build(weights=weights)
        for weight, wanted in zip(
            loaded.get_weights(), saved.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(weight, wanted)


@pytest.mark.slow
def test_weights_come_back_from_a_trained_model_without_its_dropout(tmp_path):
    # The file holds the state of an optimizer and a seed, too.
    saved = random_unet(dropout=0.5)
    saved.compile("adam", "mse")
    saved.fit(np.ones((1, 8, 8, 3)), np.ones((1, 8, 8, 3)), verbose=0)
    saved.save(tmp_path / "model.keras")
    saved.save_weights(tmp_path / "model.weights.h5")
    for file in ("model.keras", "model.weights.h5"):
        loaded = random_unet(weights=tmp_path / file)
        for a, b in zip(loaded.get_weights(), saved.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_weights_of_another_unet_name_the_file(tmp_path):
    path = tmp_path / "model.keras"
    random_unet().save(path)
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
        with pytest.raises(ValueError, match=r"model\.keras: Expected"):
            unet(**arguments, weights=path)


def test_foreign_and_cut_files_name_themselves(tmp_path):
    path = tmp_path / "model.keras"
    random_unet().save(path)
    whole = path.read_bytes()
    cuts = [whole[: int(len(whole) * part)] for part in (0.3, 0.9)]
    for content in (b"", b"hello" * 100, *cuts):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.keras: Expected"):
            random_unet(weights=path)


def test_missing_files_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        random_unet(weights=tmp_path / "none.keras")
    with pytest.raises(FileNotFoundError, match=r"run with model\.keras"):
        random_unet(weights=tmp_path)


def test_unknown_endings_say_which_are_known():
    for path in ("model.pth", "coco", "model.h5", "a.caffemodel"):
        with pytest.raises(ValueError, match=rf"Expected `weights`.*\.keras.*'{path}'"):
            random_unet(weights=path)


def test_weights_alone_must_be_those_of_an_equal_net(tmp_path):
    path = tmp_path / "model.weights.h5"
    random_unet(widths=(4, 6, 8, 10)).save_weights(path)  # it has all and more
    with pytest.raises(ValueError, match=r"model\.weights\.h5: .*Missing: .*Left over"):
        random_unet(weights=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"model\.weights\.h5: .*`save_weights`"):
        random_unet(weights=path)
    with pytest.raises(ValueError, match=r"`\.keras` file with fresh_head"):
        random_unet(weights=path, fresh_head=True)


def test_what_differs_inside_an_encoder_is_told_by_its_layer():
    saved = unet(3, encoder=tiny(), widths=(4,) * 5)
    named = named_weights(saved)
    named["encoder/tiny/conv3"] = named["encoder/tiny/conv2"]
    with pytest.raises(ValueError, match=r"it: .*layer 'encoder/tiny/conv3'"):
        assign(saved, named, where="it")
