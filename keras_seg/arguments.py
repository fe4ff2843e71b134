"""Checks of arguments: numbers in a range, one of several names."""

import difflib
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


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


def check_integer(argument: str, value: Any, *, least: int) -> None:
    """Raise unless a value is a whole number, `least` or more."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_integer or value < least:
        raise ValueError(
            f"Expected `{argument}` to be a whole number, {least} or more. "
            f"Received: {value!r}"
        )


def check_number(
    argument: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> None:
    """Raise unless a value is a finite number in a range."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    # Written so that NaN isn't in the range.
    if is_number and math.isfinite(value) and value >= least and above < value < below:
        return
    allowed = f"{least:g} or more" if math.isfinite(least) else f"above {above:g}"
    if math.isfinite(below):
        allowed += f" and below {below:g}"
    raise ValueError(
        f"Expected `{argument}` to be a number {allowed}. Received: {value!r}"
    )
