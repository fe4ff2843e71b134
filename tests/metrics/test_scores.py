import json

import keras
import numpy as np
import pytest

from keras_seg.losses import WeightedCrossEntropy
from keras_seg.metrics import (
    BoundaryIoU,
    ClassIoU,
    FrequencyWeightedIoU,
    MeanAccuracy,
    MeanDice,
    MeanIoU,
    PixelAccuracy,
    SegmentationScores,
    confusion_matrix,
)

CLASSES = 5
RNG = np.random.default_rng(0)
# Class 4 occurs in neither; class 3 in the truth only.
TRUTH = RNG.choice([0, 1, 2, 3, 255], (6, 7, 9))
PREDICTION = RNG.integers(0, 3, (6, 7, 9))

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)

METRICS = [MeanIoU, PixelAccuracy, MeanAccuracy, FrequencyWeightedIoU, MeanDice]
every_metric = pytest.mark.parametrize("build", METRICS)


def mean_dice_per_image(num_classes, **options):
    return MeanDice(num_classes, per_image=True, **options)


# All that count pixels inherit what `MeanIoU` does, but for this one.
every_count = pytest.mark.parametrize("build", [MeanIoU, mean_dice_per_image])


def count(truth, prediction):
    """Confusion matrix of the pixels with a label."""
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(matrix, (truth[truth != 255], prediction[truth != 255]), 1)
    return matrix


def iou(matrix):
    matrix = matrix.astype("float64")
    with np.errstate(invalid="ignore"):
        return np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))


def formulas(matrix):
    """Each score, its mean over the classes that aren't absent."""
    matrix = matrix.astype("float64")
    tp, true, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid="ignore"):
        return {
            "mean_iou": np.nanmean(iou(matrix)),
            "pixel_accuracy": tp.sum() / matrix.sum(),
            "mean_accuracy": np.nanmean(tp / true),
            "frequency_weighted_iou": np.nansum(true * iou(matrix)) / matrix.sum(),
            "mean_dice": np.nanmean(2 * tp / (true + predicted)),
        }


def updated(metric, truth=TRUTH, prediction=PREDICTION):
    metric.update_state(truth, prediction)
    return metric


def one_hot(ids):
    """Logits whose largest is that of the class."""
    return RNG.normal(size=(*ids.shape, CLASSES)) + 20 * np.eye(CLASSES)[ids]


@every_count
def test_confusion_matrix_has_truth_in_rows_and_prediction_in_columns(build):
    metric = updated(build(CLASSES))
    assert metric.confusion_matrix.dtype == np.int64
    np.testing.assert_array_equal(metric.confusion_matrix, count(TRUTH, PREDICTION))
    assert not (metric.confusion_matrix == metric.confusion_matrix.T).all()
    assert metric.ignored_pixels == (TRUTH == 255).sum()
    assert metric.invalid_pixels == 0


@every_metric
@pytest.mark.parametrize("images", [1, 6])
def test_a_score_is_its_formula(build, images):
    metric = updated(build(CLASSES), TRUTH[:images], PREDICTION[:images])
    expected = formulas(count(TRUTH[:images], PREDICTION[:images]))
    np.testing.assert_allclose(metric.result(), expected[metric.name], rtol=1e-6)


def test_all_scores_come_from_one_matrix():
    metric = updated(SegmentationScores(CLASSES, class_names="abcde", per_class=True))
    expected = formulas(count(TRUTH, PREDICTION))
    of_classes = iou(count(TRUTH, PREDICTION))
    expected |= {f"iou/{name}": of_classes[c] for c, name in enumerate("abcde")}
    result = {name: float(score) for name, score in metric.result().items()}
    assert result == pytest.approx(expected, rel=1e-6, nan_ok=True)
    plain = updated(SegmentationScores(CLASSES)).result()
    assert list(plain) == list(formulas(count(TRUTH, PREDICTION)))


def test_class_iou_is_in_the_logs_by_name():
    result = updated(ClassIoU(CLASSES, class_names="abcde")).result()
    expected = iou(count(TRUTH, PREDICTION))
    assert list(result) == [f"iou/{name}" for name in "abcde"]
    np.testing.assert_allclose(list(result.values()), expected, rtol=1e-6)
    assert list(updated(ClassIoU(2), TRUTH * 0, PREDICTION * 0).result()) == [
        "iou/0",
        "iou/1",
    ]


