"""ResNet: torchvision's net, with torchvision's weights."""

import hashlib

import keras
import numpy as np
import pytest

from keras_seg.models import encoder
from keras_seg.models.encoders.dilation import dilate
from keras_seg.models.encoders.resnet import resnet
from keras_seg.models.weights.resnet import load_resnet
from tests.models import oracles
from tests.models.shapes_only import learning, no_numbers
from tests.models.torch_names import changed, torch_names

SIZES = [(128, 160), (65, 97)]


@pytest.fixture(scope="module")
def narrow():
    keras.utils.set_random_seed(0)
    model = resnet(18, width=4).model
    for k, variable in enumerate(model.variables):
        variable.assign(variable + 0.01 * k)
    return model


@pytest.mark.parametrize(
    ("depth", "published", "channels"),
    # torchvision's num_params, with the classifier: a matrix and 1000 biases.
    [
        (18, 11_689_512, 512),
        (34, 21_797_672, 512),
        (50, 25_557_032, 2048),
        (101, 44_549_160, 2048),
    ],
)
def test_parameters_are_those_of_torchvision(depth, published, channels):
    with no_numbers():
        model = encoder(f"resnet{depth}")
        assert learning(model) == published - 1000 * (channels + 1)
        width = channels // 8
        assert [x.shape[-1] for x in model.output.values()] == [
            *(64, width, 2 * width, 4 * width, 8 * width)
        ]


def test_images_are_normalized_as_torchvision_does():
    model = encoder("resnet18")
    names = [layer.name for layer in model.layers]
    seen = keras.Model(model.input, model.get_layer("normalize").output)
    assert names.index("normalize") == names.index("resnet18") - 1
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 64, 3)).astype("float32")
    expected = (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(seen(x), expected, atol=1e-5)


def test_normalization_is_that_of_pytorch(narrow):
    norms = [x for x in narrow.layers if "bn" in x.name or "downsample_1" in x.name]
    assert len(norms) == 20
    assert {(x.epsilon, x.momentum) for x in norms} == {(1e-5, 0.9)}


def test_other_bands_are_normalized_as_red_green_blue_and_red_again():
    model = encoder("resnet18", input_shape=(None, None, 5))
    seen = keras.Model(model.input, model.get_layer("normalize").output)
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 64, 5)).astype("float32")
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    expected = (x / 255 - [*mean, *mean[:2]]) / [*deviation, *deviation[:2]]
    np.testing.assert_allclose(seen(x), expected, atol=1e-5)
    assert model(np.zeros((1, 32, 32, 5)))["P5"].shape == (1, 1, 1, 512)


# -------------------------------------------------------------- output stride


def dilations(depth, output_stride, **arguments):
    """Dilation of the 3x3 convolutions of the last two stages, block by block."""
    with no_numbers():
        model = dilate(resnet(depth, width=4).model, output_stride, **arguments)
    found: dict = {}
    for layer in model.layers:
        if layer.name.startswith(("layer3", "layer4")) and "conv" in layer.name:
            if getattr(layer, "kernel_size", None) == (3, 3):
                found.setdefault(layer.name[:8], []).append(layer.dilation_rate[0])
    return [*found.values()]


def test_the_first_block_of_a_stage_keeps_the_dilation_of_the_stage_before():
    # What torchvision's _make_layer does, for the blocks of a ResNet-50.
    assert dilations(50, 8) == [[1], *[[2]] * 5, [2], [4], [4]]
    assert dilations(50, 16) == [*[[1]] * 6, [1], [2], [2]]


def test_with_dilate_first_all_convolutions_of_a_stage_have_its_dilation():
    # What segmentation_models_pytorch's replace_strides_with_dilation does.
    first = {"dilate_first": True}
    assert dilations(18, 8, **first) == [[2, 2], [2, 2], [4, 4], [4, 4]]
    assert dilations(18, 16, **first) == [[1, 1], [1, 1], [2, 2], [2, 2]]


# -------------------------------------------------------------- files of weights


def test_names_are_those_of_torchvision(narrow):
    names = torch_names(narrow)
    assert len(names) == 5 * 20  # convolutions, each with its normalization
    assert names["layer2.0.downsample.0.weight"].shape == (8, 4, 1, 1)
    assert names["layer4.1.conv2.weight"].shape == (32, 32, 3, 3)
    assert names["bn1.running_var"].shape == (4,)


