"""FCN and DeepLabV3 as torchvision has them, with torchvision's files."""

import functools
import hashlib

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.models import encoder
from keras_seg.models.weights import nets, torchvision
from keras_seg.models.weights.tensors import read_tensors
from tests.models import oracles
from tests.models.backbones import narrow_resnet, tiny
from tests.models.shapes_only import learning, no_numbers
from tests.models.torch_names import PARTS, changed, torch_names, write_safetensors

NETS = ("fcn", "deeplab_v3")

#: Our layers, and torchvision's modules, but for those of the backbone.
_AUXILIARY = {
    "auxiliary_conv": "aux_classifier.0",
    "auxiliary_norm": "aux_classifier.1",
    "auxiliary_score": "aux_classifier.4",
}
MODULES = {
    "fcn": {
        "head_conv": "classifier.0",
        "head_norm": "classifier.1",
        "score": "classifier.4",
        **_AUXILIARY,
    },
    "deeplab_v3": {
        **{f"aspp_conv{k}": f"classifier.0.convs.{k}.0" for k in range(4)},
        **{f"aspp_norm{k}": f"classifier.0.convs.{k}.1" for k in range(4)},
        "aspp_pool_conv": "classifier.0.convs.4.1",
        "aspp_pool_norm": "classifier.0.convs.4.2",
        "aspp_project_conv": "classifier.0.project.0",
        "aspp_project_norm": "classifier.0.project.1",
        "head_conv": "classifier.1",
        "head_norm": "classifier.2",
        "score": "classifier.4",
        **_AUXILIARY,
    },
}


@functools.cache
def backbone():
    """A narrow ResNet, which encoders copy."""
    return narrow_resnet()


def build(net, **arguments):
    own = {"encoder": backbone(), "num_classes": 3, "head_width": 6, "auxiliary": 0.5}
    return getattr(keras_seg, net)(**(own | arguments))


@functools.cache
def shared(net):
    """A narrow net with an auxiliary head, and its tensors by torchvision's names."""
    keras.utils.set_random_seed(0)
    model = build(net)
    rng = np.random.default_rng(0)
    tensors = {}
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        if not variable.path.startswith("encoder/"):
            layer, part = variable.path.split("/")
            value = variable.numpy()
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
            tensors[f"{MODULES[net][layer]}.{PARTS[part]}"] = value
    backbone = torch_names(model.get_layer("encoder"))
    return model, tensors | {f"backbone.{k}": v for k, v in backbone.items()}


@pytest.fixture
def file(tmp_path):
    """A function: the path of a file of a net's tensors, some of them changed."""

    def write(net, **change):
        tensors = changed(shared(net)[1], **change)
        write_safetensors(tmp_path / "net.safetensors", tensors)
        return tmp_path / "net.safetensors"

    return write


def same(model, other, leave_out=()):
    """Assert that two models have the same weights, but for some layers."""
    found = {v.path: v for v in other.variables}
    for variable in model.variables:
        layer = variable.path.split("/")[0]
        if layer not in leave_out and "seed" not in variable.path:
            np.testing.assert_array_equal(found[variable.path], variable)


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    ("net", "depth", "count", "with_head"),
    # torchvision 0.29.1, 21 classes, without and with the auxiliary head.
    [
        ("fcn", 50, 32_957_013, 35_322_218),
        ("deeplab_v3", 50, 39_638_869, 42_004_074),
        pytest.param("fcn", 101, 51_949_141, 54_314_346, marks=pytest.mark.slow),
        pytest.param("deeplab_v3", 101, 58_630_997, 60_996_202, marks=pytest.mark.slow),
    ],
)
def test_parameters_are_those_of_torchvision(net, depth, count, with_head):
    with no_numbers():
        made = encoder(f"resnet{depth}", output_stride=8)
        builder = getattr(keras_seg, net)
        assert learning(builder(21, encoder=made)) == count
        assert learning(builder(21, encoder=made, auxiliary=0.5)) == with_head


# ------------------------------------------------------------------ geometry


def test_rates_of_the_pyramid_are_halved_at_output_stride_16():
    # Section 3.3 of the paper: 6, 12, 18 at 16, doubled at 8.
    for stride, rates in [(8, (12, 24, 36)), (16, (6, 12, 18))]:
        model = keras_seg.deeplab_v3(
            3, encoder=tiny(), head_width=4, output_stride=stride
        )
        found = [model.get_layer(f"aspp_conv{k}").dilation_rate[0] for k in range(4)]
        assert found == [1, *rates]
        assert model.get_layer("upsample").factor == stride


