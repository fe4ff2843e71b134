"""evaluate: one set of numbers, whatever way they are come by."""

import itertools

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.data import Source, arrays, shapes
from keras_seg.inference import nets, opened
from keras_seg.inference.evaluation import batches_of_one_size
from keras_seg.inference.scores import bootstrap_interval

CLASSES = 6
NAMES = ("background", "disc", "square", "triangle", "ring", "cross")


def small(activation=None):
    """A convolution that sees four pixels to each side."""
    keras.utils.set_random_seed(0)
    scaled = keras.layers.Rescaling(1 / 64)(image := keras.Input((None, None, 3)))
    x = keras.layers.Conv2D(CLASSES, 9, padding="same", name="score")(scaled)
    return keras.Model(image, keras.layers.Softmax()(x) if activation else x)


@pytest.fixture(scope="module")
def model():
    return small()


@pytest.fixture(scope="module")
def source() -> Source:
    """Nine images of three sizes, in turn."""
    parts = [shapes(3, size=size, seed=k) for k, size in enumerate(SIZES)]
    examples = [part[k] for k in range(3) for part in parts]
    return arrays(*map(list, zip(*examples, strict=True)), class_names=NAMES)


SIZES = [(17, 31), (24, 16), (31, 17)]


def counted(model, source, **options):
    """The confusion matrix of `predict_mask`, image by image, in NumPy."""
    matrix, ignored = np.zeros((CLASSES, CLASSES), int), 0
    for k in range(len(source)):
        image, truth = source[k]
        prediction = keras_seg.predict_mask(model, image, **options)
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
    predict = nets.predict_on_batch

    def look(model, images):
        shapes_seen.append(images.shape)
        return predict(model, images)

    monkeypatch.setattr(nets, "predict_on_batch", look)
    keras_seg.evaluate(model, source)
    assert sorted(shapes_seen) == sorted((3, *size, 3) for size in SIZES)


def test_batches_that_do_not_fit_into_memory_are_divided(model, source, monkeypatch):
    together = []
    net = opened.as_net(model)
    scores = net.scores
    monkeypatch.setattr(net, "largest", 3 * 24 * 16)
    monkeypatch.setattr(
        net, "scores", lambda images: together.append(len(images)) or scores(images)
    )
    keras_seg.evaluate(model, source)
    assert together == [1] * 3 + [3] + [1] * 3


def sizes(batches):
    return [images.shape[:2] for _, images, _ in batches]


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
    model = small()
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


def test_the_loss_is_that_of_the_last_compile_and_of_the_weights_of_now():
    source = keras_seg.data.shapes(2, size=(16, 20))
    layer = keras.layers.Conv2D(6, 1, kernel_regularizer=keras.regularizers.L2(0.1))
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layer(inputs))
    kernel = np.random.default_rng(0).normal(0, 0.01, (1, 1, 3, 6))

    def check(loss, kernel):
        layer.kernel.assign(kernel)
        losses = [
            float(loss(mask[None], model.predict(image[None], verbose=0)))
            for image, mask in (source[0], source[1])
        ]
        expected = np.mean(losses) + 0.1 * (kernel**2).sum()
        assert keras_seg.evaluate(model, source).loss == pytest.approx(expected, 1e-5)

    for loss in (keras_seg.losses.WeightedCrossEntropy(), keras_seg.losses.Dice()):
        model.compile("sgd", loss)
        check(loss, kernel)
        check(loss, 5 * kernel)


def test_nan_is_no_prediction(source):
    model = small()
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
        "class      IoU  precision  recall    Dice\n"
        "ground   0.750      1.000   0.750   0.857\n"
        "cat      0.500      0.500   1.000   0.667\n"
        "dog     absent     absent  absent  absent\n"
        "\n"
        "mean IoU        0.625\n"
        "pixel accuracy  0.800\n"
        "ignored pixels  1,234\n"
        "images              7"
    )


def test_what_is_no_source_of_examples_is_named(model, source):
    with pytest.raises(TypeError, match=r"a Source.*Dataset"):
        keras_seg.evaluate(model, source.whole_images())
    with pytest.raises(ValueError, match="a Source without any"):
        keras_seg.evaluate(model, source[[]])
    with pytest.raises(ValueError, match=r"source\[0\]"):
        keras_seg.predict_mask(model, source)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": 16, "overlap": 0.5},
        {"flips": True, "scales": (0.5, 1.0)},
        {"tile": 20, "flips": True, "scales": (1.5,)},
    ],
)
def test_scores_by_tiles_flips_and_scales_are_those_of_predict_mask(
    model, source, options
):
    source = source[:3]  # one of each size
    scores = keras_seg.evaluate(model, source, **options)
    matrix, ignored = counted(model, source, **options)
    assert np.abs(scores.confusion_matrix - matrix).sum() <= 4
    assert scores.ignored_pixels == ignored
    plain = keras_seg.evaluate(model, source).confusion_matrix
    assert np.abs(scores.confusion_matrix - plain).sum() > 10


