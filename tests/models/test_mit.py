"""Mix Transformers: the encoders of SegFormer, and attention among maps."""

import math

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from keras_seg.models import encoder
from keras_seg.models.encoders.mit import MapAttention, mit
from tests.models.backbones import tiny_mit

# ------------------------------------------------------------------ the formulas


def attention(query, key, value, heads):
    """softmax(Q K^T / sqrt(d)) V for each head, of `[pixels, channels]`."""
    d = query.shape[-1] // heads
    found = []
    for head in range(heads):
        q, k, v = (x[:, head * d : (head + 1) * d] for x in (query, key, value))
        exp = np.exp(q @ k.T / math.sqrt(d))
        found.append(exp / exp.sum(axis=1, keepdims=True) @ v)
    return np.concatenate(found, axis=-1)


def convolution(x, weights, stride, padding):
    """Each window of a map `[height, width, channels]` times the kernel."""
    kernel, bias = weights
    x = np.pad(x, [(padding, padding), (padding, padding), (0, 0)])
    windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))
    windows = windows[::stride, ::stride]
    if kernel.shape[-1] == 1 and kernel.shape[-2] == x.shape[-1]:  # depthwise
        return np.einsum("ijchw,hwc->ijc", windows, kernel[..., 0]) + bias
    return np.einsum("ijchw,hwco->ijo", windows, kernel) + bias


def normalized(x, weights):
    gamma, beta = weights
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def linear(x, weights):
    return x @ weights[0] + weights[1]