def test_features_of_the_whole_image_are_their_mean_at_every_pixel():
    model = keras_seg.deeplab_v3(3, encoder=tiny(), head_width=4)
    names = ("aspp_pool_mean", "aspp_pool_relu", "aspp_pool_broadcast")
    features = model.get_layer("aspp_pool_mean").input
    parts = [features, *(model.get_layer(name).output for name in names)]
    x = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3))
    features, mean, pool, everywhere = keras.Model(model.input, parts)(x)
    expected = np.mean(features, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-5)
    assert everywhere.shape == (2, 8, 12, 4)
    np.testing.assert_array_equal(everywhere, np.tile(pool, (1, 8, 12, 1)))


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_an_fcn_scores_at_its_output_stride(stride):
    model = keras_seg.fcn(3, encoder=tiny(), output_stride=stride)
    score = keras.Model(model.input, model.get_layer("score").output)
    assert score(np.zeros((1, 64, 96, 3))).shape == (1, 64 // stride, 96 // stride, 3)
    assert model.get_layer("head_conv").filters == 12 // 4


def test_an_encoder_of_another_output_stride_is_told():
    made = encoder(tiny())
    with pytest.raises(ValueError, match=r"for an FCN .*'P5': 8.*Received: \{'P5': 32"):
        keras_seg.fcn(3, encoder=made)
    keras_seg.fcn(3, encoder=made, output_stride=32)


# ------------------------------------------------------------------ files of weights


@pytest.mark.parametrize("net", NETS)
def test_weights_come_from_tensors_of_torchvision(net, file):
    model, tensors = shared(net)
    assert len(tensors) == len([v for v in model.variables if "seed" not in v.path])
    path = file(net, **{"backbone.bn1.num_batches_tracked": np.int64(3)})
    same(model, build(net, weights=path))


def test_names_of_a_net_that_was_trained_in_a_wrapper_are_known(tmp_path):
    path = str(tmp_path / "net.safetensors")
    for prefix in ("module.", "_orig_mod.", "_orig_mod.module."):
        wrapped = {prefix + "conv1.weight": np.ones(2), prefix + "fc.bias": np.zeros(2)}
        write_safetensors(tmp_path / "net.safetensors", wrapped)
        assert list(read_tensors(path)) == ["conv1.weight", "fc.bias"]


def test_the_head_in_a_file_is_left_out_and_without_one_it_starts_anew(file):
    model, tensors = shared("fcn")
    auxiliary = dict.fromkeys(k for k in tensors if k.startswith("aux_classifier"))
    without = build("fcn", auxiliary=0.0, weights=file("fcn"))
    same(without, model)
    heads = "auxiliary_conv, auxiliary_norm, auxiliary_score;"
    with pytest.warns(UserWarning, match=f"left as they start: {heads}"):
        loaded = build("fcn", weights=file("fcn", **auxiliary))
    same(without, loaded)


def test_another_number_of_classes_is_told_with_the_remedy(file):
    path = file("fcn")
    with pytest.raises(
        ValueError,
        match=r"net\.safetensors.*of 5 classes.*: 3 classes.*fresh_head=True",
    ):
        build("fcn", num_classes=5, weights=path)
    with pytest.warns(UserWarning, match="'score' starts anew, for 5 classes"):
        loaded = build("fcn", num_classes=5, weights=path, fresh_head=True)
    scores = ("score", "auxiliary_score")
    same(shared("fcn")[0], loaded, leave_out=scores)
    assert np.all(loaded.get_layer("score").get_weights()[1] == 0)


def test_weights_come_from_an_equal_model_of_another_number_of_classes(tmp_path):
    plain = {"encoder": tiny(), "auxiliary": 0.0}
    model = build("fcn", **plain)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"model\.keras.* 5 classes.* 3 classes"):
        build("fcn", num_classes=5, weights=tmp_path, **plain)
    with pytest.warns(UserWarning, match="'score' starts anew"):
        loaded = build("fcn", num_classes=5, weights=tmp_path, fresh_head=True, **plain)
    same(model, loaded, leave_out=("score",))
    same(model, build("fcn", weights=tmp_path, **plain))


def test_a_fresh_head_without_weights_is_refused():
    with pytest.raises(ValueError, match="Expected `weights` with fresh_head=True"):
        build("fcn", fresh_head=True)


@pytest.mark.parametrize(
    ("net", "names", "said"),
    [
        (
            "fcn",
            None,
            "of torchvision's FCN. Received those of torchvision's DeepLabV3",
        ),
        ("fcn", None, r"use keras_seg\.deeplab_v3"),
        ("deeplab_v3", None, r"torchvision's FCN: use keras_seg\.fcn"),
        (
            "deeplab_v3",
            ["encoder.conv1.weight", "decoder.aspp.convs.0.0.weight"],
            "segmentation_models_pytorch, which dilates the first convolution of a",
        ),
        ("deeplab_v3", ["decoder.0.convs.0.0.weight"], "which dilates the first"),
        (
            "fcn",
            ["encoder.layer4.0.conv1.weight", "segmentation_head.0.weight"],
            "another net of segmentation_models_pytorch",
        ),
        ("fcn", ["backbone.0.0.weight", "classifier.cbr.0.weight"], "LRASPP"),
        ("fcn", ["backbone.conv1.weight", "decode_head.conv_seg.weight"], "mmsegment"),
        ("fcn", ["conv1.weight", "layer4.0.conv1.weight"], "for `encoder_weights`"),
        ("fcn", ["a.weight"], r"Missing: encoder/resnet18/.*Left over: a\."),
    ],
)
def test_files_of_other_nets_are_told_what_they_are(net, names, said, file, tmp_path):
    if names is None:
        path = file("deeplab_v3" if net == "fcn" else "fcn")
    else:
        path = tmp_path / "other.safetensors"
        write_safetensors(path, {name: np.zeros(3, "float32") for name in names})
    with pytest.raises(ValueError, match=rf"\.safetensors: .*{said}"):
        nets.load_net(shared(net)[0].trained, str(path), net)