@pytest.mark.parametrize("build", [ClassIoU, SegmentationScores])
@pytest.mark.parametrize("names", ["abcd", "abcda"])
def test_names_that_are_not_one_for_each_class_raise(build, names):
    with pytest.raises(ValueError, match="Expected `class_names`"):
        build(CLASSES, class_names=list(names))


def test_a_confusion_matrix_without_a_model():
    matrix = confusion_matrix(TRUTH.astype("uint8"), PREDICTION, CLASSES)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, count(TRUTH, PREDICTION))
    unsigned = confusion_matrix(TRUTH, PREDICTION.astype("uint64"), CLASSES)
    np.testing.assert_array_equal(unsigned, matrix)
    again = confusion_matrix(np.where(TRUTH == 255, 9, TRUTH), PREDICTION, 5, ignore=9)
    np.testing.assert_array_equal(again, matrix)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0, 1], [0], "one shape"),
        ([0, 77], [0, 1], r"truth. Received: \[77\]"),
        ([0, -1], [0, 1], r"truth. Received: \[-1\]"),
        ([0, 1], [0, 255], r"prediction. Received: \[255\]"),
        ([0.5, 1.9], [0, 1], "integers in the truth. Received: float64"),
        ([0, 1], [0.0, 1.0], "integers in the prediction. Received: float64"),
    ],
)
def test_a_confusion_matrix_of_what_is_no_class_raises(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(truth, prediction, num_classes=2)


# Of class 0 two pixels of three are found, the third is taken for class 1. No pixel is
# class 1 in the truth; class 2 is absent from truth and prediction.
FEW = np.array([[[0, 0, 0]]]), np.array([[[0, 0, 1]]])


def scores(absent):
    """Each class's scores by hand; `absent` where there is nothing to divide by."""
    return {
        "mean_iou": [2 / 3, 0, absent],
        "mean_accuracy": [2 / 3, absent, absent],
        "mean_dice": [4 / 5, 0, absent],
        "boundary_iou": [2 / 3, 0, absent],  # all are beside the edge of the image
    }


@pytest.mark.parametrize(
    ("absent", "mean"),
    [
        ("skip", lambda name: np.nanmean(scores(np.nan)[name])),
        ("zero", lambda name: np.mean(scores(0)[name])),
        ("one", lambda name: np.mean(scores(1)[name])),
        ("nan", lambda name: np.nan),
    ],
)
def test_an_absent_class_counts_as_told(absent, mean):
    metrics = {
        "mean_iou": MeanIoU(3, absent=absent),
        "mean_accuracy": MeanAccuracy(3, absent=absent),
        "mean_dice": MeanDice(3, absent=absent),
        "boundary_iou": BoundaryIoU(3, absent=absent),
    }
    for name, metric in metrics.items():
        found = updated(metric, *FEW).result()
        np.testing.assert_allclose(found, mean(name), rtol=1e-6, err_msg=name)
    per_image = updated(mean_dice_per_image(3, absent=absent), *FEW).result()
    np.testing.assert_allclose(per_image, mean("mean_dice"), rtol=1e-6)

    joint = updated(SegmentationScores(3, per_class=True, absent=absent), *FEW).result()
    for name in ("mean_iou", "mean_accuracy", "mean_dice"):
        np.testing.assert_allclose(joint[name], mean(name), rtol=1e-6, err_msg=name)
    value = {"zero": 0, "one": 1}.get(absent, np.nan)
    for logs in (joint, updated(ClassIoU(3, absent=absent), *FEW).result()):
        of_classes = [logs[f"iou/{c}"] for c in range(3)]
        np.testing.assert_allclose(of_classes, [2 / 3, 0, value], rtol=1e-6)


def test_absent_classes_change_nothing_where_pixels_are_averaged():
    # So these take no `absent`; joint scores leave theirs as they are.
    for absent in ("skip", "zero", "one", "nan"):
        logs = updated(SegmentationScores(3, absent=absent), *FEW).result()
        assert float(logs["pixel_accuracy"]) == pytest.approx(2 / 3, rel=1e-6)
        assert float(logs["frequency_weighted_iou"]) == pytest.approx(2 / 3, rel=1e-6)


def test_class_iou_is_nan_where_a_class_is_absent():
    scores = updated(MeanIoU(CLASSES)).class_iou()
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, iou(count(TRUTH, PREDICTION)), rtol=1e-12)


