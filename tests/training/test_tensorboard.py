"""TensorBoard: what it reads of a training."""

import importlib.util
import io

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.training import TensorBoard
from keras_seg.training.callbacks import Validate
from keras_seg.training.pictures import sample_sheet

tensorboard = pytest.importorskip(
    "tensorboard", reason="it isn't installed: keras-seg[tensorboard]"
)


def read(folder):
    import tensorboard.backend.event_processing.plugin_event_accumulator as reader

    accumulator = reader.EventAccumulator(str(folder), size_guidance={"tensors": 0})
    return accumulator.Reload()


def scalars(accumulator, tag):
    """(step, value) of each point."""
    from tensorboard.util.tensor_util import make_ndarray

    return [
        (e.step, float(make_ndarray(e.tensor_proto))) for e in accumulator.Tensors(tag)
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two epochs, of which the second is repeated, and a third, with their scores."""
    folder = tmp_path_factory.mktemp("logs")
    keras.utils.set_random_seed(0)
    source = keras_seg.data.shapes(4, size=(16, 20))
    model = keras_seg.unet(source.num_classes, widths=(2, 4))
    model.compile("sgd", keras_seg.losses.WeightedCrossEntropy(), jit_compile=False)
    scores = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            scores[epoch + 1] = validate.scores.iou
            scores["sheet"] = sample_sheet(self.model, source)

    for first, last in ((0, 2), (1, 3)):
        validate = Validate(source)
        board = TensorBoard(folder, validate)
        model.fit(
            source.batches(2, size=(16, 20), repeat=True),
            steps_per_epoch=2,
            initial_epoch=first,
            epochs=last,
            callbacks=[validate, Keep(), board],
            verbose=0,
        )
    return folder, scores


def test_epochs_are_counted_from_1_and_have_one_point_each(trained):
    folder, _ = trained
    for part, tag in (("train", "epoch_loss"), ("validation", "epoch_mean_iou")):
        steps = [step for step, _ in scalars(read(folder / part), tag)]
        assert steps == [1, 2, 3]


def test_each_class_has_a_curve(trained):
    folder, scores = trained
    events = read(folder / "validation")
    for name in scores[1]:
        found = dict(scalars(events, f"iou/{name}"))
        expected = {step: scores[step][name] for step in (1, 2, 3)}
        np.testing.assert_allclose(
            [found[k] for k in expected], [*expected.values()], rtol=1e-6
        )


def test_each_epoch_has_a_picture_of_predictions(trained):
    from tensorboard.util.tensor_util import make_ndarray

    folder, scores = trained
    events = read(folder / "validation").Tensors("samples")
    assert [event.step for event in events] == [1, 2, 3]
    _, _, png = make_ndarray(events[-1].tensor_proto)
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    np.testing.assert_array_equal(picture, scores["sheet"])


def test_without_the_package_an_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'keras-seg\[tensorboard\]'"):
        TensorBoard(tmp_path)
