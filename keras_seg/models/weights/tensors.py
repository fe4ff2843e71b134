"""Files of tensors by name: PyTorch's and Hugging Face's."""

import re

import numpy as np

from keras_seg.models.weights.safetensors_file import read_safetensors
from keras_seg.models.weights.torch_file import read_torch_file

#: What `DataParallel` and `torch.compile` put before the names of a net's modules.
_WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")
#: The endings of files that `read_tensors` reads.
TENSOR_FILES = (".pth", ".pt", ".bin", ".safetensors")


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """Read the tensors of a file, of whichever kind its name says.

    Args:
        path: A `.safetensors` file, or one that `torch.save` wrote.

    Returns:
        Arrays by name, without what `DataParallel` and `torch.compile` put before them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is cut or of another kind.
    """
    read = read_safetensors if path.endswith(".safetensors") else read_torch_file
    return {_WRAPPERS.sub("", name): x for name, x in read(path).items()}