def test_class_iou_before_any_pixel_is_nan_and_mean_iou_is_0():
    assert np.isnan(MeanIoU(CLASSES).class_iou()).all()
    assert float(MeanIoU(CLASSES).result()) == 0
    assert float(PixelAccuracy(CLASSES).result()) == 0


@every_metric
def test_all_ignored_is_0_and_not_nan(build):
    metric = updated(build(CLASSES), np.full_like(TRUTH, 255))
    assert float(metric.result()) == 0
    assert metric.ignored_pixels == TRUTH.size


@every_metric
@pytest.mark.parametrize("seed", range(2))
def test_a_perfect_prediction_scores_exactly_1(build, seed):
    rng = np.random.default_rng(seed)
    truth = rng.choice(CLASSES, (3, 50, 50), p=rng.dirichlet(np.ones(CLASSES)))
    assert float(updated(build(CLASSES), truth, truth).result()) == 1.0


@every_metric
def test_a_perfect_prediction_of_many_pixels_scores_exactly_1(build):
    metric = build(num_classes=150)
    rng = np.random.default_rng(0)
    metric.add_matrix(np.diag(rng.integers(1, 2**36, 150)))
    assert float(metric.result()) == 1.0


@every_count
@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_logits_of_any_dtype_are_taken_for_their_largest(build, dtype):
    metric = updated(
        build(CLASSES), prediction=keras.ops.cast(one_hot(PREDICTION), dtype)
    )
    np.testing.assert_array_equal(metric.confusion_matrix, count(TRUTH, PREDICTION))


@every_count
def test_probabilities_are_taken_for_their_largest(build):
    probabilities = keras.ops.softmax(one_hot(PREDICTION))
    metric = updated(build(CLASSES), prediction=probabilities)
    np.testing.assert_array_equal(metric.confusion_matrix, count(TRUTH, PREDICTION))


@every_count
@pytest.mark.parametrize(
    ("dtype", "last_axis"),
    [("uint8", True), ("uint16", False), ("int32", False), ("int64", True)],
)
def test_ids_and_masks_of_any_dtype_with_or_without_a_last_axis(
    build, dtype, last_axis
):
    truth = TRUTH[..., None] if last_axis else TRUTH
    expected = count(TRUTH, PREDICTION)
    for prediction in (PREDICTION, PREDICTION[..., None], one_hot(PREDICTION)):
        of_dtype = prediction if prediction.dtype == float else prediction.astype(dtype)
        metric = updated(build(CLASSES), truth.astype(dtype), of_dtype)
        np.testing.assert_array_equal(metric.confusion_matrix, expected)


@every_count
def test_labels_and_predictions_that_are_no_class_are_counted_as_invalid(build):
    truth = np.array([[[0, 1, -1, 5, 254, 255, 1, 1, 255]]])
    prediction = np.array([[[0, 1, 0, 0, 0, 0, -1, 5, 9]]])
    metric = updated(build(CLASSES), truth, prediction)
    assert metric.invalid_pixels == 5
    assert metric.ignored_pixels == 2
    assert metric.confusion_matrix.sum() == 2
    assert metric.confusion_matrix[0, 0] == metric.confusion_matrix[1, 1] == 1


@every_count
def test_a_fraction_is_no_class(build):
    # A mask that was scaled to 0..1, where each would be class 0.
    truth = np.array([[[0.5, 1 / 255, 1.0, 0.0, 255.0, np.nan]]], "float32")
    metric = updated(build(CLASSES), truth, np.zeros((1, 1, 6), int))
    assert (metric.invalid_pixels, metric.ignored_pixels) == (3, 1)
    assert metric.confusion_matrix.sum() == 2


EVERY_UPDATE = {
    "mean_iou": lambda: MeanIoU(3),
    "mean_dice_per_image": lambda: MeanDice(3, per_image=True),
    "boundary_iou": lambda: BoundaryIoU(3),
}
every_update = pytest.mark.parametrize("name", EVERY_UPDATE)
NAN, INF = np.nan, np.inf


