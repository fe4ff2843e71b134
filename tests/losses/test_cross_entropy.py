import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import unet
from keras_seg.losses import Focal, TopKCrossEntropy, WeightedCrossEntropy
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


def test_gradient_is_that_of_the_formula(value_and_gradient):
    weights = np.array(WEIGHTS)
    _, gradient = value_and_gradient(WeightedCrossEntropy(WEIGHTS), LABELS, LOGITS, MAP)
    label = np.where(LABELS == 255, 0, LABELS)
    sw = MAP * weights[label] * (LABELS != 255)
    expected = sw[..., None] / sw.sum() * (softmax(LOGITS) - np.eye(CLASSES)[label])
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("label", "class_weights", "sample_weight"),
    [(255, None, None), (2, WEIGHTS, None), (0, None, np.zeros((2, 3, 5), "float32"))],
    ids=["all ignored", "all of a class of weight 0", "all of sample_weight 0"],
)
def test_a_batch_without_weight_has_loss_0_and_no_gradient(
    value_and_gradient, label, class_weights, sample_weight, smoothing
):
    loss = WeightedCrossEntropy(class_weights, label_smoothing=smoothing)
    labels = np.full_like(LABELS, label)
    value, gradient = value_and_gradient(loss, labels, LOGITS, sample_weight)
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros_like(LOGITS))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "float32"])
@pytest.mark.parametrize("last_axis", [False, True])
def test_masks_of_any_type_with_or_without_a_last_axis_are_the_same(dtype, last_axis):
    labels = LABELS.astype(dtype)
    value = WeightedCrossEntropy()(labels[..., None] if last_axis else labels, LOGITS)
    np.testing.assert_allclose(value, formula(LABELS, LOGITS), rtol=1e-5)


def pixel_model(loss, **options):
    """A 1x1 convolution: the smallest segmentation model."""
    layers = [keras.Input((3, 5, 2)), keras.layers.Conv2D(CLASSES, 1, name="logits")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.1), loss=loss, **options)
    return model


@tensorflow_only
@pytest.mark.parametrize("label", [CLASSES, 254, -1])
@pytest.mark.parametrize("where", ["graph", "fit"])
def test_a_label_that_is_no_class_raises_and_is_named(label, where):
    labels = LABELS.copy()
    labels[1, 0, 0] = label
    loss = WeightedCrossEntropy()
    call = {
        "graph": lambda: tf.function(loss)(tf.constant(labels), LOGITS),
        "fit": lambda: pixel_model(loss).fit(LOGITS[..., :2], labels, verbose=0),
    }[where]
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        call()
    assert "Expected labels 0..3, or 255" in error.value.message
    lowest, highest = received_labels(error.value)
    assert label == (lowest if label < 0 else highest)


@tensorflow_only
def test_a_label_beyond_32_bits_raises():
    labels = LABELS.copy()
    labels[1, 0, 0] = 2**32 + 1  # its lowest 32 bits are a class
    with pytest.raises(tf.errors.InvalidArgumentError):
        WeightedCrossEntropy()(labels, LOGITS)


@tensorflow_only
def test_a_mask_scaled_to_0_to_1_raises():
    # Each fraction would be class 0.
    scaled = (LABELS / 255).astype("float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"scaled to 0\.\.1"):
        WeightedCrossEntropy()(scaled, LOGITS)


def test_a_label_that_is_no_class_never_becomes_nan_under_xla():
    labels = LABELS.copy()
    labels[1, 0, 0], labels[1, 0, 1] = CLASSES, -1
    model = pixel_model(WeightedCrossEntropy(WEIGHTS), jit_compile=True)
    history = model.fit(LOGITS[..., :2], labels, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize(("ignore", "num_classes"), [(255, 256), (0, 4)])
def test_an_ignore_that_is_a_class_raises(ignore, num_classes):
    # Else pixels without a label would be learnt as that class.
    labels, logits = np.full((1, 2, 2), ignore), np.zeros((1, 2, 2, num_classes), "f")
    with pytest.raises(ValueError, match=rf"Expected `ignore`.*ignore={ignore}"):
        WeightedCrossEntropy(ignore=ignore)(labels, logits)


def test_fit_takes_a_map_of_weights():
    model = pixel_model(WeightedCrossEntropy(WEIGHTS))
    x = LOGITS[..., :2]
    expected = formula(LABELS, keras.ops.convert_to_numpy(model(x)), WEIGHTS, MAP)
    history = model.fit(x, LABELS, sample_weight=MAP, batch_size=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], [expected], rtol=1e-5)


def test_one_loss_is_one_line_in_the_logs():
    model = unet(num_classes=CLASSES, widths=(2, 2))
    model.compile("sgd", loss=WeightedCrossEntropy())
    logs = model.fit(np.zeros((2, 3, 5, 3)), LABELS, verbose=0).history
    assert list(logs) == ["loss"]


REPLICAS = """
import json
import keras, numpy as np, tensorflow as tf
from keras_seg.losses import Dice, Lovasz, TopKCrossEntropy, WeightedCrossEntropy

(cpu,) = tf.config.list_physical_devices("CPU")
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])
# One for all: a second one in this process would meet the collectives of the first.
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert mirrored.num_replicas_in_sync == 2

weights = [0.5, 2.0, 1.0, 3.0]
loss = WeightedCrossEntropy(weights, label_smoothing=0.1) + Dice() + Lovasz()
loss = loss + TopKCrossEntropy(0.3, weights)

def train(strategy, loss, images, masks):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, padding="same")]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.SGD(0.5), loss=loss)
    data = tf.data.Dataset.from_tensor_slices((images, masks)).batch(4)
    logged = model.fit(data, verbose=0).history["loss"]
    return logged, [w.tolist() for w in model.get_weights()]

rng = np.random.default_rng(0)
# The last batch has 3 images: one replica gets two of them, the other one.
images = rng.normal(size=(11, 8, 8, 3)).astype("float32")
masks = rng.integers(0, 4, (12, 64))
results = {}
for ignored in (0, 90):
    # From the first image of each batch on, so that replicas have unequal shares.
    batches = masks.reshape(3, 256).copy()
    batches[:, : 256 * ignored // 100] = 255
    batch = (images, batches.reshape(12, 8, 8)[:11])
    if ignored:
        batch[1][-1, :2] = 1
    one = train(tf.distribute.get_strategy(), loss, *batch)
    two = train(mirrored, loss, *batch)
    results[ignored] = {"one": one, "two": two}
print("RESULTS", json.dumps(results))
"""


@tensorflow_only
def test_two_replicas_take_the_steps_of_one_device():
    # In a process of its own: devices are split before TensorFlow starts.
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.split("RESULTS")[1])
    assert results.keys() == {"0", "90"}  # percent of the pixels that are ignored
    for result in results.values():
        (logged, weights), (logged_of_two, weights_of_two) = (
            result["one"],
            result["two"],
        )
        assert any(weights[1])  # the bias, which starts at 0
        np.testing.assert_allclose(logged_of_two, logged, atol=1e-5)
        for one, two in zip(weights, weights_of_two, strict=True):
            np.testing.assert_allclose(two, one, atol=1e-5)


