"""`keras-seg report`, and what every command prints with --json."""

import json
import re
import shlex
import shutil

import keras
import pytest

import keras_seg
from keras_seg.cli import main, report
from keras_seg.cli.earlier import command_of, options_to_keep
from keras_seg.cli.options import parser
from keras_seg.cli.output import Output


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run, to change."""
    return shutil.copytree(run, tmp_path / "run")


def top(page):
    """What the page says of the mean IoU and its interval."""
    text = " ".join(re.sub(r"<[^>]+>", " ", page.read_text()).split())
    return re.search(r"([\d.]+) mean IoU ([\d.]+) to ([\d.]+)", text).groups()


def numbers(metrics):
    content = json.loads(metrics.read_text())
    return tuple(
        f"{x:.3f}" for x in (content["mean_iou"], *content["mean_iou_interval"])
    )


def test_a_training_leaves_a_report_of_its_scores(run):
    page = run / "report.html"
    assert top(page) == numbers(run / "metrics.json")
    said = (run.parent / "said.txt").read_text()
    assert f"\nReport: {page}\n" in said
    text = page.read_text()
    order = json.loads((run / "metrics.json").read_text())["images_by_loss"]
    assert re.findall(r"<b>(val_\d+)</b>", text) == [row["name"] for row in order]
    assert '<th scope="row">training</th><td>6</td>' in " ".join(text.split())
    said = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    assert "keras-seg train --data voc --root /" in said
    header = (run / "history.csv").read_text().splitlines()[0].split(",")
    numbers_of_training = [x for x in header if x != "epoch" and "val_" not in x]
    assert text.count('class="chart curve"') == len(numbers_of_training)
    assert "The training is not finished" not in text


@pytest.mark.slow
def test_the_report_of_another_split_is_a_file_of_its_own(copy, capsys):
    before = (copy / "report.html").read_bytes()
    assert main(["report", str(copy), "--split", "train", "--show", "2"]) == 0
    said = capsys.readouterr().out
    page = copy / "report_train.html"
    assert f"\nWrote {page}\nNext: keras-seg predict {copy} IMAGE --out DIR\n" in said
    assert top(page) == numbers(copy / "metrics_train.json")
    order = json.loads((copy / "metrics_train.json").read_text())["images_by_loss"]
    worst = [row["name"] for row in order]
    (first, second) = re.findall(r"<b>(train_\d+)</b>", page.read_text())
    assert (first, second) == (worst[0], worst[1])
    assert (copy / "report.html").read_bytes() == before


@pytest.mark.slow
def test_a_stopped_run_without_scores_is_scored(copy, capsys):
    expected = numbers(copy / "metrics.json")
    (copy / "metrics.json").unlink()
    (copy / "history.csv").unlink()
    content = json.loads((copy / "run.json").read_text()) | {"state": "interrupted"}
    (copy / "run.json").write_text(json.dumps(content))
    assert main(["report", str(copy), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["report"] == str(copy / "report.html")
    assert result["metrics"] == str(copy / "metrics.json")
    assert numbers(copy / "metrics.json") == expected
    assert top(copy / "report.html") == expected
    assert "The training is not finished" in (copy / "report.html").read_text()


def test_another_file_is_replaced_on_request_only(copy, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("mine")
    words = ["report", str(copy), "--show", "1", "--out"]
    assert main([*words, str(page)]) == 1
    assert (
        f"Expected nothing at {page}. Choose another --out" in capsys.readouterr().err
    )
    assert page.read_text() == "mine"
    assert main([*words, str(tmp_path / "none" / "page.html")]) == 1
    assert "in a folder that exists" in capsys.readouterr().err
    (tmp_path / "folder.html").mkdir()
    assert main([*words, str(tmp_path / "folder.html"), "--overwrite"]) == 1
    assert main([*words, str(page), "--overwrite"]) == 0
    assert top(page) == numbers(copy / "metrics.json")
    with pytest.raises(SystemExit) as ended:
        main([*words, "page.png"])
    assert ended.value.code == 2
    assert "ends in .html, received page.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        b"",
        b"[]",
        b"{}",
        {"iou": {"a": 1}},
        {"confusion_matrix": [[1, 2]]},
        {"images_by_loss": [{"name": 1}]},
        {"mean_iou": "high"},
        {"dice": {}},
    ],
)
def test_damaged_scores_are_one_sentence_with_their_path(change, copy, capsys):
    path = copy / "metrics.json"
    if isinstance(change, dict):
        content = json.loads(path.read_text()) | change
        change = json.dumps(content).encode()
    path.write_bytes(change)
    assert main(["report", str(copy)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"keras-seg: error: {path}: Expected scores")


def test_images_are_scored_again_if_the_scores_are_of_others(copy, capsys, monkeypatch):
    def evaluate(model, source, **_):
        raise RuntimeError(f"scoring {len(source)}")

    monkeypatch.setattr(keras_seg, "evaluate", evaluate)
    path = copy / "metrics.json"
    content = json.loads(path.read_text())
    content["images_by_loss"][0]["name"] = "gone"
    path.write_text(json.dumps(content))
    assert main(["report", str(copy)]) == 1
    printed = capsys.readouterr()
    assert f"{path} has scores of other images. The model is scored" in printed.out
    assert "scoring 5" in printed.err


def test_an_error_of_the_report_does_not_fail_a_training(run, monkeypatch, capsys):
    def fail(*_, **__):
        raise MemoryError("no room for a page")

    monkeypatch.setattr(report, "run_report", fail)
    report.report_training(run, None, None, None, None, Output())
    said = capsys.readouterr().out
    assert "The report wasn't written: no room for a page" in said
    assert f"Try: keras-seg report {run}" in said


@pytest.mark.parametrize(
    "words",
    [
        "train",
        "train --data voc --root /a/VOC2012 --widths 4,8 --scale 0.5,1.5 --cache",
        "train --encoder resnet18 --freeze-encoder --learning-rate 3e-4",
        "train --encoder resnet18 --freeze-encoder 2 --epochs 7 --deterministic",
        "train --encoder resnet18 --encoder-weights w --no-freeze-batch-norm",
        "train --data folder --images '/a b/{split}' --masks /m --names x,y --ids 0,1",
    ],
)
def test_the_command_of_a_run_begins_it_again(words):
    options = parser().parse_args(shlex.split(words))
    given = json.loads(json.dumps(options_to_keep(options)))  # as run.json has it
    command = command_of({"given": given})
    assert command.startswith("keras-seg train")
    again = parser().parse_args(shlex.split(command)[1:])
    assert options_to_keep(again) == options_to_keep(options)
    assert len(shlex.split(command)) <= len(shlex.split(words)) + 1
    assert command_of({}) is None


@pytest.mark.slow
def test_json_is_one_object_and_nothing_else(
    copy, voc_tree, tmp_path, capfd, monkeypatch
):
    # It takes long, and prints nothing; test_export.py has it.
    monkeypatch.setattr(keras_seg, "export", lambda *_, **__: None)
    image = voc_tree / "JPEGImages/val_000000.jpg"
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    out = tmp_path / "out"
    data = f"--data voc --root {voc_tree}"
    found = {}
    for words, status in (
        (f"evaluate {copy}", 0),
        (f"report {copy} --show 1", 0),
        (f"predict {copy} {image} {broken} --out {out}/masks", 1),
        (f"export {copy} --out {out}/export", 0),
        (f"prepare {data} --out {out}/prepared", 0),
        (f"inspect {data}", 0),
    ):
        capfd.readouterr()
        assert main([*words.split(), "--json"]) == status
        said = capfd.readouterr().out
        assert said.endswith("}\n")
        found[words.split()[0]] = json.loads(said)
    metrics = json.loads((copy / "metrics.json").read_text())
    assert found["evaluate"] == {
        "metrics": str(copy / "metrics.json"),
        "scores": metrics,
    }
    assert found["report"]["mean_iou"] == metrics["mean_iou"]
    predicted = found["predict"]
    assert (predicted["images"], predicted["written"]) == (2, 1)
    assert len(predicted["failed"]) == 1
    assert str(broken) in predicted["failed"][0]
    assert found["export"] == {"export": f"{out}/export", "format": "saved_model"}
    assert found["prepare"]["val"] == {"folder": f"{out}/prepared/val", "examples": 5}
    assert found["inspect"]["serious"] is False


def test_a_download_is_not_told_among_the_json(copy, tmp_path, capfd, monkeypatch):
    evaluate = keras_seg.evaluate
    (tmp_path / "weights.h5").write_bytes(b"weights")
    origin = (tmp_path / "weights.h5").as_uri()

    def downloading(*arguments, **options):
        keras.utils.get_file("a.h5", origin, cache_dir=tmp_path)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(keras_seg, "evaluate", downloading)
    assert main(["evaluate", str(copy), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["scores"]["images"] == 5
    (tmp_path / "datasets/a.h5").unlink()
    assert main(["evaluate", str(copy)]) == 0  # people are told
    assert f"Downloading data from {origin}" in capfd.readouterr().out


@pytest.mark.slow
def test_commands_say_what_to_do_next(copy, voc_tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(keras_seg, "export", lambda *_, **__: None)
    image = voc_tree / "JPEGImages/val_000000.jpg"
    for words in (
        f"predict {copy} {image} --out {tmp_path}/masks",
        f"export {copy} --out {tmp_path}/export",
        f"prepare --data voc --root {voc_tree} --out {tmp_path}/prepared",
    ):
        assert main(words.split()) == 0
        *_, last = capsys.readouterr().out.strip().splitlines()
        assert last.startswith("Next: keras-seg ")
        options = parser().parse_args(shlex.split(last)[2:])  # there are such options
        assert options.command in ("export", "evaluate", "train")


def with_class(run, name):
    """Let run.json call class 3 otherwise."""
    content = json.loads((run / "run.json").read_text())
    content["class_names"][3] = name
    (run / "run.json").write_text(json.dumps(content))


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_data_of_other_classes_are_refused_before_the_model_is_loaded(
    copy, capsys, monkeypatch, command
):
    loaded = []
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: loaded.append(1))
    with_class(copy, "dragon")
    (copy / "metrics.json").unlink()
    assert main([command, str(copy)]) == 1
    error = capsys.readouterr().err
    assert f"Expected examples of the run's classes, which {copy}/run.json n" in error
    assert "Received: class 3 is 'bird' in place of 'dragon'." in error
    content = json.loads((copy / "run.json").read_text())
    fewer = {name: content[name][:2] for name in ("class_names", "palette")}
    (copy / "run.json").write_text(json.dumps(content | fewer))
    assert main([command, str(copy)]) == 1
    error = capsys.readouterr().err
    assert "Received: 21 classes in place of 2: background, aeroplane, " in error
    assert loaded == []
    assert not (copy / "metrics.json").exists()


def test_an_export_of_other_classes_is_refused(copy, voc_tree, tmp_path, capsys):
    export = copy / "saved_model"
    about = export / "assets.extra/keras_seg.json"
    content = json.loads(about.read_text())
    content["class_names"][3] = "dragon"
    about.write_text(json.dumps(content))
    image = voc_tree / "JPEGImages/val_000000.jpg"
    predict = f"predict {copy} {image} --out {tmp_path}/masks --export "
    for words in (f"evaluate {copy} --export {export}", f"{predict}{export}"):
        assert main(words.split()) == 1
        error = capsys.readouterr().err
        assert f"{export}: Expected an export of the run's classes" in error
        assert "Received: class 3 is 'dragon' in place of 'bird'." in error
    assert not (tmp_path / "masks").exists()
    assert not (copy / "metrics_saved_model.json").exists()
    # One that was written without names is known by the number of its classes.
    del content["class_names"]
    about.write_text(json.dumps(content))
    assert main(f"{predict}{export}".split()) == 0
    assert main(f"{predict}{copy}/model.keras".split()) == 1
    assert "model.keras, a Keras model. The model of a run" in capsys.readouterr().err


def test_the_next_command_is_about_what_was_done(copy, voc_tree, tmp_path, capsys):
    image = voc_tree / "JPEGImages/val_000000.jpg"
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    export = copy / "saved_model"
    out = f"--out {tmp_path}/masks"
    described = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(described | {"root": "/moved"}))
    predict = f"predict {copy} IMAGE --out DIR"
    for words, status, then in (
        (f"evaluate {copy} --root {voc_tree}", 0, f"report {copy} --root {voc_tree}"),
        (
            f"evaluate {copy} --flips --scales 1,0.5 --root {voc_tree}",
            0,
            f"{predict} --flips --scales 1,0.5",
        ),
        (
            f"evaluate {copy} --export {export} --root {voc_tree}",
            0,
            f"{predict} --export {export}",
        ),
        (f"predict {copy} {image} {out}", 0, f"export {copy} --out DIR"),
        (
            f"predict {copy} {image} {out} --export {export}",
            0,
            f"evaluate {copy} --export {export}",
        ),
        (f"predict {copy} {image} {broken} {out}", 1, f"export {copy} --out DIR"),
        (f"predict {copy} {broken} {out}", 1, None),
    ):
        assert main(words.split()) == status
        said = capsys.readouterr().out
        found = re.findall(r"^Next: keras-seg (.*)$", said, re.MULTILINE)
        assert found == ([] if then is None else [then])
        for command in found:
            parser().parse_args(shlex.split(command))  # there are such options


def test_help_has_the_exit_statuses(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Exit status: 0 done; 1 an error" in said