@every_update
@pytest.mark.parametrize(
    ("how", "dtype"),
    [
        ("eager", "float32"),
        ("eager", "float16"),
        ("eager", "bfloat16"),
        ("graph", "float32"),
        ("xla", "float32"),
    ],
)
def test_predictions_that_are_no_numbers_are_invalid(name, how, dtype):
    scores = [
        [1, 3, 2],  # class 1
        [-INF, -INF, 2],  # class 2: the others are ruled out
        [NAN, NAN, NAN],
        [NAN, 3, 2],
        [1, 3, NAN],
        [INF, 3, 2],
        [-INF, -INF, -INF],
        [NAN, NAN, NAN],  # ignored
    ]
    truth = np.array([[[1, 2, 0, 0, 0, 0, 0, 255]]])
    metric = EVERY_UPDATE[name]()
    update = compiled(metric, how)
    update(truth, keras.ops.cast(np.array(scores)[None, None], dtype))
    assert metric.invalid_pixels == 5
    # Classes 1 and 2 are right, and have no other pixels. Class 0 is nowhere predicted:
    # only to boundary IoU, which counts all of the true band, is it missed.
    score = 2 / 3 if name == "boundary_iou" else 1
    assert float(metric.result()) == pytest.approx(score)
    if name != "boundary_iou":
        expected = np.diag([0, 1, 1])
        np.testing.assert_array_equal(metric.confusion_matrix, expected)
    numbers = np.array([[4 * [[1, 3, 2], [-9, -9, 2]]]])
    update(np.array([[4 * [1, 2]]]), keras.ops.cast(numbers, dtype))
    assert metric.invalid_pixels == 5


def compiled(metric, how):
    """`update_state`, in eager mode or compiled."""
    if how == "eager":
        return metric.update_state
    if keras.backend.backend() == "jax":
        import jax

        update = jax.jit(metric.stateless_update_state)

        def update_state(*arrays):
            values = update([v.value for v in metric.variables], *arrays)
            for variable, value in zip(metric.variables, values, strict=True):
                variable.assign(value)

        return update_state
    import tensorflow as tf

    return tf.function(metric.update_state, jit_compile=how == "xla")


def test_a_model_that_gives_nan_scores_0():
    nothing = np.full((*TRUTH.shape, CLASSES), np.nan, "float32")
    logs = updated(SegmentationScores(CLASSES), TRUTH * 0, nothing).result()
    assert [float(score) for score in logs.values()] == [0] * 5


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="NumPy's 64 bits are cut to 32 there"
)
@every_count
def test_an_id_beyond_32_bits_is_invalid(build):
    truth, prediction = np.array([[[2**32 + 1, 1]]]), np.array([[[1, 2**32 + 1]]])
    assert updated(build(CLASSES), truth, prediction).invalid_pixels == 2


@every_count
def test_another_id_can_be_ignored(build):
    metric = updated(build(CLASSES, ignore=-1), np.where(TRUTH == 255, -1, TRUTH))
    np.testing.assert_array_equal(metric.confusion_matrix, count(TRUTH, PREDICTION))
    assert metric.ignored_pixels == (TRUTH == 255).sum()


@every_count
@pytest.mark.parametrize("batch_size", [1, 4, 6])
def test_the_score_is_that_of_the_data_set_at_every_batch_size(build, batch_size):
    metric, whole = build(CLASSES), updated(build(CLASSES))
    for k in range(0, 6, batch_size):
        batch = slice(k, k + batch_size)
        metric.update_state(TRUTH[batch], PREDICTION[batch])
    assert float(metric.result()) == float(whole.result())
    assert metric.ignored_pixels == whole.ignored_pixels


def test_a_pixel_more_than_2_to_the_33_is_still_counted():
    metric = MeanIoU(num_classes=2)
    matrix = np.array([[2**33, 2**33 + 1], [0, 2**40 + 2**20 - 1]])
    metric.add_matrix(matrix)
    metric.update_state([[[0, 1, 1]]], [[[0, 1, 0]]])
    expected = np.add(matrix, [[1, 0], [1, 1]])
    np.testing.assert_array_equal(metric.confusion_matrix, expected)


def test_counts_of_batches_add_up_beyond_2_to_the_32():
    # The most that a batch may have, three times, where integers have 32 bits too.
    metric = PixelAccuracy(2)
    most = 2**31 - 2**20 - 1
    for _ in range(3):
        metric.add_counts(np.array([most, 1, 2, most, most, 3], "int32"))
    assert metric.confusion_matrix.tolist() == [[3 * most, 3], [6, 3 * most]]
    assert (metric.ignored_pixels, metric.invalid_pixels) == (3 * most, 9)
    assert 3 * most > 2**32


