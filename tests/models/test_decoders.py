"""Nets with an encoder: what files of weights don't show."""

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.models import encoder
from tests.models.backbones import narrow_resnet, patches, tiny
from tests.models.shapes_only import no_numbers

THIN = {
    "fpn": {"pyramid_width": 4, "head_width": 4},
    "linknet": {"head_width": 4},
    "pspnet": {"head_width": 4},
    "deeplab_v3_plus": {"head_width": 4, "skip_width": 2},
    "upernet": {"head_width": 4},
}


def build(net, **arguments):
    return getattr(keras_seg, net)(3, **(THIN[net] | arguments))


def kernels_of(model, stage):
    """Dilations of the 3x3 convolutions of a stage of the ResNet inside."""
    inside = model.get_layer("encoder").layers[-1]
    return [
        layer.dilation_rate[0]
        for layer in inside.layers
        if layer.name.startswith(stage) and getattr(layer, "kernel_size", 0) == (3, 3)
    ]


def test_the_encoder_of_deeplab_v3_plus_is_dilated_as_smp_does_it():
    for stride, last, before in [(16, 2, 1), (8, 4, 2)]:
        with no_numbers():
            own = {"encoder": narrow_resnet(), "output_stride": stride}
            model = build("deeplab_v3_plus", **own)
        assert kernels_of(model, "layer4") == [last] * 4
        assert kernels_of(model, "layer3") == [before] * 4
        rates = [
            model.get_layer(f"aspp_depthwise{k}").dilation_rate[0] for k in (1, 2, 3)
        ]
        assert rates == [12, 24, 36]
        assert model.get_layer("deep_up").factor == stride // 4


def test_a_pspnet_has_half_of_an_encoder_or_a_whole_one_that_is_dilated():
    with no_numbers():
        half = build("pspnet", encoder=narrow_resnet())
        whole = build("pspnet", encoder=narrow_resnet(), level="P5")
    assert list(half.get_layer("encoder").output) == ["P1", "P2", "P3"]
    assert kernels_of(half, "layer2") == [1] * 4
    assert kernels_of(half, "layer3") == []
    assert kernels_of(whole, "layer3") == [1, 2, 2, 2]  # as torchvision does it
    assert kernels_of(whole, "layer4") == [2, 4, 4, 4]
    assert whole.get_layer("pool6_conv").filters == 32 // 4


def test_a_pspnet_of_half_an_encoder_has_no_auxiliary_head():
    with pytest.raises(ValueError, match=r"level='P5' with `auxiliary`.*'P3'.*0\.4"):
        build("pspnet", encoder=tiny(), auxiliary=0.4)
    with pytest.raises(
        ValueError, match=r"Expected `level` to be 'P3', 'P5'\. Rec.*P4"
    ):
        build("pspnet", encoder=tiny(), level="P4")


def test_an_encoder_ends_at_the_deepest_level_that_is_asked_for():
    model = encoder(tiny(), deepest="P3")
    assert list(model.output) == ["P1", "P2", "P3"]
    assert not [v.path for v in model.variables if "conv4" in v.path]
    assert model(np.zeros((1, 9, 15, 3)))["P3"].shape == (1, 2, 2, 8)  # padded to 8
    with pytest.raises(ValueError, match=r"`deepest` to be one of P2, P3, P4.*'P1'"):
        encoder(patches(), deepest="P1")
    with pytest.raises(ValueError, match=r"Expected `deepest` to be 'P1'.*'P6'"):
        encoder(tiny(), deepest="P6")


@pytest.mark.parametrize(
    ("net", "dropped"),
    [
        ("fpn", "sum"),
        ("linknet", "up1_relu3"),
        ("pspnet", "head_relu"),
        ("upernet", "head_relu"),
        ("deeplab_v3_plus", "aspp_project_relu"),
    ],
)
def test_dropout_is_where_the_docstring_says(net, dropped):
    with no_numbers():
        model = build(net, encoder=tiny(), dropout=0.3)
    name = "aspp_dropout" if net == "deeplab_v3_plus" else "dropout"
    layer = model.get_layer(name)
    assert layer.rate == 0.3
    assert layer.input is model.get_layer(dropped).output
    # Whole channels, but for the pyramid's single activations.
    whole = isinstance(layer, keras.layers.SpatialDropout2D)
    assert whole == (net != "deeplab_v3_plus")


@pytest.mark.parametrize("net", THIN)
def test_widths_that_are_none_are_refused(net):
    own = tiny()
    for argument in THIN[net]:
        for value in (0, 2.5, "4", None):
            with pytest.raises(ValueError, match=f"Expected `{argument}` to be a posi"):
                build(net, encoder=own, **{argument: value})


@pytest.mark.parametrize(
    ("net", "said"),
    [
        ("fpn", "P2, P3, P4, P5 for an FPN. Missing: P5"),
        ("linknet", "P2, P3, P4, P5 for a LinkNet. Missing: P5"),
        ("upernet", "P2, P3, P4, P5 for a UPerNet. Missing: P5"),
        ("deeplab_v3_plus", r"P2, P5 for a DeepLabV3\+. Missing: P5"),
    ],
)
def test_levels_that_are_missing_are_told(net, said):
    with pytest.raises(ValueError, match=f"Expected an encoder with the levels {said}"):
        build(net, encoder=tiny(levels=4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "arguments"),
    [
        ("linknet", {"encoder": patches, "auxiliary": 0.4}),
        ("pspnet", {"encoder": narrow_resnet, "level": "P5", "auxiliary": 0.4}),
        ("deeplab_v3_plus", {"encoder": tiny, "output_stride": 8, "auxiliary": 0.4}),
    ],
)
def test_other_levels_and_strides_give_logits_of_the_size_of_images(net, arguments):
    model = build(net, **(arguments | {"encoder": arguments["encoder"]()}))
    for size in [(1, 1), (33, 65)]:
        x = np.ones((1, *size, 3), "uint8")
        both = model.trained(x, training=True)
        assert [tuple(y.shape) for y in both.values()] == [(1, *size, 3)] * 2
        assert model(x).shape == (1, *size, 3)