SHARDS = """
import keras, numpy as np
from keras_seg.losses import BoundaryF1, Dice, Lovasz, WeightedCrossEntropy
from keras_seg.metrics import MeanIoU

def train(distribution, masks):
    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, padding="same")]
    model = keras.Sequential(layers)
    loss = Dice() + Lovasz() + BoundaryF1() + WeightedCrossEntropy([0.5, 2.0, 1.0, 3.0])
    model.compile(keras.optimizers.SGD(0.5), loss=loss, metrics=[MeanIoU(4)])
    logs = model.fit(images, masks, batch_size=8, shuffle=False, verbose=0).history
    return [logs["loss"], logs["mean_iou"], *model.get_weights()]

rng = np.random.default_rng(0)
images = rng.normal(size=(24, 8, 8, 3)).astype("float32")
masks = rng.integers(0, 4, (3, 512))
parallel = keras.distribution.DataParallel()
assert parallel.device_mesh.devices.size == 8
for ignored in (0, 90):
    masks[:, : 512 * ignored // 100] = 255  # from the first image of each batch on
    one, eight = (train(x, masks.reshape(24, 8, 8)) for x in (None, parallel))
    assert one[-1].any()  # the bias, which starts at 0
    for a, b in zip(one, eight, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
"""


def test_eight_shards_take_the_steps_of_one_device():
    pytest.importorskip("jax")
    flags = "--xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", SHARDS],
        env=os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def cross_entropy_of(y, z):
    """-log p of the class of each labelled pixel."""
    return np.array(
        [formula(np.array([c]), logits[None]) for c, logits in zip(y, z, strict=True)]
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_loss_is_the_formula(gamma):
    value = Focal(gamma, WEIGHTS)(LABELS, LOGITS, MAP)
    y, z = LABELS[LABELS != 255], LOGITS[LABELS != 255]
    ce, sw = cross_entropy_of(y, z), MAP[LABELS != 255] * np.array(WEIGHTS)[y]
    expected = (sw * (1 - np.exp(-ce)) ** gamma * ce).sum() / sw.sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_focal_loss_with_gamma_0_is_cross_entropy():
    value = Focal(0.0, WEIGHTS)(LABELS, LOGITS, MAP)
    expected = WeightedCrossEntropy(WEIGHTS)(LABELS, LOGITS, MAP)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.9, 1.0])
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


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_gradient_are_those_of_torch(value_and_gradient, weights, smoothing):
    torch = pytest.importorskip("torch")
    if weights and smoothing:
        pytest.skip("torch weighs the smoothed part by other classes' weights")
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


def test_all_pixels_are_kept_however_many_and_one_at_least():
    rng = np.random.default_rng(0)
    labels, logits = (
        rng.integers(0, 2, (1, 1, 2_000_001)),
        np.zeros((1, 1, 2_000_001, 2)),
    )
    logits[..., 0] = rng.permutation(2_000_001) / 2_000_001
    expected = WeightedCrossEntropy()(labels, logits)
    assert float(TopKCrossEntropy(1.0)(labels, logits)) == pytest.approx(
        float(expected), rel=1e-6
    )
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
