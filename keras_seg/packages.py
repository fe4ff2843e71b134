"""Packages that only some files need."""

import importlib
import importlib.util
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
        raise ImportError(f"{_advice(name, extra)} {error}") from None


def check_package(name: str, extra: str) -> None:
    """Raise the error of `package` if it isn't there, without importing it."""
    if importlib.util.find_spec(name) is None:
        raise ImportError(_advice(name, extra))


def _advice(name: str, extra: str) -> str:
    return (
        f"Expected the package {name.partition('.')[0]}. Install it: "
        f"pip install 'keras-seg[{extra}]'."
    )
