"""Messages of the Python interface, with the command line's options in their place.

In a message an argument stands between backticks, alone or with a value:
`class_names`, `ids=[0, range(1, 256)]`. Here it becomes the option that sets it:
--names, --ids 0,1-255.
"""

import ast
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

# Options that are called otherwise than the arguments.
_OPTIONS = {
    "class_names": "names",
    "palette": "colors",
    "split": "train_split",
    "path": "out",
    "examples": "calibration",
}
# Functions that messages name: their commands, though an option may be called so too.
_COMMANDS = ("export", "prepare")
_ARGUMENT = re.compile(r"`([a-z_]+)(?:=([^`]+))?`")


def translated(text: str, options: Collection[str]) -> str:
    """Name options where a message names arguments.

    Args:
        text: The message.
        options: The options that the command has; other words stay as they are.

    Example:
        >>> translated("Add it to `ignore`: `ignore=[7, 11]`.", ["ignore"])
        'Add it to --ignore: --ignore 7,11.'
        >>> translated("Expected what `export` wrote.", ["export"])
        'Expected what `keras-seg export` wrote.'
    """

    def option(match: re.Match) -> str:
        argument, value = match.groups()
        if argument in _COMMANDS:
            return f"`keras-seg {argument}`"
        if _OPTIONS.get(argument, argument) not in options:
            return match[0]
        if value is None and argument == "split":  # the one needs the other
            return "--train-split and --val-split"
        if value is None:
            return _flag(argument)
        try:
            words = option_words(argument, _evaluated(ast.parse(value).body[0]))
        except (SyntaxError, ValueError):
            return match[0]
        return shlex.join(words)

    return _ARGUMENT.sub(option, text)


def option_words(argument: str, value: Any) -> list[str]:
    """The words of a command line that set an argument.

    Example:
        >>> option_words("ids", [0, range(1, 256), (300, 301)])
        ['--ids', '0,1-255,300+301']
        >>> option_words("binary", True)
        ['--binary']
    """
    if value is True:
        return [_flag(argument)]
    if argument == "value_range":
        words = [value] if isinstance(value, str) else map(str, value)
        return [_flag(argument), ",".join(words)]
    entries = value if isinstance(value, list) else [value]
    return [_flag(argument), ",".join(map(_entry, entries))]


def with_arguments(words: Sequence[str], arguments: Mapping[str, Any]) -> str:
    """A command line with other values of some arguments, as one would type it.

    Example:
        >>> with_arguments(["--masks", "gt", "--ids=1"], {"masks": "gt/*_m.png"})
        "keras-seg --masks 'gt/*_m.png' --ids=1"
    """
    words = list(words)
    for argument, value in arguments.items():
        flag, *texts = option_words(argument, value)
        if not texts:
            words += [] if flag in words else [flag]
            continue
        (text,) = texts
        words = [part for word in words for part in _parts(word, flag)]
        if flag in words[:-1]:
            if argument == "ignore":  # beside those that are ignored already
                before = words[words.index(flag) + 1]
                text = ",".join(dict.fromkeys(f"{before},{text}".split(",")))
            words[words.index(flag) + 1] = text
        else:
            words += [flag, text]
    return f"keras-seg {shlex.join(words)}"


def _parts(word: str, flag: str) -> list[str]:
    """`--ids=1` as two words, if this is the option."""
    return word.split("=", 1) if word.startswith(f"{flag}=") else [word]


def _flag(argument: str) -> str:
    return f"--{_OPTIONS.get(argument, argument).replace('_', '-')}"


def _entry(entry: Any) -> str:
    """A class's ids, or a word."""
    if isinstance(entry, range):
        return f"{entry.start}-{entry.stop - 1}"
    if isinstance(entry, tuple):
        return "+".join(map(str, entry))
    return str(entry)


def _evaluated(node: ast.AST) -> Any:
    """The value of an expression of literals and ranges."""
    if isinstance(node, ast.Expr):
        return _evaluated(node.value)
    if isinstance(node, ast.List):
        return [_evaluated(element) for element in node.elts]
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range":
        return range(*map(ast.literal_eval, node.args))
    if isinstance(node, ast.Name) and node.id == "nan":
        return float("nan")
    return ast.literal_eval(node)
