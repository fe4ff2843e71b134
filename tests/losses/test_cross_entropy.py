import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg.losses import Dice, Focal, TopKCrossEntropy, WeightedCrossEntropy
from tests.losses.formulas import received_labels, softmax, tensorflow_only

RNG = np.random.default_rng(0)
CLASSES = 4
LABELS = RNG.integers(0, CLASSES, (2, 3, 5))
LABELS[0, 0], LABELS[1, 2, :2] = 255, 255
LOGITS = RNG.normal(size=(2, 3, 5, CLASSES)).astype("float32") * 3
MAP = RNG.uniform(0, 2, (2, 3, 5)).astype("float32")
WEIGHTS = [0.5, 2.0, 0.0, 1.25]


def formula(y, z, w=None, s=1.0, smoothing=0.0, ignore=255):
    """The weighted mean over the labelled pixels, in float64."""
    s = np.broadcast_to(np.float64(s), y.shape)[y != ignore]
    z, y = z[y != ignore].astype("float64"), y[y != ignore].astype(int)
    z = z - z.max(-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    t = (1 - smoothing) * np.eye(z.shape[-1])[y] + smoothing / z.shape[-1]
    sw = s * (np.ones(len(y)) if w is None else np.asarray(w)[y])
    return (sw * -(t * log_p).sum(-1)).sum() / sw.sum()


@pytest.mark.parametrize("class_weights", [None, WEIGHTS], ids=["alike", "weights"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("sample_weight", [None, MAP, MAP[:, :1, :1]])
@pytest.mark.parametrize("from_logits", [True, False])
def test_loss_is_the_formula(class_weights, smoothing, sample_weight, from_logits):
    loss = WeightedCrossEntropy(
        class_weights, label_smoothing=smoothing, from_logits=from_logits
    )
    value = loss(LABELS, LOGITS if from_logits else softmax(LOGITS), sample_weight)
    s = 1.0 if sample_weight is None else sample_weight
    expected = formula(LABELS, LOGITS, class_weights, s, smoothing)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_a_class_of_weight_0_has_loss_0_and_no_gradient(
    value_and_gradient, smoothing
):
    loss = WeightedCrossEntropy(WEIGHTS, label_smoothing=smoothing)
    value, gradient = value_and_gradient(loss, np.full_like(LABELS, 2), LOGITS)
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "float32"])
def test_masks_of_any_type_are_the_same(dtype):
    value = WeightedCrossEntropy()(LABELS.astype(dtype), LOGITS)
    np.testing.assert_allclose(value, formula(LABELS, LOGITS), rtol=1e-5)


def pixel_model(loss, **options):
    """A 1x1 convolution: the smallest segmentation model."""
    layers = [keras.Input((3, 5, 2)), keras.layers.Conv2D(CLASSES, 1, name="logits")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.1), loss=loss, **options)
    return model


@tensorflow_only
@pytest.mark.parametrize(
    ("where", "dtype", "label"),
    [
        ("eager", "int32", -100),
        ("eager", "int64", -100),
        ("eager", "float32", -100),
        ("eager", "uint8", 254),
        ("eager", "uint16", 65_535),
        ("graph", "int32", -100),
        ("graph", "uint16", 65_535),
        ("fit", "uint8", 254),
    ],
)
def test_a_label_that_is_no_class_raises_and_is_named(where, dtype, label):
    labels = LABELS.astype(dtype)
    labels[1, 0, 0] = label
    loss = WeightedCrossEntropy()
    call = {
        "eager": lambda: loss(labels, LOGITS),
        "graph": lambda: tf.function(loss)(tf.constant(labels), LOGITS),
        "fit": lambda: pixel_model(loss).fit(LOGITS[..., :2], labels, verbose=0),
    }[where]
    kind = ValueError if where == "eager" else tf.errors.InvalidArgumentError
    with pytest.raises(kind, match=r"Expected labels 0\.\.3, or 255") as error:
        call()
    assert received_labels(error.value) == [label, label]


@tensorflow_only
def test_class_weights_of_fit_raise_and_name_those_of_the_loss():
    # Of arrays Keras raises itself, before it calls a loss.
    data = tf.data.Dataset.from_tensors((LOGITS[..., :2], LABELS))
    weights = dict(enumerate([1.0, 2.0, 3.0, 4.0]))
    with pytest.raises(ValueError, match=r"`WeightedCrossEntropy\(class_weights="):
        pixel_model(WeightedCrossEntropy()).fit(data, class_weight=weights, verbose=0)


def test_one_hot_masks_raise_and_name_argmax_in_fit_too():
    one_hot = np.eye(CLASSES)[LABELS % CLASSES]
    with pytest.raises(ValueError, match=r"one-hot masks.*argmax\(-1\)"):
        WeightedCrossEntropy()(one_hot, LOGITS)
    with pytest.raises(ValueError, match=r"one-hot masks.*argmax\(-1\)"):
        pixel_model(WeightedCrossEntropy()).fit(LOGITS[..., :2], one_hot, verbose=0)


@tensorflow_only
def test_a_label_beyond_32_bits_raises():
    labels = LABELS.copy()
    labels[1, 0, 0] = 2**32 + 1  # its lowest 32 bits are a class
    with pytest.raises(ValueError, match=f"from {2**32 + 1} to"):
        WeightedCrossEntropy()(labels, LOGITS)


