"""Nets of segmentation_models_pytorch (smp): equal to its own, with its weights."""

import functools
import json
import pathlib
import subprocess
import tempfile

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.models.weights import nets
from tests.models import oracles, smp_decoders
from tests.models.backbones import narrow_resnet, tiny
from tests.models.named_values import named_values
from tests.models.shapes_only import learning, no_numbers
from tests.models.torch_names import changed, torch_names, write_safetensors

FOLDER = pathlib.Path(__file__).parent
DECODERS = FOLDER / "files" / "smp_decoders.npz"
NETS = smp_decoders.NETS

# ------------------------------------------------------------------ its decoders


@functools.cache
def backbone():
    """A narrow ResNet and its tensors as smp names them."""
    model = narrow_resnet()
    return model, {f"encoder.{name}": x for name, x in torch_names(model).items()}


def tensors(net):
    """Tensors of a net with this backbone, by smp's names."""
    shapes = json.loads(str(np.load(DECODERS)[f"{net}/shapes"]))
    return backbone()[1] | {n: named_values(n, shape) for n, shape in shapes.items()}


def build(net, folder, *, of=None, num_classes=3, **arguments):
    """A net with a backbone like that, from a file of tensors."""
    write_safetensors(folder / "smp.safetensors", tensors(net) if of is None else of)
    own = {"encoder": backbone()[0], "weights": folder / "smp.safetensors"}
    own |= NETS[net] | arguments
    return getattr(keras_seg, net)(num_classes, **own)


@functools.cache
def shared(net):
    """Such a net, with smp's tensors, which tests share and leave as it is."""
    with tempfile.TemporaryDirectory() as folder:
        return build(net, pathlib.Path(folder))


def load(net, folder, of):
    """Load a file of tensors that don't fit into such a net, as the builder does."""
    write_safetensors(folder / "smp.safetensors", of)
    nets.load_net(shared(net), str(folder / "smp.safetensors"), net)


def decoder(model):
    """The model from features to scores inside of a net."""
    node = model.get_layer("encoder")._inbound_nodes[-1]
    return keras.Model(node.outputs, model.get_layer("score").output)


@pytest.mark.parametrize("net", NETS)
def test_with_tensors_of_smp_scores_are_those_of_its_decoder(net):
    model = shared(net)
    shapes = smp_decoders.feature_shapes(net)
    levels = model.get_layer("encoder").output
    features = [named_values(level, (1, *shapes[level])) for level in levels]
    expected = np.load(DECODERS)[f"{net}/score"]
    oracles.assert_close(decoder(model)(features), expected, tolerance=1e-5)
    # And the encoder's have come.
    inside = model.get_layer("encoder").layers[-1]
    for layer in inside.layers:
        wanted = backbone()[0].get_layer(layer.name).get_weights()
        for weight, value in zip(layer.get_weights(), wanted, strict=True):
            np.testing.assert_array_equal(weight, value)


@pytest.mark.peers
def test_the_file_holds_what_smp_computes(tmp_path, python_of_peers):
    path = tmp_path / "smp_decoders.npz"
    command = [python_of_peers, "-c", smp_decoders.SCRIPT, str(FOLDER), str(path)]
    subprocess.run(command, check=True)
    found, held = np.load(path), np.load(DECODERS)
    assert found.files == held.files
    for name in held.files:
        if name.endswith("/shapes"):
            assert str(found[name]) == str(held[name])
        else:
            oracles.assert_close(found[name], held[name], tolerance=1e-6)


# ------------------------------------------------------------------ whole nets

#: smp's names of nets by ours.
NAMES = {
    "unet": "Unet",
    "unet_plus_plus": "UnetPlusPlus",
    "fpn": "FPN",
    "linknet": "Linknet",
    "pspnet": "PSPNet",
    "deeplab_v3_plus": "DeepLabV3Plus",
    "upernet": "UPerNet",
}

#: smp 0.6 with random weights: what its last convolution gives, before the resize.
WHOLE = """
import segmentation_models_pytorch as smp

net, encoder = name.split("/")
net = getattr(smp, net)(encoder, encoder_weights=None, classes=7)
with torch.no_grad():
    for module in net.modules():
        if isinstance(module, (torch.nn.GroupNorm, torch.nn.LayerNorm)):
            module.weight.uniform_(0.5, 1.0)
            module.bias.normal_(0, 0.1)
randomized(net)
score = net.segmentation_head[0]
run(net, lambda x: {"score": score(net.decoder(net.encoder(x)))})
"""


@pytest.mark.peers
@pytest.mark.parametrize("encoder", ["resnet18", "resnet34"])
@pytest.mark.parametrize("net", NETS)
def test_scores_are_those_of_smp_with_its_weights(
    net, encoder, tmp_path, python_of_peers
):
    compare(net, encoder, encoder, tmp_path, python_of_peers)


@pytest.mark.peers
def test_scores_with_efficientnet_are_those_of_smp_with_its_weights(
    tmp_path, python_of_peers
):
    names = ("efficientnetb0", "efficientnet-b0")
    compare("unet", *names, tmp_path, python_of_peers)


