"""SegFormer as Hugging Face has it, with Hugging Face's files."""

import re

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.models import encoder
from keras_seg.models.weights.nets import load_net
from keras_seg.models.weights.segformer import load_mit
from tests.models import oracles
from tests.models.backbones import tiny, tiny_mit
from tests.models.shapes_only import no_numbers
from tests.models.test_mit import linear, randomized

#: Parameters of transformers' SegFormers of 150 classes, and of their encoders.
PUBLISHED = {
    "mit_b0": (3_752_694, 3_319_392),
    "mit_b1": (13_715_798, 13_151_424),
    "mit_b2": (27_461_974, 24_196_288),
    "mit_b3": (47_337_814, 44_072_128),
    "mit_b4": (64_108_374, 60_842_688),
    "mit_b5": (84_708_694, 81_443_008),
}


def learning(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


SLOW = ("mit_b3", "mit_b4", "mit_b5")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in PUBLISHED
    ],
)
def test_parameters_are_those_of_hugging_face(name):
    with no_numbers():
        model = keras_seg.segformer(150, encoder=name)
        assert learning(model) == PUBLISHED[name][0]
        assert learning(model.get_layer("encoder")) == PUBLISHED[name][1]


def test_width_and_dropout_are_those_of_hugging_face_unless_told_otherwise(net):
    for model, width in ((keras_seg.segformer(3, encoder=tiny()), 256), (net, 6)):
        before = model.get_layer("score").input._keras_history.operation
        assert (before.name, before.rate) == ("dropout", 0.1)
        assert before.output.shape[-1] == width
    without = keras_seg.segformer(3, encoder=tiny(), dropout=0.0)
    assert "dropout" not in [layer.name for layer in without.layers]


# ------------------------------------------------------------------ the decoder


def build(**arguments):
    own = {"encoder": tiny_mit(), "head_width": 6}
    net = keras_seg.segformer(**({"num_classes": 3} | own | arguments))
    rng = np.random.default_rng(0)
    for variable in net.variables:
        if variable.path.endswith("moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif "seed" not in variable.path:
            variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    return net


@pytest.fixture(scope="module")
def net():
    """A narrow SegFormer of three classes, which tests share and leave as it is."""
    return build()


def images(*size):
    return np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)


def part(net, layer):
    return keras.Model(net.input, net.get_layer(layer).output)