def test_a_mask_scaled_to_0_to_1_raises():
    # Each fraction would be class 0.
    scaled = (LABELS / 255).astype("float32")
    with pytest.raises(ValueError, match=r"scaled to 0\.\.1"):
        WeightedCrossEntropy()(scaled, LOGITS)


def test_a_label_that_is_no_class_never_becomes_nan_under_xla():
    labels = LABELS.copy()
    labels[1, 0, 0], labels[1, 0, 1] = CLASSES, -1
    model = pixel_model(WeightedCrossEntropy(WEIGHTS), jit_compile=True)
    history = model.fit(LOGITS[..., :2], labels, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_fit_takes_a_map_of_weights():
    model = pixel_model(WeightedCrossEntropy(WEIGHTS))
    x = LOGITS[..., :2]
    expected = formula(LABELS, keras.ops.convert_to_numpy(model(x)), WEIGHTS, MAP)
    history = model.fit(x, LABELS, sample_weight=MAP, batch_size=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], [expected], rtol=1e-5)


def test_one_loss_is_one_line_in_the_logs():
    model = pixel_model(WeightedCrossEntropy() + 0.5 * Dice())
    logs = model.fit(LOGITS[..., :2], LABELS, verbose=0).history
    assert list(logs) == ["loss"]


def cross_entropy_of(y, z):
    """-log p of the class of each labelled pixel."""
    return np.array(
        [formula(np.array([c]), logits[None]) for c, logits in zip(y, z, strict=True)]
    )


def test_focal_loss_with_gamma_0_is_cross_entropy():
    value = Focal(0.0, WEIGHTS)(LABELS, LOGITS, MAP)
    expected = WeightedCrossEntropy(WEIGHTS)(LABELS, LOGITS, MAP)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("fraction", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_top_k_cross_entropy_is_the_mean_of_the_hardest(fraction, weights):
    value = TopKCrossEntropy(fraction, weights)(LABELS, LOGITS, MAP)
    y, z, s = (x[LABELS != 255] for x in (LABELS, LOGITS, MAP))
    ce = cross_entropy_of(y, z)
    hardest = ce >= np.sort(ce)[::-1][int(np.ceil(fraction * len(ce))) - 1]
    sw = (s if weights is None else s * np.array(weights)[y])[hardest]
    expected = (sw * ce[hardest]).sum() / sw.sum() if sw.sum() else 0.0
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("fraction", "pixels", "kept"),
    [(0.25, 8, 2), (0.25, 9, 3), (1.0, 7, 7), (0.001, 7, 1), (0.3, 50, 15)],
)
def test_the_number_of_hardest_pixels_is_rounded_up_once(fraction, pixels, kept):
    # The k-th pixel's cross-entropy is k / pixels.
    ce = np.arange(1, pixels + 1) / pixels
    p = np.stack([np.exp(-ce), 1 - np.exp(-ce)], -1)[None, None]
    labels = np.zeros((1, 1, pixels), int)
    value = TopKCrossEntropy(fraction, from_logits=False)(labels, p)
    np.testing.assert_allclose(value, ce[-kept:].mean(), rtol=1e-5)


def test_easy_pixels_have_no_gradient_in_top_k_cross_entropy(value_and_gradient):
    _, gradient = value_and_gradient(TopKCrossEntropy(0.5), LABELS, LOGITS)
    labelled = (LABELS != 255).sum()
    assert gradient.any(axis=-1).sum() == np.ceil(0.5 * labelled)
    assert not gradient[LABELS == 255].any()


# Of both together torch weighs the smoothed part by other classes' weights.
@pytest.mark.parametrize(
    ("weights", "smoothing"), [(None, 0.0), (None, 0.2), (WEIGHTS, 0.0)]
)
def test_loss_and_gradient_are_those_of_torch(value_and_gradient, weights, smoothing):
    torch = pytest.importorskip("torch", reason="PyTorch isn't installed")
    z = torch.tensor(LOGITS.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        z,
        torch.tensor(LABELS),
        weight=None if weights is None else torch.tensor(weights),
        ignore_index=255,
        label_smoothing=smoothing,
    )
    expected.backward()
    loss = WeightedCrossEntropy(weights, label_smoothing=smoothing)
    value, gradient = value_and_gradient(loss, LABELS, LOGITS)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    expected_gradient = z.grad.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_one_pixel_at_least_is_kept():
    hardest = float(TopKCrossEntropy(1e-6)(LABELS, LOGITS))
    each = -np.log(np.take_along_axis(softmax(LOGITS), LABELS[..., None] % CLASSES, -1))
    assert hardest == pytest.approx(each[..., 0][LABELS != 255].max(), rel=1e-5)


@tensorflow_only
def test_a_softmax_in_half_precision_is_noticed_too():
    keras.config.set_dtype_policy("mixed_bfloat16")  # and conftest.py resets it
    x = keras.Input((1, 1, 2))
    model = keras.Model(x, keras.layers.Softmax()(x))
    model.compile("sgd", WeightedCrossEntropy())
    images, labels = np.array([[[[0.0, 16.0]]]]), np.array([[[1]]])
    with pytest.warns(UserWarning, match="from_logits=False"):
        loss = model.evaluate(images, labels, verbose=0)
    assert loss < 1e-5  # of a second softmax it would be 0.3
