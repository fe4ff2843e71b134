"""Published files of weights: downloaded once, and checked."""

import hashlib
import os
import re

import keras

from keras_seg.models.weights.imagenet import models_folder


def download(address: str) -> str:
    """Return the path of a published file in Keras's cache; download it if need be.

    Args:
        address: Where the file is, whose name ends in the first digits of its SHA-256,
            as in "resnet50-0676ba61.pth".

    Raises:
        OSError: where the download fails, with the place for the file.
        ValueError: if what is in the cache is another file, or half of this one.
    """
    name = os.path.basename(address)
    (digits,) = re.findall(r"-([0-9a-f]+)\.", name)
    try:
        # Keras compares all digits or none, and only the first ones are known.
        path = keras.utils.get_file(name, address, cache_subdir="models")
    except Exception as error:  # what urllib, sockets and Keras raise
        raise OSError(
            f"Couldn't download {address}. Put {name} into {models_folder()} and try "
            f"again. {error}"
        ) from None
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(digits):
        raise ValueError(
            f"{path}: Expected a file whose SHA-256 begins with {digits}. Received: "
            f"{found}. Likely cause: the download was cut. Delete the file and try "
            "again."
        )
    return path
