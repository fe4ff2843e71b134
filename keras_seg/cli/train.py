"""What `keras-seg train` does."""

import argparse
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import keras_seg
from keras_seg.cli import interrupt
from keras_seg.cli import train_recipe as recipe
from keras_seg.cli.data_options import data_source
from keras_seg.cli.earlier import (
    fingerprint,
    options_given,
    options_like,
    options_to_keep,
    options_to_resume,
    restore,
)
from keras_seg.cli.image_options import bands_of, with_measured_range
from keras_seg.cli.messages import translated
from keras_seg.cli.output import Output, advice
from keras_seg.cli.report import report_training
from keras_seg.data import Source
from keras_seg.data.augment import StandardAugmentation
from keras_seg.data.suggestions import SuggestionError
from keras_seg.files import save_model
from keras_seg.inference import Scores
from keras_seg.terminal import progress
from keras_seg.training.callbacks import (
    BestModel,
    CSVHistory,
    StopOnInvalidLabels,
    Validate,
)
from keras_seg.training.checkpoint import Checkpoint
from keras_seg.training.devices import mirrored, synchronize_batch_normalization
from keras_seg.training.nan import NonFiniteLossError, StopOnNaN
from keras_seg.training.pictures import sample_sheet
from keras_seg.training.progress import JSONLines, ProgressTable
from keras_seg.training.recipe import (
    build_loss,
    build_model,
    compile_model,
    spread,
    training_batches,
)
from keras_seg.training.run_files import (
    CHECKPOINTS,
    HISTORY,
    METRICS,
    MODEL,
    SAMPLES,
    SAVED_MODEL,
    TENSORBOARD,
    load_model,
    read_run,
)
from keras_seg.training.runs import (
    RunRecord,
    check_folder,
    claimed_folder,
    describe,
    free_folder,
    write_scores,
)
from keras_seg.training.tensorboard import TensorBoard


def train(options: argparse.Namespace, words: Sequence[str]) -> None:
    """Train a model; see `keras-seg train --help`.

    Args:
        options: What the command line says.
        words: The command line.
    """
    earlier = None
    if options.resume:
        options, earlier = options_to_resume(options, words)
    elif options.extend:
        raise ValueError("Expected --resume RUN with --extend.")
    elif options.like:
        options = options_like(options, words)
    recipe.check_options(options)
    strategy = mirrored(options.devices)  # before TensorFlow uses the CPU
    output = Output(quiet=options.quiet, json=options.json)
    out = (
        options.resume
        or options.out
        or free_folder(Path("runs"), f"{options.data}-{options.model}")
    )
    if earlier is None:
        check_folder(out, overwrite=options.overwrite)

    training = data_source(vars(options), "train")
    validation = data_source(vars(options), "val")
    both = [training, validation]
    training, validation = with_measured_range(vars(options), both)
    _look_at_some({"train": training, "val": validation}, options, output)
    kept = options_to_keep(options)
    resolved = {**kept, "given": options_given(kept, earlier)}
    resolved = recipe.with_defaults(resolved, training)
    augment = recipe.augmentation(resolved)
    weights = recipe.class_weights(training, options.class_weights)
    resolved["class_weight_values"] = weights
    loss = build_loss(options.loss, weights)

    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy(options.precision)
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    weights_from = {"encoder_weights": options.encoder_weights}
    weights_from["weights"] = options.weights
    weights_from["fresh_head"] = options.fresh_head or None
    # The weights of a run that goes on are in its checkpoint; files may be gone.
    goes_on = earlier is not None and any((out / CHECKPOINTS).glob("*.checkpoint"))
    with strategy.scope():
        model, arguments = build_model(
            options.model,
            training.num_classes,
            channels=training.channels,
            value_range=training.value_range,
            widths=options.widths,
            encoder=options.encoder,
            normalization=options.normalization,
            upsampling=options.upsampling,
            auxiliary=options.auxiliary,
            **dict.fromkeys(weights_from) if goes_on else weights_from,
        )
        if options.devices > 1:
            synchronize_batch_normalization(model)
        resolved |= arguments | weights_from | {"fresh_head": options.fresh_head}
        resolved["parameters"] = model.count_params()
        compile_model(model, recipe.build_optimizer(model, resolved), loss)
    if options.cache:
        training, validation = map(keras_seg.data.cached, (training, validation))
    with (
        claimed_folder(out, overwrite=options.overwrite, resume=earlier is not None),
        interrupt.finishing(),
    ):
        scores, best = _train_in(
            out, model, training, validation, resolved, augment, earlier, output
        )
        report_training(out, best, training, validation, scores, output)
    command = shlex.join(["keras-seg", "predict", str(out)])
    output.result(out, scores, f"{command} IMAGE --out DIR")


def _look_at_some(
    sources: dict[str, Source], options: argparse.Namespace, output: Output
) -> None:
    """Raise, before training begins, for what a few examples show to be wrong."""
    report = keras_seg.data.inspect(sources, examples=16, verbose=False)
    for problem in report.problems:
        where = ": ".join(filter(None, (problem.split, problem.example)))
        if problem.kind == "unknown_ids":
            source = sources[problem.split]
            file = source.mask_file(list(source.names).index(problem.example))
            where = ": ".join(filter(None, (where, file)))
        said = problem.message.rstrip(".")
        message = (
            f"{where}: {said}. `keras-seg inspect` with the same options "
            "looks at all examples."
        )
        if problem.serious:
            raise SuggestionError(message, problem.arguments)
        if not problem.example:
            output.note(f"Note: {translated(message, vars(options))}")


