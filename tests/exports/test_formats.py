"""ONNX and LiteRT: what their files hold and give, and what is refused."""

import json
import math
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.exports.comparison import agreement, compare
from keras_seg.exports.formats import FORMATS
from keras_seg.exports.serving import Served
from keras_seg.inference.files import predict_files
from keras_seg.inference.opened import as_net

CLASSES = 3
NAMES = ["ground", "Kühe <b>", "dog"]
COLORS = [(1, 2, 3), (4, 5, 6), (250, 255, 0)]

every_format = pytest.mark.parametrize("format", ["onnx", "litert"])


def small_net():
    keras.utils.set_random_seed(0)
    return keras_seg.unet(CLASSES, widths=(4, 6), upsampling="nearest")


def pointwise(classes=CLASSES):
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    return keras.Model(image, keras.layers.Conv2D(classes, 1, name="score")(x))


def images(*size, batch=2):
    return np.random.default_rng(1).integers(0, 256, (batch, *size, 3), np.uint8)


@pytest.fixture(scope="module")
def model():
    return small_net()


@pytest.fixture(scope="module")
def file_of(model, tmp_path_factory):
    """A function from a format to a file of the model, written once."""
    folder, done = tmp_path_factory.mktemp("exports"), {}

    def file(format):
        if format not in done:
            path = folder / f"net{FORMATS[format][0]}"
            done[format] = keras_seg.export(
                model, path, format=format, class_names=NAMES, palette=COLORS
            )
        return done[format].path

    return file


@every_format
def test_ids_and_probabilities_are_those_of_the_model(model, file_of, format):
    net = as_net(file_of(format))
    assert (net.num_classes, net.input_shape) == (CLASSES, (None, None, 3))
    for size in ((17, 31), (1, 1), (65, 97)):
        expected = np.asarray(keras.ops.softmax(model(images(*size))))
        mask, finite = net.masks(images(*size))
        assert (mask.dtype, finite.tolist()) == (np.uint8, [True, True])
        np.testing.assert_array_equal(mask, expected.argmax(-1))
        found = net.probabilities(images(*size))
        np.testing.assert_allclose(found, expected, atol=1e-5)


@every_format
def test_predict_and_evaluate_take_files(model, file_of, format):
    source = keras_seg.data.shapes(2, size=(20, 28))
    image, _ = source[0]
    mask = keras_seg.predict_mask(file_of(format), image, flips=True)
    expected = keras_seg.predict_mask(model, image, flips=True)
    assert (mask == expected).mean() > 0.99
    with pytest.raises(ValueError, match=f"of {source.num_classes} classes"):
        keras_seg.evaluate(file_of(format), source)


@every_format
def test_a_file_says_what_it_is(file_of, format):
    about = as_net(file_of(format)).metadata
    assert about["class_names"] == NAMES
    assert about["palette"] == [list(color) for color in COLORS]
    assert about["value_range"] == [0, 255]
    assert about["size"] == [None, None]
    assert about["quantize"] is None
    assert about["versions"]["keras_seg"] == keras_seg.__version__
    assert "uint8 [batch, height, width, channels]" in about["input"]
    assert "bands" not in about


@pytest.mark.parametrize(
    "format", ["saved_model", "onnx", pytest.param("litert", marks=pytest.mark.slow)]
)
def test_a_file_names_the_channels_that_predict_files_then_takes(tmp_path, format):
    path = tmp_path / f"picked{FORMATS[format][0]}"
    model = pointwise()
    keras_seg.export(model, path, format=format, bands=(3, 0, 1))
    net = as_net(path)
    assert net.metadata["bands"] == [3, 0, 1]
    assert net.bands == (3, 0, 1)
    assert "channels 3, 0, 1, counted from 0" in net.metadata["input"]
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 4), np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "scene.png")
    found = []
    ((_, error),) = predict_files(
        path, [tmp_path / "scene.png"], lambda path, image, mask: found.append(mask)
    )
    assert error is None
    expected = keras_seg.predict_mask(model, pixels[..., [3, 0, 1]])
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(found[0], expected)


def test_channels_that_do_not_fit_the_model_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"`bands` for a model of 3 channels.*2 \(3, 0"
    ):
        keras_seg.export(pointwise(), tmp_path / "served", bands=(3, 0))


