"""`keras-seg train`, driven as a user drives it."""

import contextlib
import csv
import datetime
import functools
import io
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_seg
from keras_seg.cli import main
from keras_seg.files import locked
from tests.models.backbones import tiny

TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]


def history(run):
    with open(run / "history.csv") as file:
        return list(csv.DictReader(file))


def test_train_leaves_a_whole_run(run):
    assert sorted(os.listdir(run)) == [
        "checkpoints",
        "curves.png",
        "history.csv",
        "metrics.json",
        "model.keras",
        "report.html",
        "run.json",
        "samples.png",
        "saved_model",
    ]
    for picture in ("curves.png", "samples.png"):
        assert Image.open(run / picture).size > (100, 100)


def test_a_run_says_what_it_was(run, voc_tree):
    described = json.loads((run / "run.json").read_text())
    assert described["root"] == str(voc_tree)
    assert described["widths"] == [4, 8]
    assert described["size"] == 32
    assert described["scale"] == [0.5, 2]
    assert described["steps_per_epoch"] == 10
    assert (described["normalization"], described["upsampling"]) == (
        "batch",
        "transpose",
    )
    assert described["examples"] == {"train": 6, "validation": 5}
    model = keras.models.load_model(run / "model.keras")
    assert described["parameters"] == model.count_params()
    assert len(described["class_names"]) == 21
    assert described["class_names"][15] == "person"
    assert described["palette"][15] == [192, 128, 128]
    assert described["versions"]["keras"] == keras.__version__


def test_a_run_says_how_it_went(run):
    described = json.loads((run / "run.json").read_text())
    rows = history(run)
    values = [float(row["val_mean_iou"]) for row in rows]
    assert described["state"] == "finished"
    assert described["best"]["epoch"] == 1 + int(np.argmax(values))
    assert described["best"]["val_mean_iou"] == max(values)
    assert described["epochs_done"] == 2
    # Two clocks: that of the wall in whole seconds, and that of the process.
    started, ended = (
        datetime.datetime.fromisoformat(described[name])
        for name in ("started", "ended")
    )
    seconds = (ended - started).total_seconds()
    assert described["seconds"] > 1
    assert described["seconds"] == pytest.approx(seconds, abs=1.2)


# A busy machine has lines between, of how far it is: "1/2  training, ".
def test_epochs_are_counted_from_1_everywhere(run):
    said = (run.parent / "said.txt").read_text()
    lines = re.findall(r"^ *(\d)/2 +\d.*$", said, re.MULTILINE)
    assert lines == ["1", "2"]
    assert [row["epoch"] for row in history(run)] == ["1", "2"]


def test_the_terminal_has_a_line_per_epoch_with_its_scores(run):
    said = (run.parent / "said.txt").read_text()
    for row in history(run):
        (line,) = re.findall(rf"^ *{row['epoch']}/2 +\d.*$", said, re.MULTILINE)
        for name in ("loss", "val_loss"):
            assert f" {float(row[name]):.4f} " in line
        for name in ("mean_iou", "val_mean_iou", "val_pixel_accuracy"):
            assert re.search(rf" {float(row[name]):.3f}[ *]", line)
    assert not re.search("[\r\x1b]", said)


