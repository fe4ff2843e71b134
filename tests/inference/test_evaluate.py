"""evaluate: one set of numbers, whatever way they are come by."""

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.data import Source, arrays, shapes
from keras_seg.inference.evaluate import batches_of_one_size

CLASSES = 6
NAMES = ("background", "disc", "square", "triangle", "ring", "cross")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras_seg.unet(CLASSES, widths=(4, 8))


@pytest.fixture(scope="module")
def source() -> Source:
    """Nine images of three sizes, in turn."""
    parts = [shapes(3, size=size, seed=k) for k, size in enumerate(SIZES)]
    examples = [part[k] for k in range(3) for part in parts]
    return arrays(*map(list, zip(*examples, strict=True)), class_names=NAMES)


SIZES = [(17, 31), (24, 16), (31, 17)]


def counted(model, source):
    """The confusion matrix of `predict_mask`, image by image, in NumPy."""
    matrix, ignored = np.zeros((CLASSES, CLASSES), int), 0
    for k in range(len(source)):
        image, truth = source[k]
        prediction = keras_seg.predict_mask(model, image)
        for true, predicted in zip(truth.ravel(), prediction.ravel(), strict=True):
            if true == 255:
                ignored += 1
            else:
                matrix[true, predicted] += 1
    return matrix, ignored


def test_scores_are_those_of_predict_mask_image_by_image(model, source):
    scores = keras_seg.evaluate(model, source)
    matrix, ignored = counted(model, source)
    # In batches a tie may fall to the other side; here are 4,500 pixels.
    assert np.abs(scores.confusion_matrix - matrix).sum() <= 4
    assert scores.confusion_matrix.sum() == matrix.sum()
    assert (scores.ignored_pixels, scores.invalid_pixels) == (ignored, 0)
    assert scores.images == 9

    matrix = scores.confusion_matrix.astype(float)
    both = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - both
    assert len(scores.iou) == CLASSES
    for value, b, u in zip(scores.iou.values(), both, union, strict=True):
        assert value == pytest.approx(b / u, abs=1e-6) if u else np.isnan(value)
    present = union > 0
    expected = (both[present] / union[present]).mean()
    assert scores.mean_iou == pytest.approx(expected, abs=1e-6)
    assert scores.pixel_accuracy == pytest.approx(both.sum() / matrix.sum(), abs=1e-6)


def test_images_of_one_size_are_predicted_together_and_none_is_padded(
    model, source, monkeypatch
):
    shapes_seen = []
    predict = model.predict_on_batch

    def look(images):
        shapes_seen.append(images.shape)
        return predict(images)

    monkeypatch.setattr(model, "predict_on_batch", look)
    keras_seg.evaluate(model, source)
    assert sorted(shapes_seen) == sorted((3, *size, 3) for size in SIZES)


def sizes(batches):
    return [images.shape[:2] for images, _ in batches]


def test_a_batch_has_a_limit_of_pixels(source):
    one_at_a_time = batches_of_one_size(source, batch_pixels=1)
    assert sizes(one_at_a_time) == [(1, height) for height, _ in SIZES * 3]
    # 2 x 17 x 31 pixels hold two images of two sizes, and of the other size two.
    pairs = sizes(batches_of_one_size(source, batch_pixels=2 * 17 * 31))
    assert pairs == [(2, 17), (2, 24), (2, 31), (1, 17), (1, 24), (1, 31)]


def test_few_images_wait_for_others_of_their_size(source):
    # When three sizes wait, the one that came first goes, though it has one image.
    waiting = 17 * 31 + 24 * 16
    batches = batches_of_one_size(source, waiting_pixels=waiting)
    assert sizes(batches) == [(1, height) for height, _ in SIZES * 3]


def test_the_loss_is_the_mean_over_images_whatever_the_batches(source):
    model = keras_seg.unet(CLASSES, widths=(4, 8))
    assert keras_seg.evaluate(model, source).loss is None
    model.compile("sgd", keras_seg.losses.WeightedCrossEntropy())
    expected = []
    for k in range(len(source)):
        image, truth = source[k]
        probabilities = keras_seg.predict(model, image)
        labelled = truth != 255
        chosen = probabilities[labelled, truth[labelled]]
        expected.append(-np.log(chosen).mean())
    scores = keras_seg.evaluate(model, source)
    assert scores.loss == pytest.approx(np.mean(expected), rel=1e-5)
    assert scores.as_dict()["loss"] == scores.loss


def test_nan_is_no_prediction(source):
    model = keras_seg.unet(CLASSES, widths=(4, 8))
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    with pytest.raises(ValueError, match=r"Expected finite outputs.*NaN"):
        keras_seg.evaluate(model, source)


def test_a_model_of_other_classes_or_channels_is_refused(source):
    with pytest.raises(ValueError, match=r"a model of 6 classes.*one of 4"):
        keras_seg.evaluate(keras_seg.unet(4, widths=(2, 2)), source)
    grey = keras_seg.unet(CLASSES, widths=(2, 2), input_shape=(None, None, 1))
    with pytest.raises(ValueError, match=r"images of 1 channels.*3 channels"):
        keras_seg.evaluate(grey, source)


def test_scores_print_as_a_table():
    matrix = np.array([[6, 2, 0], [0, 2, 0], [0, 0, 0]])
    scores = keras_seg.Scores(("ground", "cat", "dog"), matrix, 1234, 0, 7)
    assert str(scores) == (
        "class              IoU\n"
        "ground           0.750\n"
        "cat              0.500\n"
        "dog             absent\n"
        "\n"
        "mean IoU         0.625\n"
        "pixel accuracy   0.800\n"
        "ignored pixels   1,234\n"
        "images               7"
    )


def test_what_is_no_source_of_examples_is_named(model, source):
    with pytest.raises(TypeError, match=r"a Source.*Dataset"):
        keras_seg.evaluate(model, source.whole_images())
    with pytest.raises(ValueError, match="a Source without any"):
        keras_seg.evaluate(model, source[[]])
    with pytest.raises(ValueError, match=r"source\[0\]"):
        keras_seg.predict_mask(model, source)
