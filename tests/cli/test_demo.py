"""`keras-seg demo`."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli import demo, main
from keras_seg.demo import page

NAMES = ["land", "cat", "dog"]


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """A run of a net that wasn't trained."""
    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("runs") / "cats"
    folder.mkdir()
    keras_seg.unet(3, widths=(4, 8)).save(folder / "model.keras")
    described = {"palette": [(10, 20, 30), (200, 0, 0), (0, 150, 250)]}
    (folder / "run.json").write_text(json.dumps(described | {"class_names": NAMES}))
    return folder


@pytest.fixture
def with_gradio(monkeypatch):
    """As if Gradio were installed, for what goes wrong before it is needed."""
    monkeypatch.setattr(page, "check_package", lambda *_: None)


def test_a_run_is_shown_with_its_own_names_and_colors(own_run):
    answers = demo._opened(own_run)
    assert answers.class_names == NAMES
    assert answers.palette.tolist() == [[10, 20, 30], [200, 0, 0], [0, 150, 250]]
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert answers(image)["size"] == [30, 20]


def test_the_channels_that_a_run_picked_are_picked_of_a_photo(
    with_gradio, own_run, tmp_path, capsys
):
    run = shutil.copytree(own_run, tmp_path / "picked")
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | {"bands": "2,0,1"}))
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    told = demo._opened(run)(image)
    plain = demo._opened(own_run)
    assert told["mask"] == plain(image[..., [2, 0, 1]])["mask"]
    assert told["mask"] != plain(image)["mask"]
    assert told["photo"] == plain(image)["photo"]
    (run / "run.json").write_text(json.dumps(described | {"bands": "3,0,1"}))
    assert main(["demo", str(run)]) == 1
    assert "one of channels 3, 0, 1, which a page can't" in capsys.readouterr().err


def test_pixels_without_data_of_a_run_are_ignored_in_its_demo(own_run, tmp_path):
    run = shutil.copytree(own_run, tmp_path / "gaps")
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | {"nodata": 7}))
    image = np.random.default_rng(0).integers(8, 256, (20, 30, 3), np.uint8)
    image[:5, :6] = 7
    _, _, content = demo._opened(run)(image)["mask"].partition(";base64,")
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    expected = np.zeros((20, 30), bool)
    expected[:5, :6] = True
    assert np.array_equal(mask == 255, expected)


@pytest.mark.parametrize(("page", "is_shown"), [(0, True), (2, False), ("all", False)])
def test_a_run_on_other_pages_than_the_first_is_refused(
    own_run, tmp_path, page, is_shown, capsys, monkeypatch
):
    run = shutil.copytree(own_run, tmp_path / "pages")
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | {"page": page}))
    if is_shown:
        assert demo._opened(run).class_names == NAMES
        return
    monkeypatch.setattr("keras_seg.demo.page.check_package", lambda *_: None)
    assert main(["demo", str(run)]) == 1
    assert f"TIFFs with --page {page}, of which a browser" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["{}", "{}/model.keras"])
def test_a_port_that_is_taken_is_said_in_terms_of_the_option(own_run, word, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert main(["demo", word.format(own_run), "--port", port]) == 1
    assert f"Expected a free --port. Received: {port}" in capsys.readouterr().err


def test_what_a_page_needs_is_told_before_the_model_is_loaded(
    own_run, monkeypatch, capsys
):
    loaded = []
    monkeypatch.setattr(demo, "load_model", loaded.append)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", str(own_run)]) == 1
    error = capsys.readouterr().err
    assert "Expected the package gradio. Install it: pip install 'keras-seg[demo]'" in (
        error
    )
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["demo", str(own_run), "--port", str(other.getsockname()[1])]) == 1
    assert "Expected a free --port" in capsys.readouterr().err
    assert loaded == []


def test_what_is_no_model_is_named(with_gradio, tmp_path, capsys):
    assert main(["demo", str(tmp_path / "gone.onnx")]) == 1
    error = capsys.readouterr().err
    assert f"`keras-seg export` wrote at {tmp_path}/gone.onnx. There is no" in error
    assert main(["demo", str(tmp_path)]) == 1
    assert f"with run.json. Received: {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "80a"])
def test_a_port_is_a_number_that_ports_have(port, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", "runs/cats", "--port", port])
    assert ended.value.code == 2
    assert "expected a whole number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_is_served_until_ctrl_c_and_leaves_nothing(own_run, tmp_path):
    pytest.importorskip("gradio", reason="needs Gradio: pip install 'keras-seg[demo]'")
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_seg", "demo", str(own_run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        # A shell that starts tests in the background lets them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        said = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", said)[0]
        assert "Ctrl-C" in process.stdout.readline()
        with urllib.request.urlopen(address, timeout=60) as page:
            assert b"segmentation-viewer" in page.read()
        assert len(list(tmp_path.glob("keras_seg.*"))) == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert errors.endswith("\nInterrupted.\n")
    assert "Traceback" not in errors
    assert list(tmp_path.glob("keras_seg.*")) == []
