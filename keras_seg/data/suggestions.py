"""Errors and problems that say which arguments mend them.

In a message, an argument stands between backticks: `ids`, or with a value,
`ids=[0, 255]`. So that the command line can tell its options instead, it translates
what is between backticks, at one place.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Values of arguments by name.
Arguments = dict[str, Any]


class Hint(NamedTuple):
    """A likely cause in words, and the arguments that would mend it."""

    text: str
    arguments: Arguments


class SuggestionError(ValueError):
    """An error that other arguments would mend.

    Args:
        message: What is wrong; it should name the arguments too.
        arguments: Values to try, by name.
    """

    def __init__(self, message: str, arguments: Mapping[str, Any]):
        super().__init__(message)
        self.arguments: Arguments = dict(arguments)


class MissingFilesError(SuggestionError, FileNotFoundError):
    """Files that aren't there, where other arguments would find them."""


def refuse(problem: Hint | None) -> None:
    """Raise if there is a problem."""
    if problem is not None:
        raise SuggestionError(problem.text, problem.arguments)


def spelled(arguments: Mapping[str, Any]) -> str:
    """Spell arguments for a message.

    Example:
        >>> spelled({"ids": [0, range(1, 256)], "ignore": 7})
        '`ids=[0, range(1, 256)]`, `ignore=7`'
    """
    return ", ".join(f"`{name}={value!r}`" for name, value in arguments.items())


def arguments_in(message: str, *names: str) -> Arguments:
    """Values of arguments that a message spells, by name.

    An error that was raised inside TensorFlow is its text alone.

    Args:
        message: What is wrong.
        *names: Arguments to look for, whose values are numbers.

    Example:
        >>> arguments_in("Say which range, `value_range=(0, 1)`.", "value_range")
        {'value_range': (0, 1)}
    """
    found = {}
    for name, text in re.findall(r"`([a-z_]+)=([^`]+)`", message):
        if name in names:
            found[name] = float(text) if text == "nan" else ast.literal_eval(text)
    return found
