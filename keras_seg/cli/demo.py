"""What `keras-seg demo` does."""

import argparse
import time
from pathlib import Path

from keras_seg.cli.image_options import bands_of, nodata_of
from keras_seg.demo import Answers, serving
from keras_seg.demo.page import check_servable
from keras_seg.training.run_files import RUN, load_model, read_run


def demo(options: argparse.Namespace) -> None:
    """Serve a page that shows a model's masks; see `keras-seg demo --help`."""
    check_servable(options.port)  # before the model, which takes seconds
    answers = _opened(options.run)
    name = options.run.resolve().name
    with serving(answers, title=f"keras_seg: {name}", port=options.port) as address:
        print(f"The demo of {options.run} is at {address}")
        print("Open it in a browser of this machine. Ctrl-C ends it.", flush=True)
        while True:
            time.sleep(3600)


def _opened(path: Path) -> Answers:
    """A run's model with its names and colours, or an export, which holds its own."""
    is_export = path.suffix in (".onnx", ".tflite") or path.is_file()
    is_export = is_export or (path / "saved_model.pb").is_file()
    if is_export and not (path / RUN).is_file():
        return Answers(path)
    run = read_run(path)
    if run.get("page"):  # not the first one, which a browser shows of a TIFF
        raise ValueError(
            "Expected a run on photos. Received: one on TIFFs with --page "
            f"{run['page']}, of which a browser has the first page only. Try: "
            "keras-seg predict."
        )
    return Answers(
        load_model(path),
        run["class_names"],
        run["palette"],
        bands=bands_of(run),
        nodata=nodata_of(run),
    )
