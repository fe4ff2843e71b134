"""PyTorch files, written opcode by opcode and by PyTorch itself."""

import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from keras_seg.models.weights.torch_file import kernel, read_torch_file

MAGIC = 0x1950A86A20F9469CFC6C

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
    if isinstance(value, dict):
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


def torch_archive(path, tensors, storages):
    """What torch.save writes since 2020."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02" + opcodes(tensors) + b".")
        archive.writestr("net/byteorder", "little")
        for storage in storages:
            archive.writestr(f"net/data/{storage.key}", storage.values.tobytes())
    return path


both = pytest.mark.parametrize("write", [torch_file, torch_archive])


def small_file(path, write):
    floats = Storage("7", np.arange(10, dtype="<f4"))
    count = Storage("9", np.array([2**40], "<i8"), "LongStorage")
    tensors = OrderedDict(
        matrix=Tensor(floats, 2, (2, 3), (3, 1)),
        turned=Tensor(floats, 2, (3, 2), (1, 3)),
        count=Tensor(count, 0, (), ()),
    )
    return write(path, tensors, [floats, count])


@both
def test_tensors_are_views_of_their_storages(write, tmp_path):
    read = read_torch_file(small_file(tmp_path / "a.pth", write))
    matrix = np.arange(2, 8, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(read["matrix"], matrix)
    np.testing.assert_array_equal(read["turned"], matrix.T)
    assert read["count"] == 2**40
    assert list(read) == ["matrix", "turned", "count"]


@both
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("HalfStorage", "float16"),
        ("BFloat16Storage", ml_dtypes.bfloat16),
        ("DoubleStorage", "float64"),
        ("LongStorage", "int64"),
        ("ShortStorage", "int16"),
        ("CharStorage", "int8"),
        ("ByteStorage", "uint8"),
        ("BoolStorage", "bool"),
    ],
)
def test_numbers_of_all_types_are_read(write, kind, dtype, tmp_path):
    values = np.array([1, 0, 3, 2.5, 100]).astype(dtype)
    storage = Storage("0", values, kind)
    tensors = OrderedDict(x=Tensor(storage, 0, (5,), (1,)))
    read = read_torch_file(write(tmp_path / "a.pth", tensors, [storage]))["x"]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, values)


@both
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_the_net_in_the_checkpoint_of_a_training_is_read(write, key, tmp_path):
    floats = Storage("0", np.arange(4, dtype="<f4"))
    tensors = OrderedDict(x=Tensor(floats, 0, (4,), (1,)))
    content = OrderedDict([("epoch", 3), (key, tensors), ("optimizer", OrderedDict())])
    read = read_torch_file(write(tmp_path / "a.pth", content, [floats]))
    assert list(read) == ["x"]
    np.testing.assert_array_equal(read["x"], [0, 1, 2, 3])


def test_a_tar_archive_is_told_what_it_is(tmp_path):
    # What PyTorch wrote until 2017: pickles in a tar archive.
    path = tmp_path / "old.pth"
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"N."))
    with pytest.raises(ValueError, match=r"old\.pth: .*tar archive.*until 2017.*save"):
        read_torch_file(path)


def test_a_zip_archive_that_would_grow_is_refused(tmp_path):
    # Ten megabytes of zeros in ten kilobytes; torch.save compresses nothing.
    path = tmp_path / "bomb.pth"
    zeros = Storage("0", np.zeros(10**7, "u1"), "ByteStorage")
    tensors = OrderedDict(x=Tensor(zeros, 0, (10**7,), (1,)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", b"\x80\x02" + opcodes(tensors) + b".")
        archive.writestr("net/data/0", zeros.values.tobytes())
    assert path.stat().st_size < 20_000
    with pytest.raises(ValueError, match=r"bomb\.pth: .*are compressed"):
        read_torch_file(path)


def test_parts_that_are_larger_than_their_archive_are_refused(tmp_path):
    # Many names of the same bytes: entries of the directory that overlap.
    floats = Storage("0", np.zeros(1000, "<f4"))
    tensors = OrderedDict(x=Tensor(floats, 0, (10,), (1,)))
    path = torch_archive(tmp_path / "small.pth", tensors, [floats])
    with zipfile.ZipFile(path, "a") as archive:
        (last,) = [i for i in archive.infolist() if i.filename == "net/data/0"]
        archive.filelist += [last] * 3
        archive._didModify = True  # or no directory is written anew
    with pytest.raises(ValueError, match=r"small\.pth: .*parts are larger"):
        read_torch_file(path)


def test_a_file_of_pytorch_is_read():
    # A convolution, a normalization, and a transposed tensor of 16 bits. Numbers count
    # on through all floats, in the order of the file.
    read = read_torch_file(Path(__file__).parent / "files" / "state_dict.pth")
    shapes = {name: array.shape for name, array in read.items()}
    assert shapes == {
        "conv.weight": (4, 3, 5, 5),
        "conv.bias": (4,),
        "norm.weight": (4,),
        "norm.bias": (4,),
        "norm.running_mean": (4,),
        "norm.running_var": (4,),
        "norm.num_batches_tracked": (),
        "half": (3, 2),
    }
    floats = [array.ravel() for array in list(read.values())[:6]]
    np.testing.assert_array_equal(np.concatenate(floats), np.arange(320))
    np.testing.assert_array_equal(read["half"], [[0, 3], [1, 4], [2, 5]])


def test_an_archive_with_a_storage_cut_or_lacking_names_itself(tmp_path):
    floats = Storage("0", np.zeros(10, "<f4"))
    tensors = OrderedDict(x=Tensor(floats, 0, (10,), (1,)))
    short = Storage("0", np.zeros(9, "<f4"))
    for storages in ([], [short]):
        path = torch_archive(tmp_path / "short.pth", tensors, storages)
        with pytest.raises(ValueError, match=r"short\.pth: Expected"):
            read_torch_file(path)


def test_kernels_are_turned_to_keras():
    weight = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    for out, into, y, x in np.ndindex(2, 3, 4, 5):
        assert kernel(weight)[y, x, into, out] == weight[out, into, y, x]
    depthwise = weight[:, :1]
    for channel, y, x in np.ndindex(2, 4, 5):
        turned = kernel(depthwise, depthwise=True)
        assert turned[y, x, channel, 0] == depthwise[channel, 0, y, x]


@both
def test_a_cut_file_names_itself(write, tmp_path):
    path = small_file(tmp_path / "a.pth", write)
    whole = path.read_bytes()
    cut = tmp_path / "cut.pth"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.pth: Expected") as raised:
            read_torch_file(cut)
        assert "object" not in str(raised.value)  # no word of Python's own
    said = "Its end is missing" if whole[:2] == b"PK" else "is cut"
    assert said in str(raised.value)


def test_a_foreign_file_names_itself(tmp_path):
    path = tmp_path / "foreign.pth"
    for first in range(256):
        path.write_bytes(bytes([first]) + b"PK\x03\x04hello\n." + bytes(50))
        with pytest.raises(ValueError, match=r"foreign\.pth: Expected"):
            read_torch_file(path)


@both
@pytest.mark.parametrize("content", [5, OrderedDict(epoch=3)])
def test_a_file_of_something_else_than_tensors_by_name_names_itself(
    write, content, tmp_path
):
    with pytest.raises(ValueError, match=r"list\.pth: Expected"):
        read_torch_file(write(tmp_path / "list.pth", content, []))


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
        with pytest.raises(ValueError, match=rf"evil\.pth: .*{module}\.{name}\. Save"):
            read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02" + call + b".")
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
@both
def test_a_tensor_can_not_reach_out_of_its_storage(
    write, offset, size, stride, tmp_path
):
    floats = Storage("0", np.zeros(10, "<f4"))
    tensors = OrderedDict(x=Tensor(floats, offset, size, stride))
    path = write(tmp_path / "wide.pth", tensors, [floats])
    with pytest.raises(ValueError, match=r"wide\.pth: Expected"):
        read_torch_file(path)


def test_such_a_pickle_would_run_elsewhere(tmp_path):
    # Or the test above would be about pickles that do no harm.
    victim = tmp_path / "victim"
    call = opcodes(Global("os", "system")) + opcodes((f"touch {victim}",)) + b"R"
    pickle.loads(b"\x80\x02" + call + b".")
    assert victim.exists()
