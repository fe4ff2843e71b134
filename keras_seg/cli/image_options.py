"""What options say of a data set's images: their channels and their range."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_seg import data
from keras_seg.data import Source
from keras_seg.labels import check_value_range

#: Ranges that are measured, by the word that asks for them.
MEASURED: dict[str, Callable[[Any], Any]] = {
    "percentiles": lambda statistics: statistics.percentile_range(0.5, 99.5),
    "standardize": lambda statistics: statistics.standard_range(),
}


def range_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `folder` that --value-range stands for."""
    word = options.get("value_range")
    if word is None:
        return {}
    if word in MEASURED:
        # Once a run has measured it, its run.json has the numbers.
        measured = (options.get("image") or {}).get("value_range")
        return {"value_range": measured, "outside": "keep"}
    try:
        low, high = map(float, word.split(","))
        return {"value_range": check_value_range((low, high))}
    except ValueError:
        raise ValueError(
            "Expected --value-range to be two numbers, black and white, as 0,4095, or "
            f"{' or '.join(MEASURED)}. Received: {word}"
        ) from None


def with_measured_range(
    options: Mapping[str, Any], sources: Sequence[Source]
) -> list[Source]:
    """The same examples with the range that --value-range asks to measure.

    Args:
        options: Those of the command.
        sources: The examples; the range of all is that of the first ones.
    """
    word = options.get("value_range")
    if word not in MEASURED:
        return [*sources]
    measured = MEASURED[word](data.statistics(sources[0], verbose=False))
    return [source.with_value_range(measured, outside="keep") for source in sources]


def nodata_of(options: Mapping[str, Any]) -> float | None:
    """The value of pixels without data that a command, or a run, has."""
    value = options.get("nodata")
    return None if value is None else float(value)


def bands_of(options: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The channels that a command, or a run, takes of each image; None for all."""
    bands = options.get("bands")
    return None if bands is None else tuple(map(int, bands.split(",")))