def reference(x, weights, depths):
    """Section 3.1 of the paper for one image: the features of the four stages."""
    features = []
    for stage, depth in enumerate(depths):
        size, stride = (7, 4) if stage == 0 else (3, 2)
        x = convolution(x, weights[f"stage{stage}_patch_conv"], stride, size // 2)
        x = normalized(x, weights[f"stage{stage}_patch_norm"])
        for block in range(depth):

            def of(layer, block=f"stage{stage}_block{block}_"):
                return weights[block + layer]

            y = reduced = normalized(x, of("norm1"))
            reduction = (8, 4, 2, 1)[stage]
            if reduction > 1:
                reduced = convolution(y, of("attention_reduce_conv"), reduction, 0)
                reduced = normalized(reduced, of("attention_reduce_norm"))
            query, key, value = (
                linear(z, of(f"attention_{part}")).reshape(-1, x.shape[-1])
                for part, z in [("query", y), ("key", reduced), ("value", reduced)]
            )
            y = attention(query, key, value, (1, 2, 5, 8)[stage]).reshape(x.shape)
            x = x + linear(y, of("attention_project"))
            y = linear(normalized(x, of("norm2")), of("ffn_expand"))
            y = convolution(y, of("ffn_conv"), 1, 1)
            y = y * (1 + np.vectorize(math.erf)(y / math.sqrt(2))) / 2  # GELU
            x = x + linear(y, of("ffn_project"))
        x = normalized(x, weights[f"stage{stage}_norm"])
        features.append(x)
    return features


def randomized(model):
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    return model


# ------------------------------------------------------------------ Mix Transformer


@pytest.mark.parametrize("size", [(64, 96), (35, 69)])
def test_features_are_those_of_the_formulas(size):
    model = randomized(tiny_mit())
    weights = {x.name: x.get_weights() for x in model.layers if x.weights}
    image = np.random.default_rng(1).normal(size=(*size, 3)).astype("float32")
    found = model(image[None])
    expected = reference(image, weights, depths=(1, 0, 0, 1))
    for k, level in enumerate(["P2", "P3", "P4", "P5"]):
        stride = 2 ** (k + 2)
        assert found[level].shape[1:3] == tuple(-(-side // stride) for side in size)
        np.testing.assert_allclose(found[level][0], expected[k], rtol=1e-4, atol=1e-4)


def test_every_layer_normalization_has_the_epsilon_of_hugging_face():
    norms = [x for x in tiny_mit().layers if "Normalization" in type(x).__name__]
    assert len(norms) == 4 + 4 + 2 * 2 + 1
    assert {layer.epsilon for layer in norms} == {1e-5}


def test_blocks_are_left_out_more_often_the_deeper_they_are():
    model = mit((4, 4, 5, 8), (2, 1, 1, 2))
    rates = [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]
    # Both halves of each block but the first: 0 to 0.1, as in the authors' code.
    np.testing.assert_allclose(rates, np.repeat(np.arange(1, 6) * 0.02, 2))


def test_a_block_is_left_out_for_whole_examples():
    keras.utils.set_random_seed(0)
    layer = next(x for x in tiny_mit().layers if x.name == "stage3_block0_drop1")
    x = np.ones((300, 2, 3, 4), "float32")
    np.testing.assert_array_equal(layer(x), x)
    found = np.asarray(layer(x, training=True))
    first = found[:, 0, 0, 0]
    np.testing.assert_array_equal(
        found, np.broadcast_to(first[:, None, None, None], x.shape)
    )
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.9], rtol=1e-6)
    assert 0.05 < np.mean(first == 0) < 0.2


# ------------------------------------------------------------------ attention


def maps(channels=6):
    rng = np.random.default_rng(0)
    shapes = [(2, 3, 5, channels), (2, 2, 2, channels), (2, 2, 2, channels)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_attention_is_the_formula(heads):
    found = np.asarray(MapAttention(heads)(*maps()))
    for k in range(2):
        query, key, value = (x[k].reshape(-1, 6) for x in maps())
        expected = attention(query, key, value, heads).reshape(3, 5, 6)
        np.testing.assert_allclose(found[k], expected, rtol=1e-5, atol=1e-6)


def attention_model(*sizes):
    inputs = [keras.Input((*size, 6)) for size in sizes]
    return keras.Model(inputs, MapAttention(2)(*inputs))


def test_xla_gives_the_same_attention(compiled):
    model = attention_model((3, 5), (2, 2), (2, 2))
    assert model.output_shape == (None, 3, 5, 6)
    expected = MapAttention(2)(*maps())
    np.testing.assert_allclose(compiled(model)(maps()), expected, rtol=1e-5, atol=1e-6)


def test_attention_is_computed_in_the_dtype_of_the_policy():
    expected = np.asarray(MapAttention(2)(*maps()))
    for dtype in ("float16", "bfloat16"):
        found = MapAttention(2, dtype=f"mixed_{dtype}")(*maps())
        assert keras.backend.standardize_dtype(found.dtype) == dtype
        found = np.asarray(keras.ops.cast(found, "float32"))
        np.testing.assert_allclose(found, expected, atol=0.03)


# ------------------------------------------------------------------ as an encoder


@pytest.fixture(scope="module")
def b0():
    keras.utils.set_random_seed(0)
    return encoder("MiT-B0")


def test_images_are_normalized_with_the_mean_and_deviation_of_imagenet(b0):
    before = b0.layers[[layer.name for layer in b0.layers].index("mit_b0") - 1]
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 64, 3)).astype("float32")
    found = keras.Model(b0.input, before.output)(x)
    expected = (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_start_as_in_the_code_of_the_authors(b0):
    layers = next(x for x in b0.layers if x.name == "mit_b0")
    for name, deviation in {
        "stage3_block0_ffn_expand": 0.02,
        "stage3_patch_conv": math.sqrt(2 / (3 * 3 * 256)),  # 2 / fan out
        "stage3_block0_ffn_conv": math.sqrt(2 / (3 * 3)),
    }.items():
        kernel, bias = layers.get_layer(name).get_weights()
        np.testing.assert_allclose(kernel.std(), deviation, rtol=0.03)
        assert not bias.any()


@pytest.mark.parametrize("size", [(1, 1), (33, 65), (32, 64)])
def test_features_have_the_sizes_of_images_padded_to_32(b0, size):
    features = b0(np.ones((1, *size, 3), "uint8"))
    padded = [-(-side // 32) * 32 for side in size]
    shapes = {level: tuple(x.shape[1:]) for level, x in features.items()}
    assert shapes == {
        f"P{k}": (padded[0] // 2**k, padded[1] // 2**k, channels)
        for k, channels in zip(range(2, 6), (32, 64, 160, 256), strict=True)
    }


def test_the_levels_of_a_model_of_ones_own_are_those_of_the_stages():
    own = tiny_mit()
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 64, 3)).astype("float32")
    expected = own(x)
    found = encoder(own)(x)
    assert list(found) == ["P2", "P3", "P4", "P5"]
    for level, feature in found.items():
        np.testing.assert_allclose(feature, expected[level], rtol=1e-4, atol=1e-5)


def test_attention_can_not_be_dilated():
    with pytest.raises(ValueError, match=r"dilated.*'stage0_block0_attention' \(MapAt"):
        encoder(tiny_mit(), output_stride=16)


def test_imagenet_weights_say_which_file_to_get():
    with pytest.raises(ValueError, match=r"'imagenet'.*nvidia/mit-b3.*model\.safetens"):
        encoder("mit_b3", weights="imagenet")
