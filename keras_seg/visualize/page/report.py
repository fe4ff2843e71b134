"""A page about a model: scores, charts, and the images that it gets wrong."""

import datetime
import math
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from keras_seg.arguments import check_integer
from keras_seg.data import Source
from keras_seg.files import written_aside
from keras_seg.inference import Scores, evaluate
from keras_seg.inference.image import Model
from keras_seg.visualize.history import read_history
from keras_seg.visualize.page.examples import (
    ERROR_COLORS,
    SIDE,
    choose,
    draw,
    indices_of,
)
from keras_seg.visualize.page.facts import (
    chart_data,
    class_rows,
    confusions,
    data_facts,
    setting_rows,
)

# By how much the mean IoU of an image may differ from the one in the scores: devices
# round differently.
_SAME = 0.005


def report(
    path: str | os.PathLike,
    model: Model,
    source: Source,
    scores: Scores | Mapping[str, Any] | None = None,
    *,
    training: Source | None = None,
    history: str | os.PathLike | None = None,
    run: Mapping[str, Any] | None = None,
    command: str | None = None,
    title: str | None = None,
    split: str = "validation",
    images: int = 28,
    progress: Callable[[int], Any] | None = None,
) -> None:
    """Write an HTML page about a model: scores, charts, and images that it gets wrong.

    The page is one file that needs no network: scores with their intervals, IoU of each
    class, the confusion matrix, learning curves, facts of the data, and images with
    truth, prediction and errors side by side, those of the largest loss first.

    Args:
        path: File to write, `.html`.
        model: A model from images to logits or probabilities, or the folder of a
            SavedModel.
        source: The examples that the scores are of.
        scores: What `evaluate` returned for them, or what `metrics.json` of a run
            holds. None scores the model here.
        training: The examples that it was trained on, for facts of them.
        history: CSV file of the training, for `curves`.
        run: Settings of the training, as `run.json` has them; all are shown.
        command: The command that repeats the training.
        title: Heading of the page.
        split: What the page calls the examples.
        images: Number of images to show: five sevenths are those with the largest loss,
            the rest typical ones, from the middle half of the losses.
        progress: Function that is called with the number of images drawn so far.

    Raises:
        ImportError: if Jinja2 isn't installed.
        ValueError: for another suffix, scores of other examples or classes, and an
            example that can't be read, naming its file.

    Example:
        scores = keras_seg.evaluate(model, val)
        keras_seg.visualize.report("report.html", model, val, scores, training=train)
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"Expected a path that ends in .html. Received: {path}")
    check_integer("images", images, 1, 1000)
    template = _template()
    if scores is None:
        scores = evaluate(model, source)
    found = scores.as_json() if isinstance(scores, Scores) else scores
    if [*found["iou"]] != [*source.class_names]:
        raise ValueError(
            "Expected scores of the classes of the examples, "
            f"{', '.join(source.class_names)}. Received: {', '.join(found['iou'])}"
        )
    groups = _groups(model, source, found, images, progress)
    columns = None if history is None else read_history(history)
    splits = {} if training is None else {"training": training}
    facts, findings = data_facts(splits | {split: source})
    settings, unset, versions = setting_rows(run or {})
    now = datetime.datetime.now().astimezone()
    page = template.render(
        title=title or "Segmentation report",
        split=split,
        run=defaultdict(lambda: None, run or {}),
        scores=defaultdict(lambda: None, found),
        ignored=_share(found["ignored_pixels"], found["confusion_matrix"]),
        classes=class_rows(found, source.palette, findings),
        confusions=confusions(found, source.class_names),
        charts=chart_data(found, columns),
        groups=groups,
        facts=facts,
        settings=settings,
        unset=unset,
        versions=versions,
        command=command,
        side=SIDE,
        error_colors=ERROR_COLORS,
        written=f"{now:%Y-%m-%d %H:%M}",
    )
    with written_aside(path) as aside:
        aside.write_text(page, encoding="utf-8")


def _groups(
    model: Model,
    source: Source,
    scores: Mapping[str, Any],
    count: int,
    progress: Callable[[int], Any] | None,
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The pictures of the page, by headings."""
    chosen = choose(scores["images_by_loss"], count)
    places = indices_of(chosen, source)
    groups, done, others = [], 0, []
    for heading, rows in chosen.items():
        pictures = []
        for row in rows:
            picture = draw(model, source, places[done])
            if not _is_same(picture["mean_iou"], row["mean_iou"]):
                others.append(
                    f"{row['name']}: {_shown(row['mean_iou'])} there, "
                    f"{_shown(picture['mean_iou'])} here"
                )
            pictures.append({"name": row["name"], "loss": row["loss"]} | picture)
            done += 1
            if progress is not None:
                progress(done)
        groups.append((heading, pictures))
    if len(others) > done / 2:
        warnings.warn(
            f"The scores aren't those of this model. Mean IoU of {others[0]}. Likely "
            "cause: the model was trained on since they were written. Score it again.",
            stacklevel=3,
        )
    return groups


def _is_same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _SAME


def _share(part: int, matrix: Any) -> float | None:
    whole = part + sum(map(sum, matrix))
    return part / whole if whole else None


def _shown(value: Any, digits: int = 3) -> str:
    """A score for people; "absent" where there is none."""
    if value is None or not math.isfinite(value):
        return "absent"
    return f"{value:.{digits}f}"


def _percent(value: Any) -> str:
    """A share for people: "12.3 %", "1.24 %", "< 0.01 %", "0 %"."""
    if value is None:
        return "unknown"
    percent = 100 * value
    if percent < 0.01:
        return "< 0.01 %" if percent else "0 %"
    return f"{percent:.2f} %" if percent < 10 else f"{percent:.1f} %"


def _template() -> Any:
    """The template of the page, which escapes what it is given."""
    try:
        import jinja2
        import markupsafe
    except ImportError as error:
        raise ImportError(
            f"Expected Jinja2 for the report: pip install jinja2 ({error})"
        ) from None

    folder = resources.files("keras_seg.visualize.page") / "files"

    def file(name: str) -> markupsafe.Markup:
        """A file of this package, as it is."""
        return markupsafe.Markup((folder / name).read_text(encoding="utf-8"))

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"score": _shown, "percent": _percent}
    environment.globals["file"] = file
    return environment.from_string((folder / "report.html").read_text(encoding="utf-8"))
