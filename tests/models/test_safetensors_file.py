"""Files .safetensors, written byte by byte and by the package of that name."""

import struct
import subprocess

import ml_dtypes
import numpy as np
import pytest

from keras_seg.models.weights.safetensors_file import read_safetensors
from tests.models.torch_names import safetensors


def some_tensors():
    rng = np.random.default_rng(0)
    return {
        "matrix": rng.normal(size=(3, 4)).astype("float32"),
        "half": rng.normal(size=5).astype("float16"),
        "brain": rng.normal(size=(2, 3)).astype(ml_dtypes.bfloat16),
        "count": np.int64(2**40),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), "float32"),
    }


def test_tensors_come_back(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(some_tensors(), metadata={"format": "pt"}))
    read = read_safetensors(path)
    assert list(read) == list(some_tensors())
    for name, wanted in some_tensors().items():
        assert read[name].dtype == np.asarray(wanted).dtype
        np.testing.assert_array_equal(read[name], wanted)


def test_a_cut_file_names_itself(tmp_path):
    whole = safetensors(some_tensors())
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.safetensors: Expected a \.safe"):
            read_safetensors(path)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "F8_E4M3"},
        {"dtype": None},
        {"shape": [3, 5]},
        {"shape": [-3, -4]},
        {"shape": "34"},
        {"data_offsets": [-48, 0]},
        {"data_offsets": [0, 47]},
        {"data_offsets": [10**9, 10**9 + 48]},
        {"data_offsets": [48, 0]},
        {"data_offsets": [0]},
        {"strides": [1, 3]},
    ],
)
def test_tensors_that_can_not_be_are_refused(change, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(safetensors({"x": np.zeros((3, 4), "float32")}, x=change))
    with pytest.raises(ValueError, match=r"bad\.safetensors: Expected a \.safetensors"):
        read_safetensors(path)


@pytest.mark.parametrize("offsets", [[-60, -12], [90, 138], [10**9, 10**9 + 48]])
def test_tensors_lie_within_the_file(offsets, tmp_path):
    # There are so many bytes, and 48 of them before the end, too.
    tensors = {"x": np.zeros((3, 4), "float32"), "y": np.zeros(20, "float32")}
    path = tmp_path / "bad.safetensors"
    path.write_bytes(safetensors(tensors, x={"data_offsets": offsets}))
    with pytest.raises(ValueError, match="A tensor reaches out of the file"):
        read_safetensors(path)


@pytest.mark.parametrize(
    "header", [b"[]", b"5", b"{", b'{"x": 5}', b"\xff\xff", b"[" * 9**5]
)
def test_other_headers_are_refused(header, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ValueError, match=r"bad\.safetensors: Expected a \.safetensors"):
        read_safetensors(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_safetensors(tmp_path / "none.safetensors")


WRITE = """
import sys
import torch
from safetensors.torch import save_file

torch.manual_seed(0)
tensors = {
    "a": torch.arange(24.0).reshape(2, 3, 4),
    "b": torch.arange(6).to(torch.bfloat16),
    "c": torch.arange(6).to(torch.float16),
    "d": torch.tensor(7),
}
save_file(tensors, sys.argv[1] + "/a.safetensors", metadata={"format": "pt"})
torch.save(tensors, sys.argv[1] + "/a.pth")
"""


@pytest.mark.peers
def test_files_of_the_package_are_read(tmp_path, python_of_peers):
    from keras_seg.models.weights.torch_file import read_torch_file

    subprocess.run([python_of_peers, "-c", WRITE, str(tmp_path)], check=True)
    for read in (
        read_safetensors(tmp_path / "a.safetensors"),
        read_torch_file(tmp_path / "a.pth"),
    ):
        assert sorted(read) == ["a", "b", "c", "d"]
        np.testing.assert_array_equal(read["a"], np.arange(24.0).reshape(2, 3, 4))
        assert read["b"].dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(read["b"], np.arange(6))
        np.testing.assert_array_equal(read["c"], np.arange(6))
        assert read["d"] == 7
