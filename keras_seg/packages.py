"""Packages that only some files need."""

import importlib
from typing import Any


def package(name: str, extra: str) -> Any:
    """Import a package that needn't be installed.

    Args:
        name: What to import.
        extra: The extra of keras-seg that brings it.

    Raises:
        ImportError: if it isn't there, saying how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"Expected the package {name.partition('.')[0]}. Install it: "
            f"pip install 'keras-seg[{extra}]'. {error}"
        ) from None
