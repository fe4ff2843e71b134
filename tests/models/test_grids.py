"""Grids of a few cells over maps, and maps of another size, against NumPy."""

import json
import subprocess

import keras
import numpy as np
import pytest

from keras_seg.models.grids import AdaptiveAveragePool, ResizeTo, resize
from keras_seg.models.layers import UpsampleBilinear

SIZES = [(1, 1), (4, 7), (6, 6), (13, 17)]


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def pooled(x, n):
    """The mean of each cell, as PyTorch's documentation defines the cells."""
    rows, columns = (
        [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        for size in x.shape[1:3]
    )
    means = [[x[:, a:b, c:d].mean((1, 2)) for c, d in columns] for a, b in rows]
    return np.moveaxis(np.array(means), 2, 0)


def resized(x, size, align_corners):
    """Interpolation between the centres of pixels, constant beyond the ends."""
    for axis, new in zip((1, 2), size, strict=True):
        old = x.shape[axis]
        places = np.linspace(0, old - 1, new)
        if not align_corners:
            places = (np.arange(new) + 0.5) * old / new - 0.5
        x = np.apply_along_axis(
            lambda line, p=places, n=old: np.interp(p, np.arange(n), line), axis, x
        )
    return x


@pytest.mark.parametrize("n", [1, 2, 3, 6])
@pytest.mark.parametrize("size", SIZES)
def test_cells_have_the_mean_of_their_pixels(n, size):
    x = random(2, *size, 3)
    np.testing.assert_allclose(AdaptiveAveragePool(n)(x), pooled(x, n), atol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("old", "new"),
    [((1, 1), (5, 7)), ((2, 3), (13, 17)), ((6, 6), (4, 5)), ((3, 3), (3, 1))],
)
def test_maps_are_interpolated_to_the_size_of_others(old, new, align_corners):
    x, like = random(2, *old, 3), random(2, *new, 1)
    found = ResizeTo(align_corners)(x, like)
    np.testing.assert_allclose(found, resized(x, new, align_corners), atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_upsampling_with_aligned_corners_keeps_the_corners(size):
    x = random(2, *size, 3)
    expected = resized(x, (4 * size[0], 4 * size[1]), True)
    found = UpsampleBilinear(4, align_corners=True)(x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # What other backends than TensorFlow compute.
    found = resize(x, 4 * size[0], 4 * size[1], align_corners=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def chain(image):
    x = AdaptiveAveragePool(3)(image)
    x = ResizeTo(align_corners=True)(x, image)
    return UpsampleBilinear(2, align_corners=True)(x)


@pytest.mark.usefixtures("tensorflow_only")
def test_one_graph_of_unknown_size_serves_all_sizes():
    image = keras.Input((None, None, 2))
    model = keras.Model(image, chain(image))
    assert model.output_shape == (None, None, None, 2)
    for size in SIZES:
        x = random(2, *size, 2)
        expected = resized(pooled(x, 3), size, True)
        expected = resized(expected, (2 * size[0], 2 * size[1]), True)
        found = model.predict(x, verbose=0)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_xla_gives_the_same_maps(compiled):
    image = keras.Input((13, 7, 2))
    model = keras.Model(image, chain(image))
    assert model.output_shape == (None, 26, 14, 2)
    x = random(2, 13, 7, 2)
    np.testing.assert_allclose(compiled(model)(x), model(x), atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_xla_enlarges_maps_by_the_formula(factor, align_corners, compiled):
    # Of these sizes TensorFlow's operation is wrong under XLA, at some factors.
    for size in [(2, 4), (4, 6), (8, 8)]:
        x = random(2, *size, 3)
        expected = resized(x, (factor * size[0], factor * size[1]), align_corners)
        layer = UpsampleBilinear(factor, align_corners=align_corners)
        found = compiled(layer)(keras.ops.convert_to_tensor(x))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_layers_come_back_from_their_configurations():
    def again(layer):
        return type(layer).from_config(layer.get_config())

    assert again(AdaptiveAveragePool(3)).cells == 3
    assert again(ResizeTo(True)).align_corners
    upsampling = again(UpsampleBilinear(4, align_corners=True))
    assert (upsampling.factor, upsampling.align_corners) == (4, True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_maps_keep_their_dtype_and_means_their_precision(dtype):
    x = keras.ops.full((1, 60, 60, 1), 1.0078125, dtype)  # which all three have
    for layer in (AdaptiveAveragePool(2, dtype=dtype), ResizeTo(dtype=dtype)):
        y = layer(x, x) if isinstance(layer, ResizeTo) else layer(x)
        assert keras.backend.standardize_dtype(y.dtype) == dtype
        found = keras.ops.cast(y, "float32")
        np.testing.assert_allclose(found, 1.0078125, rtol=1e-6)


@pytest.mark.peers
def test_cells_and_maps_are_those_of_pytorch(python_of_peers, tmp_path):
    np.save(tmp_path / "x.npy", x := random(2, 13, 17, 3))
    script = f"""
import numpy as np, torch, torch.nn.functional as F
x = torch.tensor(np.load("{tmp_path}/x.npy")).permute(0, 3, 1, 2)
found = {{f"pool{{n}}": F.adaptive_avg_pool2d(x, n) for n in (1, 2, 3, 6)}}
for corners in (False, True):
    for size in ((5, 40), (26, 34)):
        y = F.interpolate(x, size=size, mode="bilinear", align_corners=corners)
        found[f"{{int(corners)}} {{list(size)}}"] = y
np.savez("{tmp_path}/y.npz", **{{k: v.permute(0, 2, 3, 1) for k, v in found.items()}})
"""
    subprocess.run([python_of_peers, "-c", script], check=True)
    found = np.load(tmp_path / "y.npz")
    assert len(found.files) == 8
    for name in found.files:
        if name.startswith("pool"):
            y = AdaptiveAveragePool(int(name[4:]))(x)
        else:
            size = json.loads(name[2:])
            y = ResizeTo(name[0] == "1")(x, random(2, *size, 1))
        np.testing.assert_allclose(y, found[name], atol=1e-5)
