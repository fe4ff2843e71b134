"""Checks of arguments, numbers and names: one error before anything is computed."""

import difflib
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

#: The largest number of anything that TensorFlow counts in 32 bits.
LARGEST = 2**31 - 1


def is_number(value: Any, least: float = -math.inf, most: float = math.inf) -> bool:
    """Whether this is a finite number in a range, and neither a bool nor a string.

    Example:
        >>> is_number(1.5, 0), is_number(float("nan")), is_number(True)
        (True, False, False)
    """
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    # An integer of any length is finite, though no float may hold it.
    is_finite = is_real and (isinstance(value, Integral) or math.isfinite(value))
    return bool(is_finite and least <= value <= most)


def is_whole(value: Any, least: int = -LARGEST, most: int = LARGEST) -> bool:
    """Whether this is an integer in a range, and no bool.

    Example:
        >>> is_whole(3, 1), is_whole(3.0), is_whole(10**20)
        (True, False, False)
    """
    return isinstance(value, Integral) and is_number(value, least, most)


def check_integer(
    argument: str, value: Any, least: int | None = None, most: int = LARGEST
) -> int:
    """Return a whole number as an int.

    Args:
        argument: What the error calls it.
        value: What was given.
        least: The smallest one that is allowed; None for any.
        most: The largest one.

    Raises:
        ValueError: for anything else, naming it.
    """
    if not is_whole(value, -most - 1 if least is None else least, most):
        at_least = "" if least is None else f", {least} or more"
        is_too_large = is_whole(value, most + 1, value)
        at_most = f" and at most {most:,}" if is_too_large else ""
        raise ValueError(
            f"Expected `{argument}` to be a whole number{at_least}{at_most}. Received: "
            f"{value!r}"
        )
    return int(value)


def check_seed(seed: Any, *, least: int = 0) -> int:
    """Return a seed for random numbers as an int, if it has at most 63 bits."""
    return check_integer("seed", seed, least, 2**63 - 1)


def check_number(
    argument: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> None:
    """Raise unless this is a finite number in a range, naming the argument."""
    if is_number(value, least) and above < value < below:
        return
    allowed = f" {least:g} or more" if math.isfinite(least) else ""
    if math.isfinite(above):
        allowed = f" above {above:g}"
    if math.isfinite(below):
        allowed += f" and below {below:g}"
    raise ValueError(
        f"Expected `{argument}` to be a number{allowed}. Received: {value!r}"
    )


def check_choice(argument: str, value: Any, choices: Iterable[str]) -> None:
    """Raise unless a value is one of several; the nearest of them is suggested."""
    choices = [*choices]
    if value in choices:
        return
    near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"Expected `{argument}` to be one of {', '.join(map(repr, choices))}. "
        f"Received: {value!r}.{hint}"
    )
