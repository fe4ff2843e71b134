"""Weights that Keras downloads, and what to do where it can't."""

import os
import re
from collections.abc import Callable

import keras


def with_downloads(build: Callable[[], keras.Model]) -> keras.Model:
    """Build a model of `keras.applications` with weights that Keras downloads.

    Raises:
        OSError: where the download fails, with the place for the file.
    """
    try:
        return build()
    except Exception as error:  # what Keras raises
        url = re.search(r"https?://\S+/([^/\s]+\.h5)", str(error))
        if url is None:
            raise
        raise OSError(
            f"Couldn't download {url[0]}. Put {url[1]} into {models_folder()} and try "
            "again."
        ) from None


def models_folder() -> str:
    """The folder of Keras's cache that files of weights are in."""
    home = os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))
    return os.path.join(home, "models")