def test_what_does_not_fit_is_told_by_name(file):
    path = file(
        "fcn", **{"backbone.layer3.2.conv1.weight": np.zeros((4, 4, 3, 3), "f4")}
    )
    model = shared("fcn")[0].trained
    with pytest.raises(ValueError, match="Left over: encoder/resnet18/layer3_2_conv1"):
        nets.load_net(model, str(path), "fcn")
    path = file("fcn", **{"classifier.4.bias": np.float32(1)})
    with pytest.raises(ValueError, match=r"of 3 classes, .* Received: 1 classes"):
        nets.load_net(model, str(path), "fcn")
    path = file("fcn", **{"classifier.0.weight": np.zeros((7, 32, 3, 3), "f4")})
    with pytest.raises(ValueError, match=r"layer 'head_conv'.*\(3, 3, 32, 7\)"):
        nets.load_net(model, str(path), "fcn")


# ------------------------------------------------------------------ published weights

ADDRESSES = {
    # torchvision.models.segmentation.*_Weights.COCO_WITH_VOC_LABELS_V1.url
    ("fcn", "resnet50"): "fcn_resnet50_coco-1167a1af.pth",
    ("fcn", "resnet101"): "fcn_resnet101_coco-7ecb50ca.pth",
    ("deeplab_v3", "resnet50"): "deeplabv3_resnet50_coco-cd0a2569.pth",
    ("deeplab_v3", "resnet101"): "deeplabv3_resnet101_coco-586e9e4e.pth",
}


@pytest.mark.parametrize(("net", "name"), ADDRESSES)
def test_offline_the_error_says_the_address_and_the_place(net, name, weights_cache):
    file = ADDRESSES[net, name]
    with pytest.raises(OSError, match="Couldn't download ") as caught:
        build(net, num_classes=21, encoder=name, weights="coco_voc")
    assert f"https://download.pytorch.org/models/{file}." in str(caught.value)
    assert f"Put {file} into {weights_cache}" in str(caught.value)


def test_published_weights_are_for_their_encoders_and_classes_only():
    for other in ("resnet18", tiny()):
        with pytest.raises(ValueError, match="'resnet50' or 'resnet101' with weights="):
            build("fcn", num_classes=21, encoder=other, weights="coco_voc")
    with pytest.raises(ValueError, match=r"coco_voc: .*of 6 classes.*: 21 classes"):
        build("deeplab_v3", num_classes=6, encoder="resnet50", weights="coco_voc")
    for words in (["coco"], ["net.h5"]):
        with pytest.raises(
            ValueError, match=r"Expected `weights`.*'coco_voc', .*\.pth"
        ):
            build("fcn", weights=words[0])


def test_published_weights_are_read_from_the_cache(weights_cache, monkeypatch):
    content = b"weights"
    name = f"fcn-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    weights_cache.mkdir()
    (weights_cache / name).write_bytes(content)
    monkeypatch.setattr(torchvision, "_FILES", {("fcn", "resnet50"): name})
    found = torchvision.file("fcn", "resnet50", 21, fresh_head=False)
    assert found == str(weights_cache / name)


# ------------------------------------------------------------------ beside torchvision


@pytest.mark.peers
@pytest.mark.parametrize(
    "name",
    [
        *("fcn_resnet50", "deeplabv3_resnet50"),
        pytest.param("fcn_resnet101", marks=pytest.mark.slow),
        pytest.param("deeplabv3_resnet101", marks=pytest.mark.slow),
    ],
)
def test_outputs_are_those_of_torchvision(name, tmp_path, python_of_peers):
    sizes = [(128, 160), (65, 97)]
    images, outputs = oracles.run(
        python_of_peers, oracles.SEGMENTATION, tmp_path, name, sizes
    )
    builder, backbone = name.split("_")
    builder = builder.replace("deeplabv3", "deeplab_v3")
    model = getattr(keras_seg, builder)(
        21, encoder=backbone, weights=tmp_path / "net.pth", auxiliary=0.5
    )
    layers = ("score", "auxiliary_score", "logits", "auxiliary_logits")
    names = ("score", "auxiliary_score", "logits", "auxiliary")
    trained = model.trained
    parts = keras.Model(
        trained.input, [trained.get_layer(layer).output for layer in layers]
    )
    for x, expected in zip(images, outputs, strict=True):
        height, width = x.shape[1:3]
        for found, key in zip(parts(x), names, strict=True):
            wanted = expected[key]
            if "score" not in key:
                wanted = wanted[:, :height, :width]
            assert found.shape == wanted.shape
            oracles.assert_close(found, wanted)
        oracles.assert_close(model(x), expected["logits"][:, :height, :width])