@every_metric
def test_the_score_of_more_than_2_to_the_32_pixels_is_its_formula(build):
    metric = build(CLASSES)
    matrix = np.random.default_rng(1).integers(2**33, 2**36, (CLASSES, CLASSES))
    metric.add_matrix(matrix)
    expected = formulas(matrix)[metric.name]
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def test_a_matrix_made_elsewhere_is_added():
    matrix = count(TRUTH[:2], PREDICTION[:2])
    metric, whole = MeanIoU(CLASSES), updated(MeanIoU(CLASSES))
    metric.add_matrix(matrix)
    metric.update_state(TRUTH[2:], PREDICTION[2:])
    np.testing.assert_array_equal(metric.confusion_matrix, whole.confusion_matrix)
    assert float(metric.result()) == float(whole.result())


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((4, 4), int),
        np.zeros(CLASSES**2, int),
        np.zeros((CLASSES, CLASSES)),
        np.full((CLASSES, CLASSES), -1),
    ],
    ids=["size", "rank", "floats", "negative"],
)
def test_a_matrix_that_is_none_raises(matrix):
    with pytest.raises(ValueError, match=r"Expected `matrix`.*Received: "):
        MeanIoU(CLASSES).add_matrix(matrix)


def test_reset_forgets_everything():
    metric = updated(MeanIoU(CLASSES))
    metric.update_state(np.full_like(TRUTH, 77), PREDICTION)
    metric.add_matrix(np.full((CLASSES, CLASSES), 2**40))
    metric.reset_state()
    assert not metric.confusion_matrix.any()
    assert (metric.ignored_pixels, metric.invalid_pixels) == (0, 0)
    again = updated(metric).confusion_matrix
    np.testing.assert_array_equal(again, count(TRUTH, PREDICTION))


@every_count
def test_weights_raise(build):
    weights = np.ones(TRUTH.shape)
    with pytest.raises(ValueError, match="takes no `sample_weight`"):
        build(CLASSES).update_state(TRUTH, PREDICTION, sample_weight=weights)


@every_count
@pytest.mark.parametrize(
    "prediction",
    [PREDICTION[:, :5], PREDICTION[:1], PREDICTION[0], one_hot(PREDICTION)[:, :, :8]],
)
def test_predictions_of_another_size_raise(build, prediction):
    with pytest.raises(ValueError, match=r"Expected masks .* of the size"):
        build(CLASSES).update_state(TRUTH, prediction)


@every_count
@pytest.mark.parametrize("classes", [1, CLASSES - 1, CLASSES + 1])
def test_logits_of_another_number_of_classes_raise(build, classes):
    with pytest.raises(ValueError, match="Expected predictions of 5 classes"):
        build(CLASSES).update_state(TRUTH, np.zeros((*TRUTH.shape, classes)))


@every_count
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"num_classes": 1}, "num_classes"),
        ({"num_classes": 2.5}, "num_classes"),
        ({"num_classes": 256}, "ignore"),
        ({"num_classes": 5, "ignore": 4}, "ignore"),
    ],
)
def test_bad_arguments_raise_and_say_what_was_expected(build, arguments, named):
    with pytest.raises(ValueError, match=rf"Expected `{named}`.*Received: "):
        build(**arguments)


def test_an_unknown_absent_raises():
    with pytest.raises(ValueError, match=r"Expected `absent`.*'skip'.*Received: 'two'"):
        MeanIoU(CLASSES, absent="two")


COMMON = {"num_classes": 2, "ignore": -1, "name": "mine", "dtype": "float64"}
NAMES = {"class_names": ["ground", "cat"], "absent": "one"}


@pytest.mark.parametrize(
    ("build", "own"),
    [
        (MeanIoU, {"absent": "zero"}),
        (PixelAccuracy, {}),
        (MeanAccuracy, {"absent": "one"}),
        (FrequencyWeightedIoU, {}),
        (MeanDice, {"absent": "nan", "per_image": True}),
        (ClassIoU, NAMES),
        (SegmentationScores, NAMES | {"per_class": True}),
        (BoundaryIoU, {"absent": "zero", "distance": 2}),
    ],
)
def test_a_metric_survives_serialisation(build, own):
    saved = keras.saving.serialize_keras_object(build(**COMMON, **own))
    loaded = keras.saving.deserialize_keras_object(json.loads(json.dumps(saved)))
    assert type(loaded) is build
    config = loaded.get_config() | {"dtype": loaded.dtype}
    assert {name: config[name] for name in COMMON | own} == COMMON | own


