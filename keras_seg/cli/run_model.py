"""The model of a run, or the export that a command is given in its place."""

import argparse
from typing import Any

from keras_seg.cli.run_data import class_difference
from keras_seg.inference.opened import as_net
from keras_seg.training.run_files import RUN, load_model, read_run


def run_model(options: argparse.Namespace) -> Any:
    """Open what the options of a command name.

    Returns:
        What `predict_files` and `evaluate` take as a model.

    Raises:
        ImportError: if the runtime of an export isn't installed.
        ValueError: for an export of other classes than the run's, whose names and
            colours its masks would get.
    """
    if options.export is None:
        return load_model(options.run)
    if options.export.suffix == ".keras":
        raise ValueError(
            f"Expected --export to be what `keras-seg export` wrote. Received: "
            f"{options.export}, a Keras model. The model of a run is meant without "
            "--export, by the folder of the run."
        )
    net = as_net(options.export)
    class_names = read_run(options.run)["class_names"]
    # An export that was written from Python needn't have names.
    found = getattr(net, "metadata", {}).get("class_names") or class_names
    if net.num_classes != len(class_names):
        difference = f"{net.num_classes} classes in place of {len(class_names)}"
    else:
        difference = class_difference(class_names, found)
    if difference:
        raise ValueError(
            f"{options.export}: Expected an export of the run's classes, which "
            f"{options.run / RUN} names. Received: {difference}. Likely cause: it is "
            "another model's."
        )
    return net
