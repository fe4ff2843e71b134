"""`keras-seg evaluate`, and what every command says of a damaged run."""

import json
import os
import re
import shutil
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli import main


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run, to damage."""
    out = tmp_path / "run"
    shutil.copytree(run, out)
    return out


@pytest.mark.slow
def test_scores_of_another_split_get_a_file_of_their_own(copy, capsys):
    lists = json.loads((copy / "run.json").read_text())["root"]
    few = copy.parent / "VOC2012"
    shutil.copytree(lists, few)
    (few / "ImageSets/Segmentation/few.txt").write_text("train_000000\n")
    before = json.loads((copy / "metrics.json").read_text())
    assert main(["evaluate", str(copy), "--root", str(few), "--split", "few"]) == 0
    scores = json.loads((copy / "metrics_few.json").read_text())
    assert (scores["images"], scores["split"]) == (1, "few")
    assert re.search("^images +1$", capsys.readouterr().out, re.MULTILINE)
    assert json.loads((copy / "metrics.json").read_text()) == before
    # Of a run that was trained on a list, "train" is still that of the data set.
    described = json.loads((copy / "run.json").read_text()) | {"train_split": "few"}
    (copy / "run.json").write_text(json.dumps(described))
    assert main(["evaluate", str(copy), "--root", str(few), "--split", "train"]) == 0
    assert json.loads((copy / "metrics_train.json").read_text())["images"] == 6
    (copy / "metrics.json").unlink()
    assert main(["evaluate", str(copy), "--split", "val"]) == 0
    assert json.loads((copy / "metrics.json").read_text())["images"] == 5


def test_table_and_file_have_all_scores_of_the_python_function(copy, voc_tree, capsys):
    assert main(["evaluate", str(copy), "--boundary", "3"]) == 0
    said = capsys.readouterr().out
    written = json.loads((copy / "metrics.json").read_text())
    model = keras.models.load_model(copy / "model.keras", compile=False)
    source = keras_seg.data.voc(voc_tree, "val")
    scores = keras_seg.evaluate(model, source, boundary=3)
    assert str(scores) in said
    assert written["mean_iou"] == scores.mean_iou
    assert written["mean_iou_interval"] == [*scores.mean_iou_interval]
    assert written["boundary_iou"] == scores.boundary_iou
    assert written["confusion_matrix"] == scores.confusion_matrix.tolist()
    assert written["ignored_pixels"] == scores.ignored_pixels
    assert written["invalid_pixels"] == 0
    for kind in ("iou", "precision", "recall", "dice"):
        for name, value in getattr(scores, kind).items():
            assert written[kind][name] == (None if np.isnan(value) else value)
    worst = [(image["name"], image["loss"]) for image in written["images_by_loss"]]
    assert worst == [(image.name, image.loss) for image in scores.worst_images()]
    assert len(worst) == 5
    # Long lists come last, after what people read.
    assert [*written][-2:] == ["confusion_matrix", "images_by_loss"]
    # Of these the table has a line each, and then the next command.
    line = r"^(\S+): loss ([\d.]+), mean IoU ([\d.]+)$"
    found = re.findall(line, said, re.MULTILINE)
    assert found == [
        (image.name, f"{image.loss:.3f}", f"{image.mean_iou:.3f}")
        for image in scores.worst_images()
    ]
    losses = [float(loss) for _, loss, _ in found]
    assert losses == sorted(losses, reverse=True)
    assert said.endswith(f"Wrote {copy}/metrics.json\nNext: keras-seg report {copy}\n")


@pytest.mark.slow
def test_scores_that_are_not_the_runs_own_get_files_of_their_own(copy, voc_tree):
    before = (copy / "metrics.json").read_text()
    words = ["--tile", "32", "--flips", "--scales", "0.5,1"]
    assert main(["evaluate", str(copy), *words]) == 0
    scores = json.loads((copy / "metrics_tile32_flips_scales0.5_1.json").read_text())
    assert (scores["tile"], scores["flips"]) == (32, True)
    model = keras.models.load_model(copy / "model.keras")
    source = keras_seg.data.voc(voc_tree, "val")
    options = {"tile": 32, "flips": True, "scales": (0.5, 1.0)}
    expected = keras_seg.evaluate(model, source, **options)
    assert scores["confusion_matrix"] == expected.confusion_matrix.tolist()

    export = copy / "saved_model"
    assert main(["evaluate", str(copy), "--export", str(export)]) == 0
    scores = json.loads((copy / "metrics_saved_model.json").read_text())
    own = json.loads(before)["confusion_matrix"]
    assert np.abs(np.subtract(scores["confusion_matrix"], own)).sum() <= 10
    assert (copy / "metrics.json").read_text() == before


def test_predictions_that_are_nan_are_an_error(copy, capsys):
    model = keras.models.load_model(copy / "model.keras")
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    model.save(copy / "model.keras")
    assert main(["evaluate", str(copy)]) == 1
    assert "NaN" in capsys.readouterr().err


def commands(run, voc_tree):
    image = str(voc_tree / "JPEGImages/val_000000.jpg")
    yield ["evaluate", str(run)]
    yield ["predict", str(run), image, "--out", str(run.parent / "masks")]
    yield ["export", str(run), "--out", str(run.parent / "export")]


def one_sentence_names(path, error):
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("keras-seg: error: ")
    assert str(path) in lines[0]
    assert "Traceback" not in error
    return True


GOOD = {"class_names": ["a", "b"], "palette": [[0, 0, 0], [9, 9, 9]], "data": "shapes"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n\0\xff",
        b"null",
        b"[]",
        b"7",
        b'"run"',
        b"{}",
        b'{"class_names": ["a", "b"], "palette"',
        b"[" * 100_000,
        b'{"best": NaN}',
        "{}".encode("utf-16"),
        *(
            json.dumps(GOOD | change).encode()
            for change in (
                {"class_names": None},
                {"class_names": "ab"},
                {"class_names": ["a", 1]},
                {"class_names": ["a"]},
                {"class_names": ["a", "a"]},
                {"palette": None},
                {"palette": [[0, 0, 0]]},
                {"palette": [[0, 0, 0], [0, 0]]},
                {"palette": [[0, 0, 0], [0, 0, 256]]},
                {"palette": [[0, 0, 0], [0, 0, 0.5]]},
            )
        ),
    ],
)
def test_a_damaged_run_json_is_one_sentence_with_its_path(
    content, copy, voc_tree, capsys
):
    (copy / "run.json").write_bytes(content)
    for command in commands(copy, voc_tree):
        assert main(command) == 1
        assert one_sentence_names(copy / "run.json", capsys.readouterr().err)


@pytest.mark.parametrize(
    "change",
    [{"data": "nosuch"}, {"data": None}, {"root": 5}, {"val_split": ["val"]}],
)
def test_options_of_another_type_in_run_json_are_named(change, copy, capsys):
    content = json.loads((copy / "run.json").read_text()) | change
    (copy / "run.json").write_text(json.dumps(content))
    assert main(["evaluate", str(copy)]) == 1
    error = capsys.readouterr().err
    assert one_sentence_names(copy / "run.json", error)
    assert next(iter(change)) in error


def zipped(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)


def another_model(path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)


def model_of_other_classes(path):
    keras_seg.unet(3, widths=(2, 2)).save(path)


def first_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04 and no more"),
        lambda path: path.write_text("not a model"),
        first_half,
        lambda path: zipped(path, a_txt="hello"),
        lambda path: zipped(path, config_json="null", metadata_json="null"),
        lambda path: zipped(path, config_json="{}", metadata_json="{}"),
        another_model,
        model_of_other_classes,
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: path.unlink(),
    ],
)
def test_a_damaged_model_is_one_sentence_with_its_path(damage, copy, voc_tree, capsys):
    damage(copy / "model.keras")
    for command in commands(copy, voc_tree):
        assert main(command) == 1
        assert one_sentence_names(copy / "model.keras", capsys.readouterr().err)


@pytest.mark.parametrize("kind", ["missing", "file", "folder"])
def test_what_is_no_run_is_named(kind, tmp_path, voc_tree, capsys):
    path = tmp_path / "thing"
    if kind == "file":
        Image.new("RGB", (2, 2)).save(path, "PNG")
    elif kind == "folder":
        path.mkdir()
    for command in commands(path, voc_tree):
        assert main(command) == 1
        assert one_sentence_names(path, capsys.readouterr().err)
    assert sorted(os.listdir(tmp_path)) == ([] if kind == "missing" else ["thing"])


def test_an_export_that_is_not_there_is_called_what_the_command_writes(run, capsys):
    assert main(["evaluate", str(run), "--export", "none.onnx"]) == 1
    said = "Expected what `keras-seg export` wrote at none.onnx. There is nothing."
    assert said in capsys.readouterr().err