def metrics_model(metrics, **options):
    """A model whose logits are its images, and stay so: its learning rate is 0."""
    layers = [keras.Input((7, 9, CLASSES)), keras.layers.Dense(CLASSES)]
    model = keras.Sequential(layers)
    model.set_weights([np.eye(CLASSES), np.zeros(CLASSES)])
    adam, loss = keras.optimizers.Adam(0.0), WeightedCrossEntropy()
    model.compile(adam, loss, metrics=metrics, **options)
    return model


OPTIONS = [
    pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
    {"steps_per_execution": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options)))
def test_fit_and_evaluate_log_the_numbers_of_eager_mode(options):
    logits = one_hot(PREDICTION).astype("float32")
    expected = formulas(count(TRUTH, PREDICTION))
    model = metrics_model([SegmentationScores(CLASSES)], **options)
    logs = model.evaluate(logits, TRUTH, batch_size=2, return_dict=True, verbose=0)
    assert {name: logs[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    history = model.fit(logits, TRUTH, batch_size=2, epochs=2, verbose=0).history
    # Equal in both epochs: Keras resets metrics between them.
    for name, value in expected.items():
        np.testing.assert_allclose(history[name], [value] * 2, rtol=1e-6)


def test_a_compiled_model_with_all_metrics_survives_saving(tmp_path):
    metrics = [MeanIoU(CLASSES, absent="one"), *(m(CLASSES) for m in METRICS[1:])]
    metrics += [MeanDice(CLASSES, per_image=True), BoundaryIoU(CLASSES, distance=2)]
    metrics += [ClassIoU(CLASSES, class_names=list("abcde"))]
    model = metrics_model(metrics, run_eagerly=True)
    logits = one_hot(PREDICTION).astype("float32")
    model.fit(logits, TRUTH, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for own, kept in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(kept, own)
    for own, kept in zip(
        model.optimizer.variables, loaded.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(kept, own)
    logs, again = (
        m.evaluate(logits, TRUTH, return_dict=True, verbose=0) for m in (model, loaded)
    )
    assert len(logs) == 1 + len(METRICS) + 2 + CLASSES
    assert again == pytest.approx(logs, rel=1e-6, nan_ok=True)


def test_a_metric_counts_under_fit_with_weights_as_without():
    model = metrics_model([PixelAccuracy(CLASSES)], run_eagerly=True)
    logits, weights = one_hot(PREDICTION), np.zeros(len(TRUTH))
    logs = model.evaluate(
        logits, TRUTH, sample_weight=weights, return_dict=True, verbose=0
    )
    expected = float(updated(PixelAccuracy(CLASSES)).result())
    assert logs["pixel_accuracy"] == expected


@every_metric
def test_the_score_is_float32_under_a_mixed_policy(build):
    keras.config.set_dtype_policy("mixed_float16")  # and conftest.py resets it
    result = updated(build(CLASSES)).result()
    assert keras.backend.standardize_dtype(result.dtype) == "float32"


def test_class_names_may_be_an_array():
    names = np.array(["ground", "cat"])
    logs = updated(ClassIoU(2, class_names=names), TRUTH * 0, PREDICTION * 0).result()
    assert list(logs) == ["iou/ground", "iou/cat"]


def test_ids_of_the_shape_of_logits_raise_and_say_what_was_expected():
    with pytest.raises(ValueError, match="Expected masks"):
        MeanIoU(4).update_state(np.zeros((1, 2, 2), int), np.zeros((1, 2, 2, 4), int))


@tensorflow_only
@pytest.mark.parametrize("how", ["graph", "xla"])
def test_counts_are_made_on_a_cpu_where_ops_are_deterministic(monkeypatch, how):
    """TensorFlow's kernel for GPUs refuses to be."""
    import tensorflow as tf
    from tensorflow.python.framework import config

    def devices():
        metric = MeanIoU(CLASSES)
        update = tf.function(metric.update_state, jit_compile=how == "xla")
        update(TRUTH, PREDICTION)
        np.testing.assert_array_equal(metric.confusion_matrix, count(TRUTH, PREDICTION))
        graph = update.get_concrete_function(TRUTH, PREDICTION).graph
        ops = [op for op in graph.get_operations() if op.type == "DenseBincount"]
        return [op.device for op in ops]

    assert devices() == [""]
    monkeypatch.setattr(config, "is_op_determinism_enabled", lambda: True)
    assert devices() == ["/device:CPU:*"]
