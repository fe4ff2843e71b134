"""Options of `train` that say how to train: what the model and `fit` get for them."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seg
from keras_seg.cli import main, train_recipe
from keras_seg.cli.data_options import data_source
from keras_seg.cli.options import parser
from tests.cli.conftest import TINY
from tests.models.backbones import tiny


def options(*words):
    found = vars(parser().parse_args(["train", *words]))
    return train_recipe.with_defaults(found, range(80))


def optimizer_of(seen):
    optimizer = seen.model.optimizer
    return getattr(optimizer, "inner_optimizer", optimizer)


@pytest.fixture
def seen(voc_tree, given_to_fit):
    data = ["--data", "voc", "--root", str(voc_tree), *TINY]
    return lambda *words: given_to_fit(*data, "--steps-per-epoch", "20", *words)


def test_the_optimizer_is_the_one_asked_for(seen):
    words = ["--optimizer", "sgd", "--schedule", "constant", "--warmup", "0"]
    words += ["--learning-rate", "0.25", "--weight-decay", "0.5", "--clip", "2"]
    optimizer = optimizer_of(seen(*words, "--ema", "0.75", "--accumulate", "4"))
    assert type(optimizer).__name__ == "SGD"
    config = optimizer.get_config()
    assert (config["weight_decay"], config["global_clipnorm"]) == (0.5, 2)
    assert (config["use_ema"], config["ema_momentum"]) == (True, 0.75)
    assert config["gradient_accumulation_steps"] == 4
    assert float(optimizer.learning_rate) == 0.25


def test_by_default_the_rate_rises_and_falls(seen):
    found = seen("--learning-rate", "0.1")
    # And callbacks that nobody asked for aren't there.
    kinds = {type(x).__name__ for x in found.arguments["callbacks"]}
    assert not kinds & {"SwapEMAWeights", "_EarlyStopping", "FreezeEncoder"}
    optimizer = optimizer_of(found)
    rates = []
    for step in range(21):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    x = (np.arange(21) - 2) / 18  # two of 20 steps to warm up
    falling = 0.1 * (1 + np.cos(np.pi * x)) / 2
    expected = np.where(x < 0, 0.1 * np.arange(1, 22) / 3, falling)
    np.testing.assert_allclose(rates, expected, atol=1e-7)


def test_crops_are_not_larger_than_all_images(given_to_fit, voc_tree):
    words = ["--data", "voc", "--root", str(voc_tree), "--steps-per-epoch", "20"]
    found = given_to_fit(*words, "--widths", "4,8", "--epochs", "1")
    assert found.batches.element_spec[0].shape[1:3] == (64, 64)  # of 40 x 50 pixels
    assert json.loads((found.out / "run.json").read_text())["size"] == 64


def test_crops_may_be_as_large_as_the_largest_image():
    images = [np.zeros((*size, 3), "uint8") for size in ((30, 70), (100, 40), (50, 50))]
    masks = [image[..., 0] for image in images]
    training = keras_seg.data.arrays(images, masks, class_names=("a", "b"))
    given = vars(parser().parse_args(["train", "--data", "voc"]))
    assert train_recipe.with_defaults(given, training)["size"] == 128


def test_defaults_with_an_encoder_are_others():
    plain, pretrained = options(), options("--encoder", "x", "--encoder-weights", "w")
    assert (plain["schedule"], plain["encoder_rate"]) == ("cosine", None)
    assert (pretrained["schedule"], pretrained["encoder_rate"]) == ("poly", 0.03)
    assert options("--encoder", "x")["encoder_rate"] == 1
    # Statistics of ImageNet stay, where there are some and nobody says otherwise.
    assert pretrained["freeze_batch_norm"] is True
    assert not plain["freeze_batch_norm"]
    assert not options("--encoder", "x")["freeze_batch_norm"]
    words = ["--encoder", "x", "--encoder-weights", "w", "--no-freeze-batch-norm"]
    assert options(*words)["freeze_batch_norm"] is False
    given = options("--encoder", "x", "--encoder-rate", "0", "--schedule", "constant")
    assert (given["encoder_rate"], given["schedule"]) == (0, "constant")
    assert options("--epochs", "3")["warmup"] == 3 * 50 // 10
    assert options("--epochs", "300")["warmup"] == 100  # at most
    dilated = options("--model", "deeplab_v3", "--encoder-weights", "w")
    assert (dilated["schedule"], dilated["encoder_rate"]) == ("poly", 0.03)


@pytest.mark.parametrize(
    "name", ["batch_size", "encoder_rate", "learning_rate", "scale"]
)
def test_help_tells_the_defaults_that_a_training_gets(name, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    _, _, text = text.split(f"--{name.replace('_', '-')} ", 2)  # the usage comes first
    text = re.search(r"\(default: (\S+) .*? else (\S+)\)", text)
    first, second = ([], ["--data", "voc"])
    if name == "encoder_rate":
        first, second = (["--encoder-weights", "w"], ["--encoder", "x"])
        first += second
    source = keras_seg.data.shapes(1, size=(32, 32))
    for words, shown in zip((first, second), text.groups(), strict=True):
        given = vars(parser().parse_args(["train", *words]))
        found = train_recipe.with_defaults(given, source)[name]
        assert [float(x) for x in shown.split(",")] == [*np.atleast_1d(found)]


@pytest.mark.parametrize(("examples", "steps"), [(1, 50), (407, 50), (408, 51)])
def test_an_epoch_is_a_pass_but_has_50_steps_at_least(examples, steps):
    pixel = np.zeros((1, 1, 3), "uint8")
    training = keras_seg.data.arrays(
        [pixel] * examples, [pixel[..., 0]] * examples, class_names=("a", "b")
    )
    for words, expected in (((), steps), (("--steps-per-epoch", "2"), 2)):
        given = vars(parser().parse_args(["train", "--data", "voc", *words]))
        found = train_recipe.with_defaults(given, training)
        assert found["steps_per_epoch"] == expected


def test_a_segformer_has_an_encoder_without_being_told(
    given_to_fit, voc_tree, monkeypatch
):
    narrow = {"mit_b0": ((4, 4, 5, 8), (1, 0, 0, 1))}
    monkeypatch.setattr("keras_seg.models.encoders.mit.MIT", narrow)
    words = ["--data", "voc", "--root", str(voc_tree), "--steps-per-epoch", "20"]
    words += [*TINY[2:], "--model", "segformer", "--freeze-encoder"]  # no --widths
    found = given_to_fit(*words)
    assert found.model.name == "segformer"
    assert not found.model.get_layer("encoder").trainable
    record = json.loads((found.out / "run.json").read_text())
    resolved = {k: record[k] for k in ("encoder", "schedule", "encoder_rate", "widths")}
    assert resolved == {
        "encoder": "mit_b0",
        "schedule": "poly",
        "encoder_rate": 1.0,
        "widths": None,
    }
    assert record["given"]["encoder"] is None


@pytest.mark.filterwarnings("default")  # as users have it: absent classes are a note
def test_class_weights_are_those_of_the_training_images(seen):
    words = ["--loss", "dice+0.5*focal", "--class-weights", "inverse"]
    found = seen(*words)
    dice, focal = found.model.loss.losses
    assert (dice.name, focal.name, found.model.loss.factors) == (
        "dice",
        "focal",
        [1, 0.5],
    )
    record = json.loads((found.out / "run.json").read_text())
    assert record["class_weight_values"] == focal.class_weights
    pixels = np.zeros(21)
    for _, mask in data_source(record, "train"):
        pixels += np.bincount(mask[mask != 255], minlength=21)
    some = pixels > 0
    expected = np.zeros(21)
    expected[some] = pixels.sum() / (some.sum() * pixels[some])
    np.testing.assert_allclose(focal.class_weights, expected)


def test_augmentation_by_words():
    made = train_recipe.augmentation(
        options("--scale", "1,3", "--augment", "rotation=quarter,elastic=2.5,flip=both")
    )
    assert made.scale == (1, 3)
    assert (made.rotation, made.elastic, made.flip) == ("quarter", 2.5, "both")
    assert made.color == 0.3
    none = train_recipe.augmentation(options("--augment", "none"))
    assert (none.color, none.flip, none.rotation, none.elastic) == (0, False, 0, 0)
    plain = train_recipe.augmentation(options("--augment", "color=0.1,flip=no"))
    assert (plain.color, plain.flip) == (0.1, False)
    with pytest.raises(ValueError, match="--augment rotation=900: Expected `rotation`"):
        train_recipe.augmentation(options("--augment", "rotation=900"))


def test_callbacks_that_are_asked_for(seen):
    callbacks = seen("--ema", "0.9", "--early-stop", "3").arguments["callbacks"]
    names = [type(x).__name__ for x in callbacks]
    order = ["SwapEMAWeights", "Validate", "BestModel", "_EarlyStopping", "Checkpoint"]
    assert sorted(order, key=names.index) == order
    (stop,) = [x for x in callbacks if type(x).__name__ == "_EarlyStopping"]
    assert (stop.monitor, stop.patience) == ("val_mean_iou", 3)
    swap, checkpoint = callbacks[names.index("SwapEMAWeights")], callbacks[-1]
    assert swap.swap_on_epoch  # so that what validates sees the average
    assert checkpoint.callbacks == [swap, stop]


def test_early_stopping_counts_validated_epochs_without_a_higher_score():
    stop = train_recipe.callbacks(options("--early-stop", "2"))["early_stop"]
    stop.set_model(keras.Sequential())
    stop.on_train_begin()
    for epoch, score in enumerate([0.4, None, 0.5, None, None, 0.5]):
        stop.on_epoch_end(epoch, {} if score is None else {"val_mean_iou": score})
    assert not stop.stopped_epoch
    stop.on_epoch_end(6, {"val_mean_iou": 0.4})
    assert stop.stopped_epoch == 6


def test_the_network_is_built_with_what_was_asked_for(
    voc_tree, tmp_path, monkeypatch, capsys
):
    given = {}

    def build(name, num_classes, **arguments):
        given.update(arguments, model=name, num_classes=num_classes)
        raise ValueError("This is all.")

    monkeypatch.setattr("keras_seg.cli.train.build_model", build)
    monkeypatch.setattr("keras_seg.cli.train._look_at_some", lambda *_: None)
    words = ["--data", "voc", "--root", str(voc_tree), "--out", str(tmp_path / "run")]
    words += ["--model", "unet", "--encoder", "a", "--encoder-weights", "b"]
    words += ["--normalization", "group", "--upsampling", "bilinear"]
    assert main(["train", *words]) == 1
    assert "This is all." in capsys.readouterr().err
    expected = {
        "model": "unet",
        "num_classes": 21,
        "channels": 3,
        "value_range": (0, 255),
        "encoder": "a",
        "encoder_weights": "b",
        "weights": None,
        "normalization": "group",
        "upsampling": "bilinear",
    }
    assert {name: given[name] for name in expected} == expected


@pytest.mark.slow
def test_images_are_cached_and_operations_deterministic_on_request_only(
    seen, monkeypatch
):
    held, asked = [], []
    hold = keras_seg.data.cached
    monkeypatch.setattr(
        keras_seg.data, "cached", lambda x: held.append(len(x)) or hold(x)
    )
    # Not the function itself, which can't be undone.
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: asked.append(True)
    )
    read = seen()
    assert (held, asked) == ([], [])
    cached = seen("--cache", "--deterministic")
    assert (held, asked) == ([6, 5], [True])
    (image, mask), (image2, mask2) = (next(iter(x.batches)) for x in (read, cached))
    np.testing.assert_array_equal(image, image2)
    np.testing.assert_array_equal(mask, mask2)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--loss", "dise"], "Received: 'dise'"),
        (["--loss", "0*dice"], "Expected factors above 0 in --loss"),
        (["--loss", "dice", "--class-weights", "enet"], "Received: the loss dice"),
        (["--warmup", "20"], "Expected --warmup to be fewer steps"),
        (["--freeze-encoder", "2"], "Expected --encoder with --freeze-encoder"),
        (["--freeze-batch-norm"], "Expected --encoder with --freeze-batch-norm"),
        (["--encoder-rate", "1"], "Expected --encoder with --encoder-rate"),
    ],
)
def test_options_that_can_not_be_are_named(words, error, voc_tree, tmp_path, capsys):
    data = ["--data", "voc", "--root", str(voc_tree), *TINY, "--steps-per-epoch", "20"]
    assert main(["train", *data, *words, "--out", str(tmp_path / "run")]) == 1
    assert error in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_encoder_is_frozen_as_asked_for():
    model = keras_seg.unet(6, encoder=tiny(), widths=(4, 4, 4, 4, 4))
    encoder = model.get_layer("encoder")

    def trained(*words):
        """Variables that train, of the encoder and in all, and the callbacks."""
        encoder.trainable = True
        given = options("--encoder", "x", "--learning-rate", "1", *words)
        optimizer = train_recipe.build_optimizer(model, given)
        assert len(optimizer._trainable_variables) == len(model.trainable_variables)
        inside = len(encoder.trainable_variables)
        outside = len(model.trainable_variables) - inside
        return inside, outside, [*train_recipe.callbacks(given)]

    inside, outside, callbacks = trained()
    assert inside == 5 * 4  # a kernel, a bias, a scale and a shift in each level
    assert callbacks == []
    assert trained("--freeze-encoder") == (0, outside, [])
    assert trained("--freeze-encoder", "2") == (inside, outside, ["freeze_encoder"])
    assert trained("--freeze-batch-norm") == (inside // 2, outside, [])
    given = options("--encoder", "x", "--encoder-rate", "0.25")
    assert train_recipe.build_optimizer(model, given).encoder_rate == 0.25
    # What was frozen for good isn't trained after the first epochs either.
    given = options("--encoder", "x", "--freeze-encoder", "2", "--freeze-batch-norm")
    assert not train_recipe.callbacks(given)["freeze_encoder"].batch_normalization