@pytest.mark.parametrize("prefix", ["", "backbone.", "encoder."])
def test_weights_come_from_tensors_of_torchvision(narrow, prefix, monkeypatch):
    tensors = {prefix + name: x for name, x in torch_names(narrow).items()}
    if not prefix:
        tensors |= {"fc.weight": np.zeros((9, 32)), "fc.bias": np.zeros(9)}
    else:
        tensors |= {"head.0.weight": np.zeros((9, 32))}
    tensors[f"{prefix}bn1.num_batches_tracked"] = np.int64(7)
    monkeypatch.setattr(
        "keras_seg.models.weights.resnet.read_tensors", lambda path: tensors
    )
    model = resnet(18, width=4, weights="net.pth").model
    for weight, wanted in zip(model.get_weights(), narrow.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, wanted)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bn1.bias": None}, r"module bn1: Expected weight, bias, .*Received: weight"),
        ({"conv1.bias": np.zeros(4)}, "module conv1: Expected weight for .*bias"),
        ({"conv1.weight": None}, "Missing: conv1"),
        ({"conv1.weight": np.zeros((4, 3, 5, 5))}, r"layer 'conv1'.*\(5, 5, 3, 4\)"),
        ({"conv1.weight": np.zeros(4)}, r"layer 'conv1'.*Received: \[\(4,\)\]"),
        ({"conv1.weight": np.zeros((4, 3, 7, 7), "int8")}, "floating.*int8.*quantized"),
        ({"layer3.2.conv1.weight": np.zeros(4)}, r"Left over: layer3_2_conv1"),
        ({"neck.weight": np.zeros(4)}, "Left over: neck"),
    ],
)
def test_what_does_not_fit_is_told_by_name(narrow, change, said, monkeypatch):
    tensors = changed(torch_names(narrow), **change)
    monkeypatch.setattr(
        "keras_seg.models.weights.resnet.read_tensors", lambda path: tensors
    )
    with pytest.raises(ValueError, match=rf"net\.pth.*{said}"):
        load_resnet(narrow, "net.pth")


# -------------------------------------------------------------- published weights


def test_offline_the_error_says_the_address_and_the_place(weights_cache):
    with pytest.raises(OSError, match="Couldn't download https://download") as caught:
        encoder("resnet50", weights="imagenet")
    said = str(caught.value)
    assert "https://download.pytorch.org/models/resnet50-0676ba61.pth" in said
    assert f"Put resnet50-0676ba61.pth into {weights_cache} and try again" in said


def test_another_file_in_the_cache_is_told_by_its_checksum(weights_cache):
    weights_cache.mkdir()
    path = weights_cache / "resnet18-f37072fd.pth"
    path.write_bytes(b"half a file")
    found = hashlib.sha256(b"half a file").hexdigest()
    with pytest.raises(ValueError, match=f"begins with f37072fd. Received: {found}"):
        encoder("resnet18", weights="imagenet")


def test_a_file_in_the_cache_is_read(weights_cache, narrow, monkeypatch):
    content = b"weights"
    digits = hashlib.sha256(content).hexdigest()[:8]
    weights_cache.mkdir()
    (weights_cache / f"net-{digits}.pth").write_bytes(content)
    monkeypatch.setattr(
        "keras_seg.models.encoders.resnet._ADDRESSES",
        {18: f"https://a/net-{digits}.pth"},
    )
    read = []

    def tensors(path):
        read.append(path)
        return torch_names(narrow)

    monkeypatch.setattr("keras_seg.models.weights.resnet.read_tensors", tensors)
    resnet(18, width=4, weights="imagenet")
    assert read == [str(weights_cache / f"net-{digits}.pth")]


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_addresses_are_those_of_torchvision(depth):
    # torchvision.models.ResNet*_Weights.IMAGENET1K_V1.url
    from keras_seg.models.encoders.resnet import _ADDRESSES

    digits = {18: "f37072fd", 34: "b627a593", 50: "0676ba61", 101: "63fe2227"}[depth]
    address = f"https://download.pytorch.org/models/resnet{depth}-{digits}.pth"
    assert _ADDRESSES[depth] == address


# -------------------------------------------------------------- beside other programs


@pytest.mark.peers
@pytest.mark.parametrize(
    "name", ["resnet18-32", "resnet50-32", "resnet50-16", "resnet50-8", "resnet101-8"]
)
def test_features_are_those_of_torchvision(name, tmp_path, python_of_peers):
    depth, stride = name.split("-")
    images, outputs = oracles.run(
        python_of_peers, oracles.RESNET, tmp_path, name, SIZES
    )
    path = str(tmp_path / "net.pth")
    model = encoder(depth, weights=path, output_stride=int(stride))
    for x, expected in zip(images, outputs, strict=True):
        for level, feature in model(x).items():
            oracles.assert_close(feature, expected[level])


@pytest.mark.peers
@pytest.mark.parametrize("name", ["resnet34-8", "resnet34-16"])
def test_features_with_dilate_first_are_those_of_segmentation_models_pytorch(
    name, tmp_path, python_of_peers
):
    depth, stride = name.split("-")
    images, outputs = oracles.run(
        python_of_peers, oracles.SMP_ENCODER, tmp_path, name, SIZES
    )
    path = str(tmp_path / "net.pth")
    arguments = {"weights": path, "output_stride": int(stride)}
    model = encoder(depth, dilate_first=True, **arguments)
    other = encoder(depth, **arguments)
    for x, expected in zip(images, outputs, strict=True):
        for level, feature in model(x).items():
            oracles.assert_close(feature, expected[level])
        assert np.abs(other(x)["P5"] - expected["P5"]).max() > 0.01 * np.ptp(
            expected["P5"]
        )