def test_numbers_agree_between_training_evaluate_and_predicted_files(
    run, voc_tree, tmp_path, capsys
):
    first = json.loads((run / "metrics.json").read_text())
    assert main(["evaluate", str(run)]) == 0
    assert "background" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["images"] == 5
    assert metrics["split"] == "val"
    # What training knew of its best epoch, and what a second look says.
    best = max(history(run), key=lambda row: float(row["val_mean_iou"]))
    for name in ("mean_iou", "pixel_accuracy"):
        assert first[name] == float(best[f"val_{name}"])
        assert metrics[name] == pytest.approx(first[name], abs=1e-5)

    images = sorted((voc_tree / "JPEGImages").glob("val_*.jpg"))
    assert main(["predict", str(run), *map(str, images), "--out", str(tmp_path)]) == 0
    intersection, union, ignored = np.zeros(21), np.zeros(21), 0
    right = labelled_pixels = 0
    for image in images:
        prediction = np.array(Image.open(tmp_path / f"{image.stem}.png"))
        truth = np.array(
            Image.open(voc_tree / "SegmentationClass" / f"{image.stem}.png")
        )
        labelled = truth != 255
        ignored += (~labelled).sum()
        right += ((truth == prediction) & labelled).sum()
        labelled_pixels += labelled.sum()
        for c in range(21):
            a, b = (truth == c) & labelled, (prediction == c) & labelled
            intersection[c] += (a & b).sum()
            union[c] += (a | b).sum()
    iou = intersection[union > 0] / union[union > 0]
    accuracy = right / labelled_pixels
    assert abs(accuracy - iou.mean()) > 0.01  # else one could stand for the other
    assert metrics["mean_iou"] == pytest.approx(iou.mean(), abs=1e-6)
    assert metrics["pixel_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert metrics["ignored_pixels"] == ignored
    for value, u in zip(metrics["iou"].values(), union, strict=True):
        assert (value is None) == (u == 0)


def places(sheet, panel):
    """(row, column) of each place where a picture is in another, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet, panel.shape)[:, :, 0]
    first = (windows[..., 0, 0, :] == panel[0, 0]).all(-1)
    return [
        (y, x) for y, x in np.argwhere(first) if np.array_equal(windows[y, x], panel)
    ]


def twice(panel):
    """A panel as samples show one of 40 x 50: two pixels for one."""
    return panel.repeat(2, axis=0).repeat(2, axis=1)


def test_samples_show_image_truth_and_prediction_in_this_order(run, voc_tree):
    sheet = np.asarray(Image.open(run / "samples.png"))
    source = keras_seg.data.voc(voc_tree, "val")
    model = keras.models.load_model(run / "model.keras")
    for index in (0, 4):
        image, truth = source[index]
        prediction = keras_seg.predict_mask(model, image)
        assert (truth != prediction).mean() > 0.01
        ((top, left),) = places(sheet, twice(image))
        columns = [left]
        for mask in (truth, prediction):
            panel = keras_seg.visualize.colorize(mask, source.palette)
            # In other rows there may be the same one, as of background alone.
            (x,) = (x for y, x in places(sheet, twice(panel)) if y == top)
            columns.append(x)
        assert columns == sorted(columns)


def test_the_learning_rate_falls_along_half_a_cosine_after_a_warm_up(run):
    rates = [float(row["learning_rate"]) for row in history(run)]
    # Of 20 steps, the first 2 warm up; an epoch has 10.
    progress = (np.array([10, 20]) - 2) / 18
    np.testing.assert_allclose(
        rates, 0.01 * (1 + np.cos(np.pi * progress)) / 2, atol=1e-8
    )


@pytest.fixture(scope="session")
def squares(tmp_path_factory) -> Path:
    """Eight images of 48 x 48 with a square of 12 x 12, a shade of grey each."""
    root = tmp_path_factory.mktemp("squares")
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for k in range(8):
            mask = np.zeros((48, 48), np.uint8)
            mask[18:30, 18:30] = 1
            image = np.full((48, 48, 3), 20 + 25 * k + (split == "val"), np.uint8)
            Image.fromarray(image).save(root / split / f"images/{k}.png")
            Image.fromarray(mask).save(root / split / f"masks/{k}.png")
    return root


def of_squares(root):
    paths = [f"{root}/{{split}}/{kind}" for kind in ("images", "masks")]
    options = ["--data", "folder", "--images", paths[0], "--masks", paths[1]]
    return [*options, "--names", "ground,square", *TINY]


def masks_of(seen, batches):
    return np.concatenate([mask.numpy() for _, mask in seen.batches.take(batches)])


def test_crops_are_of_the_size_and_scale_that_were_asked_for(squares, given_to_fit):
    options = ["--scale", "0.5,0.5", "--size", "96", "--batch-size", "4"]
    seen = given_to_fit(*of_squares(squares), *options)
    masks = masks_of(seen, 2)
    assert masks.shape == (8, 96, 96)
    areas = (masks == 1).sum((1, 2))
    np.testing.assert_allclose(areas, 6**2, rtol=0.2)


def first_layer(model):
    return model.get_layer("down1_conv1")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_model_computes_in_the_precision_that_was_asked_for(policy, given_to_fit):
    seen = given_to_fit(*TINY, "--precision", policy)
    layer = first_layer(seen.model)
    assert layer.compute_dtype == policy.removeprefix("mixed_")
    assert layer.kernel.dtype == "float32"
    assert seen.model.output.dtype == "float32"


@pytest.mark.slow
def test_a_seed_repeats_a_training_and_another_changes_start_and_batches(
    squares, given_to_fit
):
    def start(seed):
        seen = given_to_fit(*of_squares(squares), "--seed", seed)
        images = np.concatenate([image.numpy() for image, _ in seen.batches.take(2)])
        return first_layer(seen.model).kernel.numpy(), images

    one, again, other = start("1"), start("1"), start("2")
    for a, b, c in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.abs(a.astype(float) - c).max() > 1e-3


def test_examples_come_in_another_order_in_each_epoch(tmp_path, given_to_fit):
    # Example k is all of class k, so masks tell which example a crop is of.
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for k in range(8):
            image = np.full((32, 32, 3), 100 + k + (split == "val"), np.uint8)
            mask = np.full((32, 32), k, np.uint8)
            Image.fromarray(image).save(tmp_path / split / f"images/{k}.png")
            Image.fromarray(mask).save(tmp_path / split / f"masks/{k}.png")
    options = of_squares(tmp_path)
    options[options.index("ground,square")] = "a,b,c,d,e,f,g,h"
    seen = given_to_fit(*options, "--scale", "1,1", "--batch-size", "4")
    order = masks_of(seen, 4)[:, 16, 16].reshape(2, 8).tolist()
    assert sorted(order[0]) == sorted(order[1]) == list(range(8))
    assert order[0] != order[1]
    assert list(range(8)) not in order


def test_a_folder_with_a_model_is_not_written_over(run, capsys):
    before = (run / "model.keras").stat().st_mtime_ns
    assert main(["train", "--out", str(run), *TINY]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (run / "model.keras").stat().st_mtime_ns == before


def test_a_folder_that_another_training_writes_to_is_refused_at_once(
    run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(
        "keras_seg.cli.train.data_source", lambda *_: pytest.fail("read data")
    )
    out = tmp_path / "run"
    shutil.copytree(run, out)
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with locked(out / ".train.lock"):
        assert main(["train", "--out", str(out), "--overwrite", *TINY]) == 1
    error = capsys.readouterr().err
    assert f"belongs to process {os.getpid()}" in error
    for path, content in before.items():
        assert path.read_bytes() == content


def test_training_starts_from_the_weights_of_another_run(run, voc_tree, given_to_fit):
    first = keras.models.load_model(run / "model.keras")
    options = ["--data", "voc", "--root", str(voc_tree), *TINY]
    seen = given_to_fit(*options, "--weights", str(run))
    for a, b in zip(first.get_weights(), seen.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_folder_without_a_model_is_no_weights(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    out = str(tmp_path / "run")
    weights = ["--weights", str(tmp_path / "empty")]
    assert main(["train", *TINY, *weights, "--out", out]) == 1
    assert "the folder of a run with model.keras" in capsys.readouterr().err


def test_a_frozen_encoder_gets_a_decoder_with_batch_normalization(
    given_to_fit, monkeypatch
):
    def stand_in(**_):
        return tiny()

    stand_in.__module__ = keras.applications.MobileNet.__module__
    monkeypatch.setattr(keras.applications, "MobileNet", stand_in)
    options = ["--encoder", "MobileNet", "--widths", "4,4,4,4,4", "--freeze-encoder"]
    seen = given_to_fit(*options, "--size", "32", "--batch-size", "2")
    described = json.loads((seen.out / "run.json").read_text())
    assert described["encoder"] == "MobileNet"
    assert described["normalization"] == "batch"
    assert not seen.model.get_layer("encoder").trainable
    normalized = {layer.name for layer in seen.model.layers if "_norm" in layer.name}
    assert len(normalized) == 10  # after each convolution of the decoder


def test_a_unet_is_normalized_and_enlarges_as_asked(given_to_fit):
    options = ["--normalization", "group", "--upsampling", "nearest"]
    model = given_to_fit(*TINY, *options).model
    kind = keras.layers.GroupNormalization
    assert isinstance(model.get_layer("down1_norm1"), kind)
    plain = given_to_fit(*TINY, "--normalization", "none").model
    assert not any("_norm" in layer.name for layer in plain.layers)
    for network, enlarges in (
        (model, keras.layers.UpSampling2D),
        (plain, keras.layers.Conv2DTranspose),
    ):
        kinds = keras.layers.UpSampling2D, keras.layers.Conv2DTranspose
        (layer,) = (one for one in network.layers if isinstance(one, kinds))
        assert isinstance(layer, enlarges)


@pytest.fixture(scope="module")
def worse_in_the_end(voc_tree, tmp_path_factory):
    """A run of three epochs, of which the second one is the best.

    It is validated in the second and third on two of five images, by a stand-in that
    finds the model worse each time.
    """
    out = tmp_path_factory.mktemp("worse") / "run"
    seen = SimpleNamespace(out=out, validated=[], metrics=[])

    def scores(model, source, progress):
        seen.validated.append(list(source.names))
        seen.metrics.append((out / "metrics.json").exists())
        matrix = np.zeros((21, 21), int)
        matrix[0, :2] = 5 - len(seen.validated), len(seen.validated)
        return keras_seg.Scores(source.class_names, matrix, images=len(source))

    options = ["--data", "voc", "--root", str(voc_tree), *TINY, "--epochs", "3"]
    options += ["--steps-per-epoch", "1", "--validate-every", "2", "--val-images", "2"]
    options += ["--learning-rate", "0.01", "--out", str(out)]
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr("keras_seg.training.callbacks.evaluate", scores)
        # Three steps are taken sooner than traced. What `run` has takes no time here.
        eager = functools.partialmethod(keras.Model.compile, run_eagerly=True)
        patch.setattr(keras.Model, "compile", eager)
        patch.setattr("keras_seg.cli.train._look_at_some", lambda *_: None)
        patch.setattr("keras_seg.training.runs.curves", lambda *_: None)
        patch.setattr("keras_seg.cli.train.report_training", lambda *_: None)
        assert main(["train", *options]) == 0
    seen.said = said.getvalue()
    return seen


@pytest.mark.slow
def test_some_epochs_and_some_images_spread_over_the_split_are_validated(
    worse_in_the_end,
):
    seen = worse_in_the_end
    validated = [row["val_mean_iou"] != "" for row in history(seen.out)]
    assert validated == [False, True, True]
    # The first of the images 0 and 1, and the first of 2, 3 and 4.
    assert seen.validated == [["val_000000", "val_000002"]] * 2
    described = json.loads((seen.out / "run.json").read_text())
    assert described["examples"] == {"train": 6, "validation": 2}


@pytest.mark.slow
def test_scores_of_a_part_are_not_written_as_those_of_the_split(worse_in_the_end):
    seen = worse_in_the_end
    assert seen.metrics == [False, False]
    assert json.loads((seen.out / "metrics.json").read_text())["images"] == 5


@pytest.mark.slow
def test_of_a_run_that_got_worse_the_best_epoch_is_kept_scored_and_exported(
    worse_in_the_end, voc_tree
):
    out = worse_in_the_end.out
    described = json.loads((out / "run.json").read_text())
    assert (described["best"]["epoch"], described["epochs_done"]) == (2, 3)
    model = keras.models.load_model(out / "model.keras")
    assert int(model.optimizer.iterations) == 2  # of three steps
    source = keras_seg.data.voc(voc_tree, "val")
    scores = keras_seg.evaluate(model, source)
    written = json.loads((out / "metrics.json").read_text())
    assert written["mean_iou"] == pytest.approx(scores.mean_iou, abs=1e-6)
    image = source[0][0]
    served = tf.saved_model.load(str(out / "saved_model")).signatures["probabilities"]
    given = served(image=tf.constant(image[None]))["probabilities"][0]
    np.testing.assert_allclose(given, keras_seg.predict(model, image), atol=1e-5)


@pytest.mark.slow
def test_the_best_epoch_so_far_is_marked(worse_in_the_end):
    lines = re.findall(r"^ *\d/3 +\d.*$", worse_in_the_end.said, re.MULTILINE)
    assert ["*" in line for line in lines] == [False, True, False]


def test_the_saved_model_of_a_run_knows_its_classes(run):
    names = (run / "saved_model/assets.extra/class_names.txt").read_text()
    described = json.loads((run / "run.json").read_text())
    assert names.splitlines() == described["class_names"]
    assert len(described["class_names"]) == 21


def test_paths_in_run_json_hold_in_every_folder(voc_tree, given_to_fit, monkeypatch):
    monkeypatch.chdir(voc_tree.parent)
    seen = given_to_fit("--data", "voc", "--root", voc_tree.name, *TINY)
    described = json.loads((seen.out / "run.json").read_text())
    assert described["root"] == str(voc_tree)


def test_default_names_get_a_number(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("runs/shapes-unet").mkdir(parents=True)

    def fit(*_, **__):
        raise ValueError("stopped here")

    monkeypatch.setattr(keras.Model, "fit", fit)
    assert main(["train", *TINY]) == 1
    assert "stopped here" in capsys.readouterr().err
    assert sorted(os.listdir("runs")) == ["shapes-unet", "shapes-unet-2"]
    assert os.listdir("runs/shapes-unet") == []
    assert json.loads(Path("runs/shapes-unet-2/run.json").read_text())["state"] == (
        "failed"
    )


@pytest.mark.parametrize("damage", ["mask", "image"])
def test_a_bad_file_is_named_in_training(damage, tmp_path, capsys):
    root = tmp_path / "VOC2012"
    for split in ("train", "val"):
        keras_seg.data.write_voc(keras_seg.data.shapes(4, size=(32, 32)), root, split)
    if damage == "mask":
        path = root / "SegmentationClass" / "train_000002.png"
        Image.fromarray(np.full((32, 32), 77, np.uint8)).save(path)
    else:
        path = root / "JPEGImages" / "train_000002.jpg"
        path.write_bytes(path.read_bytes()[:200])
    arguments = ["train", "--data", "voc", "--root", str(root)]
    assert main([*arguments, "--out", str(tmp_path / "run"), *TINY]) == 1
    error = capsys.readouterr().err
    says = {"mask": "Received: 77", "image": "JPEG"}[damage]
    assert re.search(rf"{re.escape(str(path))}: .*{says}", error)
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()  # for it is found before training