def _train_in(
    out: Path,
    model: keras.Model,
    training: Source,
    validation: Source,
    options: dict[str, Any],
    augment: StandardAugmentation,
    earlier: dict[str, Any] | None,
    output: Output,
) -> tuple[Scores, keras.Model]:
    """Train, score, picture and export into a folder that is this process's alone."""
    subset = spread(validation, options["val_images"])
    split = options["val_split"] or "val"
    best = BestModel(out / MODEL)
    asked_for = recipe.callbacks(options)
    early_stop = asked_for.pop("early_stop", None)
    counting = [x for x in (asked_for.get("ema"), early_stop) if x is not None]
    checkpoint = Checkpoint(
        out / CHECKPOINTS,
        settings={"training images": fingerprint(training)},
        callbacks=counting,
    )
    epoch = 0 if earlier is None else restore(checkpoint, model, earlier)
    every = options["validate_every"]
    shown, validated = output.progress(best, every, len(subset))
    validate = Validate(subset, every=every, progress=_checked(validated))
    board = TensorBoard(out / TENSORBOARD, validate) if options["tensorboard"] else None
    record = RunRecord(
        out,
        describe(options, training, subset),
        best,
        validate,
        split=split if subset is validation else None,
        earlier=earlier,
    )
    state = "failed"
    try:
        output.say(
            f"{options['model']}, {options['parameters']:,} parameters: "
            f"{len(training)} images to train on, {len(subset)} to validate. Writing "
            f"to {out}\n"
        )
        if earlier is not None:
            output.say(f"Continuing after {epoch} of {options['epochs']} epochs.")
            if earlier["epochs"] != options["epochs"]:
                output.say(
                    f"The schedule is stretched from {earlier['epochs']} to "
                    f"{options['epochs']} epochs: the learning rate goes on at "
                    f"{float(model.optimizer.learning_rate):.2g}."
                )
            output.say()
        history = CSVHistory(out / HISTORY, keep_epochs=epoch)
        callbacks = [*asked_for.values(), validate, best, history, record, board]
        callbacks += [early_stop, shown, checkpoint]
        if not record.is_trained:
            _fit(model, training, options, augment, callbacks, epoch)
            record.is_trained = True
        finished = _finish(out, training, validation, record, split, output)
        checkpoint.keep_last(1)  # for --extend
        state = "finished"
        return finished
    except KeyboardInterrupt:
        state = "interrupted"
        if best.epoch is None:
            save_model(model, out / MODEL)
            output.note(f"\nThe model so far is in {out / MODEL}")
        else:
            output.note(f"\nThe best model, of epoch {best.epoch}, is in {out / MODEL}")
        raise
    except NonFiniteLossError as error:
        state = "diverged"
        raise NonFiniteLossError(f"{error}{advice(out, best, options)}") from None
    finally:
        record.end(state)
        if state in ("interrupted", "failed"):
            command = shlex.join(["keras-seg", "train", "--resume", str(out)])
            output.note(f"To continue: {command}")


def _fit(
    model: keras.Model,
    training: Source,
    options: dict[str, Any],
    augment: StandardAugmentation,
    callbacks: list[Any],
    initial_epoch: int,
) -> None:
    def log_learning_rate(epoch: int, logs: dict[str, Any]) -> None:
        logs["learning_rate"] = float(model.optimizer.learning_rate)

    # What became of a Ctrl-C that TensorFlow kept is made good after the step.
    first = keras.callbacks.LambdaCallback(
        on_train_batch_end=_checked(lambda batch, logs: None),
        on_epoch_end=log_learning_rate,
    )
    first_step = initial_epoch * options["steps_per_epoch"]
    order = {"batch_size": options["batch_size"], "seed": options["seed"]}
    batches = training_batches(
        training,
        size=options["size"],
        augment=augment,
        first_step=first_step,
        **order,
    )
    finite = StopOnNaN(
        training, shuffle=True, repeat=True, first_step=first_step, **order
    )
    callbacks = [callback for callback in callbacks if callback is not None]
    for callback in callbacks:
        if isinstance(callback, ProgressTable | JSONLines):
            batches = callback.measured(batches)
    with interrupt.finishing():
        model.fit(
            batches,
            initial_epoch=initial_epoch,
            epochs=options["epochs"],
            steps_per_epoch=options["steps_per_epoch"],
            callbacks=[finite, StopOnInvalidLabels(), first, *callbacks],
            verbose=0,
            shuffle=False,  # the batches are
        )


def _finish(
    out: Path,
    training: Source,
    validation: Source,
    record: RunRecord,
    split: str,
    output: Output,
) -> tuple[Scores, keras.Model]:
    """Score, picture and export the best model."""
    model = load_model(out)
    scores = record.scores
    if scores is None or scores.images < len(validation):
        bar = progress(
            len(validation), "image", f"Scoring {split}", verbose=output.is_talking
        )
        scores = keras_seg.evaluate(model, validation, progress=_checked(bar.update))
        write_scores(scores, out / METRICS, split)
    keras.utils.save_img(out / SAMPLES, sample_sheet(model, validation), scale=False)
    keras_seg.export(
        model,
        out / SAVED_MODEL,
        class_names=training.class_names,
        palette=training.palette,
        dtype=training.dtype,
        bands=bands_of(read_run(out)),
        overwrite=True,
    )
    return scores, model


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function raise KeyboardInterrupt if Ctrl-C came and got lost."""

    def call(*arguments: Any, **named: Any) -> None:
        interrupt.check()
        function(*arguments, **named)

    return call