def test_images_too_large_for_the_memory_are_scored_as_predict_mask_predicts_them(
    model, source, monkeypatch
):
    source = source[:3]  # one of each size
    expected = keras_seg.evaluate(model, source, tile=16)
    monkeypatch.setattr(opened.as_net(model), "largest", 16 * 16)
    monkeypatch.setattr("keras_seg.inference.blocks._TILES", [16])
    with pytest.warns(UserWarning, match=r"go by tiles of 16 x 16"):
        scores = keras_seg.evaluate(model, source)
    np.testing.assert_array_equal(scores.confusion_matrix, expected.confusion_matrix)


def cross_entropy(model, source, **options):
    """Mean of -log p over the labelled pixels of each image."""
    losses = []
    for k in range(len(source)):
        image, truth = source[k]
        labelled = truth != 255
        probabilities = keras_seg.predict(model, image, **options)
        losses.append(-np.log(probabilities[labelled, truth[labelled]]).mean())
    return np.array(losses)


@pytest.mark.parametrize(
    ("options", "activation", "compiled"),
    [
        ({}, None, False),
        ({"flips": True}, None, True),
        ({"tile": (20, 24)}, "softmax", True),
    ],
)
def test_images_are_in_the_order_of_their_loss(source, options, activation, compiled):
    source = source[:4]
    model = small(activation)
    if compiled:
        from_logits = activation is None
        loss = keras_seg.losses.WeightedCrossEntropy(from_logits=from_logits)
        model.compile("sgd", loss)
    expected = cross_entropy(model, source, **options)
    scores = keras_seg.evaluate(model, source, **options)
    np.testing.assert_allclose(scores.image_losses, expected, rtol=1e-4)
    worst = scores.worst_images()
    order = np.argsort(-expected)
    assert [image.name for image in worst] == [source.names[k] for k in order]
    np.testing.assert_allclose([x.loss for x in worst], expected[order], rtol=1e-4)
    assert worst[:2] == scores.worst_images(2)
    # The IoU of the worst image alone.
    alone = keras_seg.evaluate(model, source[[int(order[0])]], **options)
    assert worst[0].mean_iou == pytest.approx(alone.mean_iou, abs=1e-3)


def test_images_of_a_model_without_probabilities_are_ordered_by_their_errors(source):
    keras.utils.set_random_seed(0)
    sigmoid = keras.layers.Conv2D(CLASSES, 1, activation="sigmoid")
    model = keras.Sequential([keras.Input((None, None, 3)), sigmoid])
    scores = keras_seg.evaluate(model, source)
    expected = []
    for k in range(len(source)):
        image, truth = source[k]
        wrong = keras_seg.predict_mask(model, image) != truth
        expected.append(wrong[truth != 255].mean())
    np.testing.assert_allclose(scores.image_losses, expected, atol=1e-2)


def test_an_image_without_labels_is_no_bad_image(model):
    images = [np.zeros((8, 8, 3), "uint8")] * 2
    masks = [np.full((8, 8), 255), np.zeros((8, 8), int)]
    scores = keras_seg.evaluate(model, arrays(images, masks, class_names=NAMES))
    assert [np.isnan(image.loss) for image in scores.worst_images()] == [False, True]
    assert np.isnan(scores.worst_images()[1].mean_iou)


def test_scores_of_classes_are_shares_of_their_pixels(model, source):
    scores = keras_seg.evaluate(model, source, boundary=2)
    truth, found = [], []
    metric = keras_seg.metrics.BoundaryIoU(CLASSES, distance=2)
    for k in range(len(source)):
        image, mask = source[k]
        prediction = keras_seg.predict_mask(model, image)
        metric.update_state(mask[None], prediction[None])
        truth.append(mask[mask != 255])
        found.append(prediction[mask != 255])
        is_true, is_found = (
            np.arange(CLASSES) == x[-1][:, None] for x in (truth, found)
        )
        hits, unions = (is_true & is_found).sum(0), (is_true | is_found).sum(0)
        # In batches a tie may fall to the other side.
        assert np.abs(scores.image_hits[k] - hits).sum() <= 2 < hits.sum()
        assert np.abs(scores.image_unions[k] - unions).sum() <= 2
    assert scores.boundary_iou == pytest.approx(float(metric.result()), abs=2e-3)
    truth, found = np.concatenate(truth), np.concatenate(found)
    for c, name in enumerate(NAMES):
        both = ((truth == c) & (found == c)).sum()
        expected = {
            "precision": (both, (found == c).sum()),
            "recall": (both, (truth == c).sum()),
            "dice": (2 * both, (found == c).sum() + (truth == c).sum()),
        }
        for score, (hits, pixels) in expected.items():
            value = getattr(scores, score)[name]
            share = hits / pixels if pixels else np.nan
            assert value == pytest.approx(share, abs=2e-3, nan_ok=True)


