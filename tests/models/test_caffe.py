"""FCN against Caffe: files written byte by byte, and the authors' nets in NumPy."""

import functools
import re
import tracemalloc
import warnings

import numpy as np
import pytest

from keras_seg import fcn8s, fcn16s, fcn32s
from keras_seg.models.weights.caffe import kernel, read_caffemodel

CLASSES, HEAD, SIZE = 3, 8, (33, 47)
#: VGG16 with a 32nd of its filters: files and time are small.
WIDTHS = (2, 4, 8, 16, 16)
THIN = {"widths": WIDTHS, "head_width": HEAD}
BUILDERS = {"fcn32s": fcn32s, "fcn16s": fcn16s, "fcn8s": fcn8s}

# ------------------------------------------------------------------ the wire format


def varint(number):
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    parts = []
    while number >= 128:
        parts.append(number % 128 + 128)
        number //= 128
    return bytes([*parts, number])


def message(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def integer(field, number):
    return varint(field << 3) + varint(number)


def new_blob(values):
    dims = message(1, b"".join(map(varint, values.shape)))
    return message(7, dims) + message(5, values.astype("<f4").tobytes())


def old_blob(values):
    """Always four numbers: a matrix and a bias have ones in front."""
    shape = (1,) * (4 - values.ndim) + values.shape
    sides = b"".join(integer(k, side) for k, side in enumerate(shape, start=1))
    return sides + message(5, values.astype("<f4").tobytes())


def new_layer(name, blobs):
    words = message(1, name.encode()) + message(2, b"Convolution") + message(3, b"x")
    return message(100, words + b"".join(message(7, new_blob(b)) for b in blobs))


def old_layer(name, blobs):
    bottom = message(2, b"x") + message(3, b"y")  # which are strings there
    words = bottom + message(4, name.encode()) + integer(5, 4)
    return message(2, words + b"".join(message(6, old_blob(b)) for b in blobs))


def write(path, weights, layer=new_layer):
    """A .caffemodel: the net's name, a layer without weights, and the layers."""
    parts = [layer(name, blobs) for name, blobs in weights.items()]
    path.write_bytes(b"".join([message(1, b"a net"), layer("data", []), *parts]))
    return path


# ------------------------------------------------------------------ weights


def random_weights(net, seed=0):
    """Blobs of one of the authors' nets, `[out, in, height, width]` and `[out]`."""
    rng = np.random.default_rng(seed)

    def normal(*shape, fan_in):
        return rng.standard_normal(shape, np.float32) * np.float32(fan_in**-0.5)

    def conv(inputs, width, size, gain=2.0):
        fan_in = inputs * size**2 / gain
        return [
            normal(width, inputs, size, size, fan_in=fan_in),
            normal(width, fan_in=1),
        ]

    weights, width = {}, 3
    blocks = zip((2, 2, 3, 3, 3), WIDTHS, strict=True)
    for block, (repeats, filters) in enumerate(blocks, start=1):
        for k in range(1, repeats + 1):
            weights[f"conv{block}_{k}"] = conv(width, filters, 3)
            width = filters
    weights["fc6"] = conv(width, HEAD, 7)
    weights["fc7"] = conv(HEAD, HEAD, 1)
    weights["score_fr"] = conv(HEAD, CLASSES, 1)
    for name, inputs in [("score_pool4", WIDTHS[3]), ("score_pool3", WIDTHS[2])]:
        if name in SCORES[net]:
            weights[name] = conv(inputs, CLASSES, 1)
    for name, factor in DECONVOLUTIONS[net].items():
        # Dense, not bilinear: only so does it show which axis is which.
        size = 2 * factor
        weights[name] = [normal(CLASSES, CLASSES, size, size, fan_in=4 * CLASSES)]
    return weights


SCORES = {"fcn32s": (), "fcn16s": ("score_pool4",)}
SCORES |= {"fcn8s": ("score_pool4", "score_pool3")}
DECONVOLUTIONS = {
    "fcn32s": {"upscore": 32},
    "fcn16s": {"upscore2": 2, "upscore16": 16},
    "fcn8s": {"upscore2": 2, "upscore_pool4": 2, "upscore8": 8},
}


# ------------------------------------------------------------------ Caffe in NumPy
# Maps are [channels, height, width], as in Caffe.


def convolve(x, weights, bias, pad=0):
    x = np.pad(x, [(0, 0), (pad, pad), (pad, pad)])
    size = weights.shape[-1]
    height, width = (side - size + 1 for side in x.shape[1:])
    total = np.broadcast_to(bias[:, None], (len(bias), height * width)).copy()
    for i, j in np.ndindex(size, size):
        window = x[:, i : i + height, j : j + width].reshape(len(x), -1)
        total += np.ascontiguousarray(weights[:, :, i, j]) @ window
    return total.reshape(-1, height, width)


def relu(x):
    return np.maximum(x, 0)


def pool(x):
    """2x2, stride 2; a last row or column alone is a window, too."""
    height, width = x.shape[1:]
    x = np.pad(x, [(0, 0), (0, height % 2), (0, width % 2)], constant_values=-np.inf)
    return x.reshape(len(x), x.shape[1] // 2, 2, -1, 2).max((2, 4))


def deconvolve(x, weights, stride):
    size = weights.shape[-1]
    height, width = ((side - 1) * stride + size for side in x.shape[1:])
    out = np.zeros((weights.shape[1], height, width), np.float32)
    for y, x_ in np.ndindex(x.shape[1:]):
        stamp = np.einsum("i,iohw->ohw", x[:, y, x_], weights)
        top, left = y * stride, x_ * stride
        out[:, top : top + size, left : left + size] += stamp
    return out


def crop(x, like, offset):
    height, width = like.shape[1:]
    return x[:, offset : offset + height, offset : offset + width]


def trunk(image, weights):
    """pool3, pool4 and fc7 of an RGB image `[height, width, 3]`."""
    bgr = image[..., ::-1] - np.array([104.00699, 116.66877, 122.67892], "float32")
    x = bgr.astype("float32").transpose(2, 0, 1)
    pools = []
    for block, repeats in enumerate((2, 2, 3, 3, 3), start=1):
        for k in range(1, repeats + 1):
            pad = 100 if (block, k) == (1, 1) else 1
            x = relu(convolve(x, *weights[f"conv{block}_{k}"], pad=pad))
        x = pool(x)
        pools.append(x)
    x = relu(convolve(x, *weights["fc6"]))
    return pools[2], pools[3], relu(convolve(x, *weights["fc7"]))


def caffe_net(net, image, features, weights, at_once=False):
    """Logits `[height, width, classes]` as voc-fcn32s, 16s, 8s and at once."""
    pool3, pool4, fc7 = features
    if at_once:
        pool4, pool3 = np.float32(0.01) * pool4, np.float32(0.0001) * pool3
    image = image.transpose(2, 0, 1)
    x = convolve(fc7, *weights["score_fr"])
    if net == "fcn32s":
        x = crop(deconvolve(x, *weights["upscore"], 32), image, 19)
        return x.transpose(1, 2, 0)
    x = deconvolve(x, *weights["upscore2"], 2)
    x = x + crop(convolve(pool4, *weights["score_pool4"]), x, 5)
    if net == "fcn16s":
        x = crop(deconvolve(x, *weights["upscore16"], 16), image, 27)
        return x.transpose(1, 2, 0)
    x = deconvolve(x, *weights["upscore_pool4"], 2)
    x = x + crop(convolve(pool3, *weights["score_pool3"]), x, 9)
    return crop(deconvolve(x, *weights["upscore8"], 8), image, 31).transpose(1, 2, 0)


def random_image(size=SIZE):
    return np.random.default_rng(5).integers(0, 256, (*size, 3)).astype("float32")


@functools.cache
def caffe_features():
    """The trunk is the same for all nets, and takes most of the time."""
    return trunk(random_image(), random_weights("fcn8s"))


# ------------------------------------------------------------------ the nets


@pytest.mark.parametrize(
    ("net", "at_once", "layer"),
    [
        ("fcn8s", False, new_layer),
        ("fcn8s", True, old_layer),
        ("fcn16s", False, old_layer),
        ("fcn16s", True, new_layer),
        ("fcn32s", False, new_layer),
    ],
)
def test_logits_are_those_of_caffe(net, at_once, layer, tmp_path):
    weights = random_weights(net)
    path = write(tmp_path / "net.caffemodel", weights, layer)
    option = {} if net == "fcn32s" else {"at_once": at_once}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is missing or left over
        model = BUILDERS[net](CLASSES, padding="caffe", **THIN, weights=path, **option)
    logits = np.asarray(model(random_image()[None])[0])
    features = caffe_features()
    expected = caffe_net(net, random_image(), features, weights, at_once)
    assert logits.shape == expected.shape == (*SIZE, CLASSES)
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("net", BUILDERS)
def test_logits_are_those_of_caffe_at_any_size(net, tmp_path):
    weights = random_weights(net)
    path = write(tmp_path / "net.caffemodel", weights)
    model = BUILDERS[net](CLASSES, padding="caffe", **THIN, weights=path)
    for size in [(1, 1), (20, 90)]:
        image = random_image(size)
        expected = caffe_net(net, image, trunk(image, weights), weights)
        logits = np.asarray(model(image[None])[0])
        assert logits.shape == expected.shape == (*size, CLASSES)
        assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


def test_transposed_convolutions_of_the_authors_do_not_learn():
    for net, build in BUILDERS.items():
        fixed = {
            layer.name
            for layer in build(CLASSES, padding="caffe", **THIN).layers
            if layer.weights and not layer.trainable_weights
        }
        assert fixed >= set(DECONVOLUTIONS[net])
        assert all(name.startswith(("upscore", "fc")) for name in fixed)
        learning = build(CLASSES, **THIN)
        assert all(learning.get_layer(name).trainable for name in DECONVOLUTIONS[net])


def test_a_file_loads_with_padding_same_too(tmp_path):
    weights = random_weights("fcn8s")
    path = write(tmp_path / "net.caffemodel", weights)
    model = fcn8s(CLASSES, **THIN, weights=path)
    np.testing.assert_array_equal(
        model.get_layer("fc6").kernel, weights["fc6"][0].transpose(2, 3, 1, 0)
    )


def test_bilinear_upsampling_is_not_for_the_authors_geometry():
    with pytest.raises(ValueError, match=r"Expected upsampling='transpose'.*Received"):
        fcn8s(CLASSES, padding="caffe", upsampling="bilinear")


# ------------------------------------------------------------------ layout of kernels


def test_kernels_turn_from_out_in_height_width_to_height_width_in_out():
    blob = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    turned = kernel(blob, (4, 5, 3, 2))
    for out, into, y, x in np.ndindex(2, 3, 4, 5):
        assert turned[y, x, into, out] == blob[out, into, y, x]


@pytest.mark.parametrize("front", [(), (1, 1)])
def test_matrices_are_kernels_with_channels_before_rows_before_columns(front):
    blob = np.arange(2 * 60).reshape(*front, 2, 60)
    turned = kernel(blob, (4, 5, 3, 2))
    for out, into, y, x in np.ndindex(2, 3, 4, 5):
        assert (
            turned[y, x, into, out] == blob.reshape(2, 60)[out, into * 20 + y * 5 + x]
        )


@pytest.mark.parametrize(
    "shape", [(3, 2, 4, 5), (2, 3, 5, 4), (60, 2), (120,), (2, 3, 4, 4), (4, 5, 3, 2)]
)
def test_kernels_of_another_shape_raise(shape):
    with pytest.raises(ValueError, match=r"Expected weights \(2, 3, 4, 5\)\. Received"):
        kernel(np.zeros(shape), (4, 5, 3, 2))


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("layer", [new_layer, old_layer])
def test_a_file_is_read_layer_by_layer(layer, tmp_path):
    rng = np.random.default_rng(0)
    weights = {
        "a": [rng.normal(size=(2, 3, 4, 5)), rng.normal(size=2)],
        "b": [rng.normal(size=(300, 2))],  # numbers of two bytes
    }
    read = read_caffemodel(write(tmp_path / "net.caffemodel", weights, layer))
    assert list(read) == ["a", "b"]
    for name, blobs in weights.items():
        for blob, expected in zip(read[name], blobs, strict=True):
            assert blob.dtype == np.float32
            np.testing.assert_array_equal(
                blob, expected.astype("float32").reshape(blob.shape)
            )
    four = (1, 1, 1, 2) if layer is old_layer else (2,)
    assert [b.shape for b in read["a"]] == [(2, 3, 4, 5), four]


def test_vgg16_starts_a_net_as_encoder_weights_only(tmp_path):
    weights = random_weights("fcn32s")
    fc6, bias6 = weights["fc6"]
    fc7, bias7 = weights["fc7"]
    convolutions = {k: v for k, v in weights.items() if k.startswith("conv")}
    classifier = {
        "fc6": [fc6.reshape(HEAD, -1), bias6],
        "fc7": [fc7.reshape(HEAD, -1), bias7],
        "fc8": [np.zeros((1000, HEAD)), np.zeros(1000)],
    }
    path = write(tmp_path / "VGG16.caffemodel", convolutions | classifier, old_layer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fcn32s(CLASSES, padding="caffe", **THIN, encoder_weights=path)
    with pytest.raises(ValueError, match="VGG16, for encoder_weights"):
        fcn32s(CLASSES, padding="caffe", **THIN, weights=path)

    for name in ("conv1_2", "conv5_3", "fc6", "fc7"):
        expected, bias = weights[name]
        layer = model.get_layer(name)
        np.testing.assert_array_equal(layer.kernel, expected.transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(layer.bias, bias)
    assert not np.any(model.get_layer("score_fr").kernel)


def test_a_cut_file_names_itself(tmp_path):
    weights = random_weights("fcn32s")
    path = write(tmp_path / "net.caffemodel", weights)
    whole = path.read_bytes()
    ends, end = [], len(message(1, b"a net") + new_layer("data", []))
    for name, blobs in weights.items():
        ends.append(end := end + len(new_layer(name, blobs)))
    assert end == len(whole)
    inside = {n for e in ends for n in (e - 1, e + 1, e + 2, e + 9)} - set(ends)
    inside |= set(range(1, len(whole), len(whole) // 40)) - set(ends)
    path = tmp_path / "cut.caffemodel"
    for length in sorted(n for n in inside if n < len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(
            ValueError, match=r"cut\.caffemodel: Expected a .caffemodel"
        ):
            read_caffemodel(path)


@pytest.mark.parametrize("lost", ["conv5_3", "fc7"])
def test_a_missing_layer_is_told_by_name(lost, tmp_path):
    weights = random_weights("fcn32s")
    del weights[lost]
    path = write(tmp_path / "net.caffemodel", weights)
    with pytest.raises(ValueError, match=rf"net\.caffemodel: .*Missing: {lost}\."):
        fcn32s(CLASSES, padding="caffe", **THIN, weights=path)


def test_a_layer_of_another_net_is_told_by_name(tmp_path):
    weights = random_weights("fcn32s") | {"inception": [np.zeros(3)]}
    path = write(tmp_path / "net.caffemodel", weights)
    with pytest.raises(ValueError, match=r"net\.caffemodel: .*Left over: inception\."):
        fcn32s(CLASSES, padding="caffe", **THIN, weights=path)


@pytest.mark.parametrize(
    ("layer", "blobs"),
    [
        ("conv1_2", lambda kernel, bias: [kernel[:-1], bias]),
        ("conv1_2", lambda kernel, bias: [kernel[:, :, :1], bias]),
        ("conv1_2", lambda kernel, bias: [kernel]),
        ("conv1_2", lambda kernel, bias: [kernel, bias, bias]),
        ("conv1_2", lambda kernel, bias: [kernel, bias[:-1]]),
        ("fc6", lambda kernel, bias: [kernel.reshape(len(kernel), -1).T, bias]),
    ],
)
def test_weights_of_another_shape_name_the_file_and_the_layer(layer, blobs, tmp_path):
    weights = random_weights("fcn32s")
    weights[layer] = blobs(*weights[layer])
    path = write(tmp_path / "net.caffemodel", weights)
    with pytest.raises(ValueError, match=rf"net\.caffemodel: .*{layer}.*Received"):
        fcn32s(CLASSES, padding="caffe", **THIN, weights=path)


@pytest.mark.parametrize(
    "other",
    [{"num_classes": CLASSES + 1}, {"input_shape": (None, None, 1)}, {"head_width": 7}],
    ids=str,
)
def test_another_net_than_the_files_names_the_file(other, tmp_path):
    path = write(tmp_path / "net.caffemodel", random_weights("fcn32s"))
    same = {"num_classes": CLASSES, "padding": "caffe"} | THIN
    with pytest.raises(ValueError, match=r"net\.caffemodel: .*Expected.*Received"):
        fcn32s(**(same | other), weights=path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"hello, world\n" * 99,
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        b"\x89HDF\r\n\x1a\n" + bytes(99),
        b"PK\x03\x04" + bytes(99),
        message(1, b"a net without layers"),
        message(100, message(1, b"a") + message(7, message(5, b"123456"))),
        # -2 * -2 floats
        message(
            100,
            message(1, b"a")
            + message(
                7,
                message(7, message(1, 2 * varint(2**64 - 2))) + message(5, bytes(16)),
            ),
        ),
        message(
            100,
            message(1, b"a")
            + message(
                7, message(7, message(1, varint(2) + varint(3))) + message(5, bytes(20))
            ),
        ),
    ],
    ids=[
        "empty",
        "zero",
        "text",
        "png",
        "hdf5",
        "zip",
        "no_layers",
        "no_floats",
        "negative_sides",
        "too_few_floats",
    ],
)
def test_a_foreign_file_names_itself(content, tmp_path):
    path = tmp_path / "foreign.caffemodel"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        read_caffemodel(path)
    assert "Expected" in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.caffemodel"):
        fcn32s(CLASSES, **THIN, weights=tmp_path / "none.caffemodel")


def test_reading_needs_no_more_than_twice_the_file(tmp_path):
    weights = {f"a{k}": [np.zeros((1024, 1280), "float32")] for k in range(10)}
    path = write(tmp_path / "large.caffemodel", weights)
    size = path.stat().st_size
    assert size > 50e6
    del weights

    tracemalloc.start()
    try:
        read = read_caffemodel(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(read) == 10
    assert peak < 2.1 * size
