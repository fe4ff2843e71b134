"""What the demo's page is told, and what it says without Gradio or a port."""

import base64
import io
import json
import socket
import sys

import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.demo import Answers, answer, serving
from keras_seg.inference.nets import Net
from keras_seg.palette import color_map

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (40, 60, 3), np.uint8)


class OfRed(Net):
    """Class 1 where a pixel's red, or grey, is above a half; as an export would say."""

    are_probabilities = True
    num_classes = 2

    def __init__(self, channels=3, **metadata):
        self.input_shape = (None, None, channels)
        self.metadata = metadata

    def scores(self, images):
        is_red = images[..., 0] > 127
        return np.stack([~is_red, is_red], -1).astype(np.float32)

    def masks(self, images):
        return self.scores(images).argmax(-1).astype(np.uint8), np.ones(1, bool)


def picture(url):
    kind, _, text = url.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    assert kind == f"data:image/{image.format.lower()}"
    return image


def test_an_answer_has_photo_mask_names_and_colors_in_json(model):
    told = json.loads(json.dumps(Answers(model, ["a", "b", "c"])(PHOTO)))
    mask = picture(told["mask"])
    assert mask.mode == "L"
    assert np.array_equal(mask, keras_seg.predict_mask(model, PHOTO))
    assert picture(told["photo"]).size == (60, 40)
    assert told["size"] == [60, 40]
    assert told["names"] == ["a", "b", "c"]
    assert told["colors"] == color_map(3).tolist()
    assert told["seconds"] >= 0


def test_names_and_colors_are_those_that_an_export_holds():
    answers = Answers(
        OfRed(class_names=["blue", "red"], palette=[[0, 0, 9], [9, 0, 0]])
    )
    assert answers.class_names == ["blue", "red"]
    assert answers.palette.tolist() == [[0, 0, 9], [9, 0, 0]]
    assert Answers(OfRed()).class_names == ["class 0", "class 1"]
    assert Answers(OfRed()).palette.tolist() == color_map(2).tolist()


def test_a_large_photo_is_shown_smaller_but_predicted_whole(monkeypatch):
    monkeypatch.setattr(answer, "_SHOWN", 30)
    told = Answers(OfRed())(PHOTO)
    assert told["size"] == [60, 40]
    mask = np.asarray(picture(told["mask"]))
    assert picture(told["photo"]).size == (30, 20)
    # Every second pixel is one of the four that it stands for.
    blocks = (PHOTO[..., 0] > 127).reshape(20, 2, 30, 2).transpose(0, 2, 1, 3)
    assert mask.shape == (20, 30)
    assert (blocks == mask[..., None, None]).any((2, 3)).all()


def test_a_model_of_grey_images_gets_grey_ones():
    answers = Answers(OfRed(channels=1))
    assert answers.channels == 1
    grey = PHOTO[..., 0]
    assert np.array_equal(picture(answers(grey)["mask"]), grey > 127)


def test_a_model_of_other_images_is_refused():
    with pytest.raises(ValueError, match=r"Received: one of 4 channels"):
        Answers(OfRed(channels=4))


def test_a_model_of_picked_channels_gets_them_of_a_photo():
    model = OfRed(channels=2)
    answers = Answers(model, bands=(2, 0))
    assert answers.channels == 3  # the page gives RGB
    told = answers(PHOTO)
    assert np.array_equal(picture(told["mask"]), PHOTO[..., 2] > 127)
    assert picture(told["photo"]).mode == "RGB"
    model.bands = (1, 2)  # as an export says
    assert np.array_equal(picture(Answers(model)(PHOTO)["mask"]), PHOTO[..., 1] > 127)
    with pytest.raises(ValueError, match=r"`bands` for a model of 2 channels.*1 \(0\)"):
        Answers(model, bands=(0,))


def test_a_model_of_what_photos_do_not_have_is_refused():
    with pytest.raises(ValueError, match=r"Received: one of channels 3, 0, 1, which a"):
        Answers(OfRed(), bands=(3, 0, 1))
    net = OfRed()
    for value_range in ((0, 4095), (0, 1)):
        net.value_range = value_range
        with pytest.raises(
            ValueError, match=rf"images in 0\.\.{value_range[1]}, which"
        ):
            Answers(net)
    net.value_range = (20, 90)  # measured in photos
    Answers(net)


def test_pixels_without_data_are_ignored_and_black_to_the_model():
    photo = PHOTO.copy()
    photo[:20, :30] = 200  # all channels: no data
    photo[30:, :, 0] = 200  # one channel: a colour
    mask = np.asarray(picture(Answers(OfRed(), nodata=200)(photo)["mask"]))
    assert (mask[:20, :30] == 255).all()
    assert np.array_equal(mask[20:], photo[20:, :, 0] > 127)

    class Seen(OfRed):
        def scores(self, images):
            self.images = images
            return super().scores(images)

    net = Seen()
    net.value_range = (20, 250)
    Answers(net, nodata=200)(photo)
    expected = photo.copy()
    expected[:20, :30] = 20
    assert np.array_equal(net.images[0, :40, :60], expected)


def test_as_many_names_and_colors_as_classes_are_expected():
    with pytest.raises(ValueError, match=r"Expected 2 class names.*Received: 3 names"):
        Answers(OfRed(), ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"colours \(3, 3\)"):
        Answers(OfRed(), ["a", "b"], color_map(3))


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with (
        pytest.raises(ImportError, match=r"pip install 'keras-seg\[demo\]'"),
        serving(Answers(OfRed())),
    ):
        pass


def test_a_port_that_is_taken_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(OSError, match=rf"Expected a free `port`. Received: {port}"),
            serving(Answers(OfRed()), port=port),
        ):
            pass