def test_a_saved_model_says_what_it_is_too(tmp_path):
    keras_seg.export(pointwise(), tmp_path / "served", class_names=NAMES)
    about = as_net(tmp_path / "served").metadata
    assert about["class_names"] == NAMES
    assert about["palette"] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]  # VOC's
    text = (tmp_path / "served/assets.extra/keras_seg.json").read_text("utf-8")
    assert json.loads(text) == about


@every_format
def test_an_odd_file_is_named(tmp_path, format, file_of):
    ending = FORMATS[format][0]
    content = file_of(format).read_bytes()
    for name, wrong in (("odd", b"no model"), ("cut", content[: len(content) // 2])):
        path = tmp_path / f"{name}{ending}"
        path.write_bytes(wrong)
        with pytest.raises(
            ValueError, match=rf"{name}\{ending}: Expected an? \w+ file.*copied in"
        ):
            keras_seg.predict_mask(path, images(4, 4)[0])
    with pytest.raises(FileNotFoundError, match="nothing"):
        keras_seg.predict_mask(tmp_path / f"nothing{ending}", images(4, 4)[0])


# ------------------------------------------------------------------ the comparison


def test_an_export_that_differs_from_the_model_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_text("old")
    net_of = FORMATS["onnx"][1]
    served = net_of.served
    monkeypatch.setattr(
        net_of, "served", lambda *arguments: served(*arguments)[:, ::-1].copy()
    )
    with pytest.raises(RuntimeError, match="differs from the model at 64 x 96"):
        keras_seg.export(pointwise(), path, format="onnx", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    assert path.read_text() == "old"


class Stub:
    """A net that gives what it is told."""

    def __init__(self, mask, probabilities):
        self.outputs = {"mask": mask, "probabilities": probabilities}

    def served(self, output, images):
        return self.outputs[output]


def test_outputs_of_another_size_differ():
    shares = np.full((1, 4, 6, 3), 1 / 3, np.float32)
    net = Stub(np.zeros((1, 4, 5), np.uint8), shares)
    with pytest.raises(RuntimeError, match=r"at 4 x 6.*and a mask \[1, 4, 5\]"):
        compare(net, [(np.zeros((1, 4, 6, 3), np.uint8), shares)], tolerance=1)


@pytest.mark.parametrize(
    ("changed", "share"), [(0, 1.0), (6, 0.75), (11, 13 / 24)], ids=str
)
def test_agreement_is_the_share_of_equal_pixels(changed, share):
    model = pointwise()
    image = images(4, 6, batch=1)
    expected = np.asarray(model(image)).argmax(-1)
    assert len(np.unique(expected)) > 1
    mask = expected.astype(np.uint8)
    mask.flat[:changed] = (mask.flat[:changed] + 1) % CLASSES
    net = Stub(mask, np.zeros((1, 4, 6, CLASSES), np.float32))
    assert agreement(net, Served(model), image) == pytest.approx(share)


@pytest.mark.parametrize("kind", ["wrong", "one class"])
def test_a_quantized_export_of_no_use_is_refused(kind):
    model = pointwise()
    image = images(4, 6, batch=1)
    expected = np.asarray(model(image)).argmax(-1).astype(np.uint8)
    mask = (expected + 1) % CLASSES
    if kind == "one class":
        image[:, 1:] = image[:, :1, :1]  # nearly all pixels have the first one's class
        expected = np.asarray(model(image)).argmax(-1).astype(np.uint8)
        assert len(np.unique(expected)) > 1
        mask = np.full_like(expected, expected[0, 0, 0])
        assert (mask == expected).mean() > 0.5
    net = Stub(mask, np.zeros((1, 4, 6, CLASSES), np.float32))
    with pytest.raises(
        RuntimeError, match=r"quantized export.*Received: the model's class"
    ):
        agreement(net, Served(model), image)


@pytest.mark.slow  # converters and calibration
@every_format
@pytest.mark.parametrize("quantize", ["float16", "int8"])
def test_quantized_files_agree_with_the_model(format, quantize, tmp_path):
    model = small_net()
    source = keras_seg.data.shapes(4, size=(40, 56))
    examples = [source[k][0] for k in range(4)]
    path = tmp_path / f"net{FORMATS[format][0]}"
    written = keras_seg.export(
        model, path, format=format, quantize=quantize, examples=examples
    )
    net = as_net(path)
    assert net.metadata["quantize"] == quantize
    equal = []
    for image in examples:
        mask, _ = net.masks(image[None])
        expected = np.asarray(model(image[None])).argmax(-1)
        assert mask.shape == expected.shape
        equal.append((mask == expected).mean())
    assert written.agreement == pytest.approx(np.mean(equal))
    assert written.agreement > (0.99 if quantize == "float16" else 0.9)
    assert f"{written.agreement:.2%} of the pixels" in str(written)


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_large_kernels_do_not_go_through_the_converter(quantize, tmp_path, monkeypatch):
    import onnx
    import tf2onnx

    def noted(function, signature, **arguments):
        model, _ = converted = from_function(function, signature, **arguments)
        sizes.extend(math.prod(tensor.dims) for tensor in model.graph.initializer)
        return converted

    sizes, from_function = [], tf2onnx.convert.from_function
    monkeypatch.setattr(tf2onnx.convert, "from_function", noted)
    monkeypatch.setattr("keras_seg.exports.onnx._LARGE", 100)
    keras.utils.set_random_seed(0)
    model = keras_seg.unet(CLASSES, widths=(4, 8), normalization="batch")
    path, examples = tmp_path / "net.onnx", [images(24, 24, batch=1)[0]]
    keras_seg.export(
        model, path, format="onnx", quantize=quantize, examples=examples
    )  # which compares ids
    assert max(sizes) < 100
    (image,) = onnx.load(path).graph.input
    assert image.name == "image"


@pytest.mark.slow  # converters
def test_quantized_weights_need_fewer_bytes(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras_seg.unet(CLASSES, widths=(8, 64))
    examples = [images(24, 24, batch=1)[0]]
    for format in ("onnx", "litert"):
        sizes = {
            quantize: keras_seg.export(
                model,
                tmp_path / f"net{quantize}{FORMATS[format][0]}",
                format=format,
                quantize=quantize,
                examples=examples,
            ).bytes
            for quantize in (None, "float16", "int8")
        }
        assert sizes["float16"] < 0.65 * sizes[None]
        assert sizes["int8"] < 0.45 * sizes[None]


@pytest.mark.slow  # converters
@every_format
def test_a_fixed_size_is_kept(format, tmp_path):
    path = tmp_path / f"net{FORMATS[format][0]}"
    written = keras_seg.export(pointwise(), path, format=format, size=(8, 12))
    assert written.size == (8, 12)
    assert "for images of 8 x 12" in str(written)
    net = as_net(path)
    assert net.input_shape == (8, 12, 3)
    assert net.masks(images(8, 12, batch=3))[0].shape == (3, 8, 12)
    with pytest.raises(ValueError, match="tile=\\(8, 12\\)"):
        keras_seg.predict_mask(path, images(8, 13)[0])
    assert keras_seg.predict_mask(path, images(9, 13)[0], tile=(8, 12)).shape == (9, 13)


@pytest.mark.slow  # converters
def test_litert_fixes_the_size_where_it_must_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_seg.exports.formats._FIXED", (16, 24))
    image = keras.Input((None, None, 3))
    x = keras.layers.UpSampling2D(2)(keras.layers.AveragePooling2D(2)(image))
    model = keras.Model(image, keras.layers.Conv2D(CLASSES, 3, padding="same")(x))
    with pytest.warns(UserWarning, match=r"Conv2D.*images of 16 x 24 only. `size`"):
        written = keras_seg.export(model, tmp_path / "net.tflite", format="litert")
    assert written.size == (16, 24)


@pytest.mark.slow  # converters
@every_format
def test_pixels_without_a_number_are_ignored_in_masks(format, tmp_path):
    # Each pixel divided by its sum: black ones are 0 / 0.
    given = keras.Input((None, None, 3))
    shares = given / keras.ops.sum(given, axis=-1, keepdims=True)
    model = keras.Model(given, keras.layers.Conv2D(2, 1)(shares))
    path = tmp_path / f"net{FORMATS[format][0]}"
    keras_seg.export(model, path, format=format)
    one = np.maximum(images(3, 4, batch=1), 1)
    one[0, 1, 2] = 0
    mask = as_net(path).served("mask", one)
    assert np.argwhere(mask == 255).tolist() == [[0, 1, 2]]


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("path", "arguments", "said"),
    [
        ("a.onnx", {"format": "onnx2"}, "'saved_model', 'onnx', 'litert'.*'onnx2'"),
        ("a", {"quantize": "int4"}, "None, 'float16' or 'int8'. Received: 'int4'"),
        ("a", {"quantize": "int8"}, "`format='onnx'` or `format='litert'` with `q"),
        ("a", {"format": "onnx"}, r"ends in \.onnx.*Try: .*a\.onnx"),
        ("a.onnx", {"format": "litert"}, r"Try: .*a\.tflite"),
        ("a.onnx", {}, "name of a folder.*default.*a.onnx. Try: `format='onnx'`"),
        ("a.tflite", {}, "Try: `format='litert'`"),
        (
            "a.onnx",
            {"format": "onnx", "quantize": "int8"},
            r"Expected `examples` to be a list of images, uint8 \[height, width, 3\], "
            r"like.*ranges of int8.*Received: none. Try: examples=\[source",
        ),
        (
            "a.onnx",
            {"format": "onnx", "quantize": "int8", "examples": []},
            "Received: none.",
        ),
        (
            "a.onnx",
            {"format": "onnx", "examples": keras_seg.data.shapes(2, size=(8, 8))},
            "Received: a Source, which has masks too.",
        ),
        ("a.onnx", {"format": "onnx", "examples": 7}, "Received: int without images."),
        ("a", {"size": 64}, r"`size` to be pixels \(height, width\).*Received: 64"),
        ("a", {"size": (0, 64)}, "`size`"),
        ("a", {"palette": COLORS[:2]}, "`palette` to be 3 colours"),
        ("a", {"palette": [(0, 0, 256)] * 3}, "`palette`"),
        ("a", {"palette": [(0, 0), (1, 2, 3)]}, "`palette`"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, path, arguments, said):
    with pytest.raises(ValueError, match=said):
        keras_seg.export(pointwise(), tmp_path / path, **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((8, 8), np.uint8), r"uint8 \[8, 8\] as number 1"),
        (np.zeros((8, 8, 4), np.uint8), r"uint8 \[8, 8, 4\] as number 1"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8 \[0, 8, 3\] as number 1"),
        (np.zeros((8, 8, 3), np.float32), r"float32 \[8, 8, 3\] as number 1"),
    ],
)
def test_examples_that_are_no_images_are_refused(tmp_path, wrong, said):
    good = np.zeros((8, 8, 3), np.uint8)
    arguments = {"format": "litert", "quantize": "int8", "examples": [good, wrong]}
    with pytest.raises(ValueError, match=said):
        keras_seg.export(pointwise(), tmp_path / "a.tflite", **arguments)


@pytest.mark.parametrize(
    ("format", "package", "extra"),
    [("onnx", "tf2onnx", "onnx"), ("litert", "ai_edge_litert.interpreter", "litert")],
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, format, package, extra):
    monkeypatch.setitem(sys.modules, package, None)  # to import it is an error
    path = tmp_path / f"a{FORMATS[format][0]}"
    with pytest.raises(ImportError, match=rf"pip install 'keras-seg\[{extra}\]'"):
        keras_seg.export(pointwise(), path, format=format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ending", "package"),
    [(".onnx", "onnxruntime"), (".tflite", "ai_edge_litert.interpreter")],
)
def test_a_missing_runtime_is_named(tmp_path, monkeypatch, ending, package):
    monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"....TFL3")
    with pytest.raises(ImportError, match="Install it: pip install 'keras-seg"):
        keras_seg.predict_mask(path, images(4, 4)[0])


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"file is a file. Choose another `pa"):
        keras_seg.export(pointwise(), tmp_path / "file" / "served")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_model_that_leaves_no_pixel_is_refused_in_words(tmp_path):
    inputs = keras.Input((None, None, 3))
    outputs = keras.layers.Cropping2D(200)(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(3, 1)(outputs))
    with pytest.raises(
        ValueError, match=r"that takes none. For one of them: "
    ) as found:
        keras_seg.export(model, tmp_path / "served")
    assert not str(found.value).endswith("None")