def compare(net, encoder, encoder_there, folder, python):
    images, outputs = oracles.run(
        python,
        WHOLE,
        folder,
        f"{NAMES[net]}/{encoder_there}",
        [(128, 160), (65, 97)],
        multiple=8 if net == "pspnet" else 32,
    )
    model = getattr(keras_seg, net)(7, encoder=encoder, weights=folder / "net.pth")
    scores = keras.Model(model.input, model.get_layer("score").output)
    for x, expected in zip(images, outputs, strict=True):
        oracles.assert_close(scores(x), expected["score"])
        assert model(x).shape == (*x.shape[:3], 7)


# smp 0.6 with 21 classes, counted; of PSPNet the decoder and the head alone.
PARAMETERS = {
    ("unet_plus_plus", 18): 15_973_349,
    ("unet_plus_plus", 34): 26_081_509,
    ("unet_plus_plus", 50): 48_988_645,
    ("fpn", 18): 13_049_813,
    ("fpn", 34): 23_157_973,
    ("fpn", 50): 26_118_613,
    ("linknet", 18): 11_664_437,
    ("linknet", 34): 21_772_597,
    ("linknet", 50): 31_178_437,
    ("deeplab_v3_plus", 18): 12_334_437,
    ("deeplab_v3_plus", 34): 22_442_597,
    ("deeplab_v3_plus", 50): 26_682_725,
    ("upernet", 18): 19_496_661,
    ("upernet", 34): 29_604_821,
    ("upernet", 50): 37_289_813,
    ("pspnet", 34): 245_493,
}


@pytest.mark.parametrize(
    ("net", "depth"),
    [
        pytest.param(*key, marks=[pytest.mark.slow] if key[1] > 18 else [])
        for key in PARAMETERS
    ],
)
def test_parameters_are_those_of_smp(net, depth):
    with no_numbers():
        model = getattr(keras_seg, net)(21, encoder=f"resnet{depth}")
        found = learning(model)
        if net == "pspnet":
            found -= learning(model.get_layer("encoder"))
    assert found == PARAMETERS[net, depth]


# ------------------------------------------------------------------ what doesn't fit


@pytest.mark.parametrize("net", NETS)
def test_a_file_of_another_net_is_told_with_the_one_to_use(net, tmp_path):
    other = "linknet" if net == "fpn" else "fpn"
    said = rf"of .*'s {NAMES[net]}\. .*'s {NAMES[other]}: use keras_seg\.{other}\."
    with pytest.raises(ValueError, match=said):
        load(net, tmp_path, tensors(other))


def test_what_smp_has_beside_the_net_is_left_out(tmp_path):
    more = {
        "classification_head.3.weight": np.zeros((2, 32), "float32"),
        "encoder.bn1.num_batches_tracked": np.array([7]),
    }
    build("fpn", tmp_path, of=tensors("fpn") | more)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decoder.p5.weight": np.zeros((6, 64, 1, 1))}, "layer 'p5_lateral'"),
        ({"decoder.p4.skip_conv.bias": None}, "module decoder.p4.skip_conv: Expected"),
        ({"decoder.seg_blocks.0.block.2.block.1.weight": None}, "block.2.block.1: Exp"),
        ({"decoder.neck.weight": np.zeros(3)}, "Left over: decoder.neck"),
        ({"encoder.layer4.2.conv1.weight": np.zeros(3)}, "Left over: encoder/.*4_2_co"),
    ],
)
def test_what_does_not_fit_is_told_by_name(change, said, tmp_path):
    with pytest.raises(ValueError, match=rf"smp\.safetensors.*{said}"):
        load("fpn", tmp_path, changed(tensors("fpn"), **change))


def test_another_number_of_classes_wants_a_fresh_head(tmp_path):
    with pytest.raises(ValueError, match=r"of 5 classes.*Received: 3.*fresh_head=True"):
        build("fpn", tmp_path, num_classes=5)
    with pytest.warns(UserWarning, match="'score' starts anew, for 5 classes"):
        model = build("fpn", tmp_path, num_classes=5, fresh_head=True)
    kernel = tensors("fpn")["decoder.p5.weight"]
    found = model.get_layer("p5_lateral").kernel
    np.testing.assert_array_equal(found, kernel.transpose(2, 3, 1, 0))
    assert model.get_layer("score").filters == 5


@pytest.mark.parametrize("net", NETS)
def test_a_fresh_head_needs_weights(net):
    with pytest.raises(ValueError, match="Expected `weights` with fresh_head=True"):
        getattr(keras_seg, net)(3, fresh_head=True)


def test_backbones_that_smp_has_otherwise_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'efficientnetb0'.*Received: 'tiny'.* pad"):
        build("fpn", tmp_path, encoder=tiny())


def test_the_paper_s_nets_take_no_files_of_smp(tmp_path):
    for net in ("unet", "unet_plus_plus"):
        with pytest.raises(
            ValueError, match=r"Expected `weights`.*\(\.keras, \.weights\.h5\)"
        ):
            build(net, tmp_path, encoder=None)