@pytest.mark.parametrize("boundary", [0, -1, 1.5, np.nan, "2", True])
def test_a_boundary_without_pixels_is_refused(model, source, boundary):
    with pytest.raises(ValueError, match=r"`boundary` to be pixels.*Received: "):
        keras_seg.evaluate(model, source, boundary=boundary)


def test_the_interval_is_that_of_images_drawn_anew():
    # Of four images all 256 draws can be made.
    rng = np.random.default_rng(3)
    unions = rng.integers(1, 100, (4, 3))
    unions[1:, 2] = 0  # a class that most draws lack
    hits = (unions * rng.random((4, 3))).astype(int)
    scores = []
    for draw in itertools.product(range(4), repeat=4):
        h, u = hits[[*draw]].sum(0), unions[[*draw]].sum(0)
        scores.append((h[u > 0] / u[u > 0]).mean())
    expected = np.percentile(scores, [2.5, 97.5])
    found = bootstrap_interval(hits, unions)
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert found == bootstrap_interval(hits, unions)  # no other seed
    assert np.isnan(bootstrap_interval(hits[:1], unions[:1])).all()


def test_the_interval_holds_the_score(model, source):
    scores = keras_seg.evaluate(model, source)
    low, high = scores.mean_iou_interval
    assert 0 <= low < scores.mean_iou < high <= 1
    assert f"95 % interval   {low:.3f} to {high:.3f}" in str(scores)
    low, high = scores.pixel_accuracy_interval
    assert 0 <= low < scores.pixel_accuracy < high <= 1


def test_intervals_of_other_scores_are_of_the_same_draws():
    # Two images: both, twice the one, or twice the other, 1/2, 1/4 and 1/4 of the draws
    matrices = np.array([[[6, 2, 0], [0, 2, 0]], [[1, 3, 0], [2, 4, 0]]])
    matrices = np.concatenate([matrices, np.zeros((2, 1, 3), int)], axis=1)
    hits = matrices.diagonal(axis1=1, axis2=2)
    unions = matrices.sum(1) + matrices.sum(2) - hits
    scores = keras_seg.Scores(
        ("ground", "cat", "dog"), matrices.sum(0), image_hits=hits, image_unions=unions
    )
    assert scores.pixel_accuracy_interval == (5 / 10, 8 / 10)
    assert scores.iou_interval["ground"] == (1 / 6, 6 / 8)
    assert scores.iou_interval["cat"] == (4 / 9, 2 / 4)
    assert np.isnan(scores.iou_interval["dog"]).all()
    written = scores.as_json()
    assert written["pixel_accuracy_interval"] == [5 / 10, 8 / 10]
    assert written["iou_interval"]["dog"] is None


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow writes SavedModels"
)
def test_a_saved_model_has_the_scores_of_the_model(model, source, tmp_path):
    path = tmp_path / "export"
    keras_seg.export(model, path)
    expected = keras_seg.evaluate(model, source)
    scores = keras_seg.evaluate(path, source)
    difference = scores.confusion_matrix - expected.confusion_matrix
    assert np.abs(difference).sum() <= 8
    np.testing.assert_allclose(scores.image_losses, expected.image_losses, rtol=1e-4)
    image, _ = source[0]
    options = {"tile": 20, "scales": (0.5, 1.0), "flips": True}
    np.testing.assert_allclose(
        keras_seg.predict(path, image, **options),
        keras_seg.predict(model, image, **options),
        atol=5e-3,  # resized images are rounded for it
    )
    mask = keras_seg.predict_mask(str(path), image)
    assert (mask == keras_seg.predict_mask(model, image)).mean() > 0.99


def test_what_is_no_saved_model_is_named(model, source, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"`export` wrote at .*nothing\. There is nothing"
    ):
        keras_seg.evaluate(tmp_path / "nothing", source)
    model.save(tmp_path / "model.keras")
    with pytest.raises(FileNotFoundError, match="load_model"):
        keras_seg.evaluate(tmp_path / "model.keras", source)
    (tmp_path / "saved_model.pb").write_bytes(b"no protobuf")
    with pytest.raises(ValueError, match=r"SavedModel that keras_seg\.export wrote"):
        keras_seg.evaluate(tmp_path, source)