def test_scores_are_those_of_resized_concatenated_and_fused_features(net):
    # Equation 4 of the paper, with one kernel that fuses the levels, deepest first.
    weights = {x.name: x.get_weights() for x in net.layers if x.weights}
    x = images(64, 96)
    parts, kernels = [], []
    for k, feature in sorted(net.get_layer("encoder")(x).items(), reverse=True):
        y = linear(np.asarray(feature), weights[f"{k.lower()}_linear"])
        parts.append(keras.ops.image.resize(y, (16, 24), data_format="channels_last"))
        kernels += weights[f"{k.lower()}_fuse"]
    fused = np.concatenate(parts, axis=-1) @ np.concatenate(kernels)
    gamma, beta, mean, variance = weights["fuse_norm"]
    fused = (fused - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    assert 0.2 < np.mean(fused > 0) < 0.8
    kernel, bias = weights["score"]
    expected = np.maximum(fused, 0) @ kernel[0, 0] + bias
    found = part(net, "score")(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    logits = keras.ops.image.resize(expected, (64, 96), data_format="channels_last")
    np.testing.assert_allclose(net(x), logits, rtol=1e-4, atol=1e-4)


def test_encoders_without_a_level_or_with_other_strides_are_refused():
    with pytest.raises(ValueError, match=r"for a SegFormer\. Missing: P5\."):
        build(encoder=tiny(levels=4))
    with pytest.raises(ValueError, match=r"for a SegFormer.*'P5': 16.*output_stride"):
        build(encoder=encoder(tiny(), output_stride=16))


# ------------------------------------------------------------------ files of weights

#: Our layers, and modules in Hugging Face's published files.
MODULES = {
    r"stage(\d)_patch_conv": r"segformer.encoder.patch_embeddings.\1.proj",
    r"stage(\d)_patch_norm": r"segformer.encoder.patch_embeddings.\1.layer_norm",
    r"stage(\d)_norm": r"segformer.encoder.layer_norm.\1",
    r"stage(\d)_block(\d)_": r"segformer.encoder.block.\1.\2.",
    "attention_(query|key|value)$": r"attention.self.\1",
    "attention_reduce_conv": "attention.self.sr",
    "attention_reduce_norm": "attention.self.layer_norm",
    "attention_project": "attention.output.dense",
    r"norm(\d)$": r"layer_norm_\1",
    "ffn_expand": "mlp.dense1",
    "ffn_conv": "mlp.dwconv.dwconv",
    "ffn_project": "mlp.dense2",
    "p2_linear": "decode_head.linear_c.0.proj",
    "p3_linear": "decode_head.linear_c.1.proj",
    "p4_linear": "decode_head.linear_c.2.proj",
    "p5_linear": "decode_head.linear_c.3.proj",
    "fuse_norm": "decode_head.batch_norm",
    "^score": "decode_head.classifier",
}
PARTS = {
    **{"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"},
    **{"moving_mean": "running_mean", "moving_variance": "running_var"},
}


def hugging_face(model):
    """The tensors of a model, as a published file has them."""
    tensors, fuse = {}, []
    for variable in model.variables:
        *_, name, kind = variable.path.split("/")
        value = variable.numpy()
        if "seed" in variable.path:
            continue
        if re.fullmatch(r"p\d_fuse", name):
            fuse.append(value.T[..., None, None])
            continue
        if value.ndim == 4:
            axes = (2, 3, 0, 1) if name.endswith("ffn_conv") else (3, 2, 0, 1)
            value = value.transpose(axes)
        for pattern, module in MODULES.items():
            name = re.sub(pattern, module, name)
        tensors[f"{name}.{PARTS[kind]}"] = value.T if value.ndim == 2 else value
    if fuse:  # the model has P5 first
        tensors["decode_head.linear_fuse.weight"] = np.concatenate(fuse, axis=1)
        tensors["decode_head.batch_norm.num_batches_tracked"] = np.int64(7)
    return tensors


@pytest.fixture
def file_of(monkeypatch, tmp_path):
    """A function from tensors to the path of a file that is read as if it had them."""

    def write(tensors):
        path = tmp_path / "net.bin"
        path.touch()
        for module in ("nets", "segformer"):
            name = f"keras_seg.models.weights.{module}.read_tensors"
            monkeypatch.setattr(name, lambda _: tensors)
        return str(path)

    return write


def assert_equal_weights(found, wanted):
    assert len(found.get_weights()) == len(wanted.get_weights())
    for a, b in zip(found.variables, wanted.variables, strict=True):
        if "seed" not in a.path:
            np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


def test_weights_of_a_net_come_from_tensors_of_hugging_face(net, file_of):
    tensors = hugging_face(net)
    assert tensors["segformer.encoder.block.0.0.mlp.dense1.weight"].shape == (16, 4)
    assert tensors["decode_head.linear_fuse.weight"].shape == (6, 24, 1, 1)
    own = {"encoder": tiny_mit(), "head_width": 6}
    found = keras_seg.segformer(3, weights=file_of(tensors), **own)
    assert_equal_weights(found, net)


def test_fresh_head_loads_all_but_the_scores(net, file_of):
    path = file_of(hugging_face(net))
    own = {"encoder": tiny_mit(), "head_width": 6, "weights": path}
    with pytest.warns(UserWarning, match=r"'score' starts anew, for 5 classes"):
        found = keras_seg.segformer(5, fresh_head=True, **own)
    assert_equal_weights(found.get_layer("encoder"), net.get_layer("encoder"))
    assert_equal_weights(found.get_layer("fuse_norm"), net.get_layer("fuse_norm"))
    assert not np.any(found.get_layer("score").bias.numpy())
    with pytest.raises(ValueError, match=r"weights of 5 classes.*Received: 3.*fresh_"):
        load_net(found, path, "segformer")
    with pytest.raises(ValueError, match="Expected `weights` with fresh_head=True"):
        keras_seg.segformer(5, fresh_head=True)


def test_weights_of_a_net_come_from_its_own_file(net, tmp_path):
    net.save(tmp_path / "net.keras")
    own = {"encoder": tiny_mit(), "head_width": 6}
    found = keras_seg.segformer(3, weights=str(tmp_path / "net.keras"), **own)
    assert_equal_weights(found, net)


def changed(tensors, **others):
    return {k: v for k, v in (tensors | others).items() if v is not None}


NORM = "segformer.encoder.layer_norm.0"
FUSE = "decode_head.linear_fuse.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({f"{NORM}.bias": None}, rf"module {NORM}: Expected weight, bias"),
        ({f"{NORM}.bias": None, f"{NORM}.weight": None}, "Missing: .*/stage0_norm"),
        ({f"{NORM}.bias": np.zeros(9)}, r"stage0_norm.*Received: \[\(4,\), \(9,\)\]"),
        ({"segformer.encoder.layer_norm.4.bias": np.zeros(4)}, "Left over: .*stage4_n"),
        ({"decode_head.neck.bias": np.zeros(4)}, "Left over: decode_head.neck"),
        ({FUSE: None}, "Expected weights of a SegFormer.*for `encoder_weights`"),
        ({FUSE: np.zeros((6, 20, 1, 1))}, r"\(6, 6\).*p5_fuse.*Received: \[\(5, 6\)\]"),
        ({FUSE: np.zeros(6)}, "Missing: p5_fuse, p4_fuse, p3_fuse, p2_fuse"),
    ],
)
def test_what_does_not_fit_is_told_by_name(net, change, said, file_of):
    path = file_of(changed(hugging_face(net), **change))
    before = net.get_weights()
    with pytest.raises(ValueError, match=rf"net\.bin.*{said}"):
        load_net(net, path, "segformer")
    for a, b in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_an_encoder_come_from_an_encoder_or_a_whole_net(
    net, file_of, monkeypatch
):
    tensors = hugging_face(net)
    alone = {
        name.removeprefix("segformer."): x
        for name, x in tensors.items()
        if name.startswith("segformer.")
    }
    classifier = {"classifier.weight": np.zeros((9, 8)), "classifier.bias": np.zeros(9)}
    found = tiny_mit()
    for known in (tensors, alone, alone | classifier):
        randomized(found)
        load_mit(found, file_of(known))
        assert_equal_weights(found, net.get_layer("encoder"))
    monkeypatch.setattr(
        "keras_seg.models.encoders.mit.MIT", {"mit_b0": ((4, 4, 5, 8), (1, 0, 0, 1))}
    )
    made = encoder("mit_b0", weights=file_of(tensors))
    assert_equal_weights(made, net.get_layer("encoder"))


# ------------------------------------------------------------------ beside transformers


@pytest.mark.peers
@pytest.mark.parametrize("name", ["b0", "b2"])
def test_features_and_scores_are_those_of_hugging_face(name, tmp_path, python_of_peers):
    sizes = [(128, 160), (65, 97)]
    arguments = (python_of_peers, oracles.SEGFORMER, tmp_path, name, sizes)
    inputs, outputs = oracles.run(*arguments)
    own = {"encoder": f"mit_{name}"}
    # transformers writes the published names; torch those that nets have in memory.
    for file in ("model.safetensors", "net.pth"):
        net = keras_seg.segformer(21, weights=str(tmp_path / file), **own)
        made = encoder(f"mit_{name}", weights=str(tmp_path / file))
        for x, expected in zip(inputs, outputs, strict=True):
            oracles.assert_close(part(net, "score")(x), expected["score"])
            for level, feature in made(x).items():
                oracles.assert_close(feature, expected[level])
