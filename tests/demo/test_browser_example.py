"""examples/browser: an exported ONNX file in a browser."""

import functools
import json
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli import demo
from tests.demo import pages

EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"
BANDS = (2, 0)


def test_its_viewer_is_the_demos():
    own = Path(keras_seg.__file__).parent / "demo" / "viewer.js"
    assert (EXAMPLE / "viewer.js").read_bytes() == own.read_bytes()


def test_it_asks_for_one_version_of_its_runtime():
    wanted = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]
    assert list(wanted) == ["onnxruntime-web"]
    assert wanted["onnxruntime-web"].replace(".", "").isdecimal()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """The example with its runtime and a model."""
    pytest.importorskip("tf2onnx", reason="needs pip install 'keras-seg[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs pip install 'keras-seg[onnx]'")
    copy = tmp_path_factory.mktemp("web") / "browser"
    shutil.copytree(EXAMPLE, copy, symlinks=True)
    if not (copy / "node_modules").exists():
        if shutil.which("npm") is None:
            pytest.skip("needs npm, for onnxruntime-web")
        install = ["npm", "install", "--no-audit", "--no-fund"]
        done = subprocess.run(install, cwd=copy, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"npm can't install onnxruntime-web: {done.stderr[-300:]}")
    shapes = {"fixed": (96, 128, 3), "bands": (None, None, 2)}
    nets = {k: keras_seg.unet(3, widths=(4, 8), input_shape=shapes[k]) for k in shapes}
    for name, net in {"model": model, **nets}.items():
        keras_seg.export(
            net,
            copy / f"{name}.onnx",
            format="onnx",
            class_names=pages.NAMES,
            palette=pages.PALETTE,
            bands=BANDS if name == "bands" else None,
        )
    return copy


@pytest.fixture(scope="module")
def address(folder):
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def show(page, photo):
    """Choose a photo once there is a model, and wait for the mask."""
    page.get_by_text("Ready. Choose a photo.").wait_for(timeout=60_000)
    page.locator("#photo").set_input_files(photo)
    page.get_by_text("predicted in").wait_for(timeout=60_000)


@pytest.mark.slow
@pytest.mark.parametrize("width", pages.WIDTHS)
def test_a_photo_is_seen_under_its_mask(browser, address, model, photo, width):
    image = Image.open(photo).convert("RGB")
    assert max(image.size) <= 512  # else the page would make it smaller
    mask = keras_seg.predict_mask(model, np.asarray(image))
    with pages.opened(browser, address, width) as page:
        show(page, photo)
        shown = pages.ids_shown(page)
        assert shown.shape == mask.shape
        assert (shown == mask).mean() >= 0.999
        pages.check_legend(page, shown)
        pages.check_hover(page, shown)
        pages.check_slider(page, shown, image)
        pages.check_fits(page)


@pytest.mark.slow
def test_a_photo_goes_at_the_size_that_is_chosen(browser, address, photo):
    image = Image.open(photo)
    with pages.opened(browser, address, 1280) as page:
        show(page, photo)
        page.locator("#side").select_option("256")
        side = min(256, max(image.size))
        factor = side / max(image.size)
        size = [round(n * factor) for n in image.size]
        page.get_by_text(f"{size[0]} x {size[1]} pixels").wait_for(timeout=60_000)
        assert pages.ids_shown(page).shape == (size[1], size[0])


@pytest.mark.slow
def test_a_model_of_one_size_gets_the_photo_above_black(
    browser, address, folder, photo, tmp_path
):
    small = Image.open(photo).convert("RGB").crop((0, 0, 100, 80))  # isn't resized
    small.save(tmp_path / "small.png")
    padded = Image.new("RGB", (128, 96))
    padded.paste(small, (0, 0))
    mask = keras_seg.predict_mask(folder / "fixed.onnx", np.asarray(padded))
    assert len(np.unique(mask[:80, :100])) > 1
    with pages.opened(browser, f"{address}?model=fixed.onnx", 1280) as page:
        show(page, tmp_path / "small.png")
        assert page.locator("#side").is_disabled()
        shown = pages.ids_shown(page)
        assert shown.shape == (80, 100)
        assert (shown == mask[:80, :100]).mean() >= 0.999
        # A larger one is reduced until it fits.
        page.locator("#photo").set_input_files(photo)
        width, height = Image.open(photo).size
        factor = min(128 / width, 96 / height)
        size = f"{round(width * factor)} x {round(height * factor)} pixels"
        page.get_by_text(size).wait_for(timeout=60_000)


@pytest.mark.slow
def test_a_model_of_bands_gets_them_of_the_photo(browser, address, folder, photo):
    pixels = np.asarray(Image.open(photo).convert("RGB"))
    masks = [
        keras_seg.predict_mask(folder / "bands.onnx", pixels[..., list(bands)])
        for bands in (BANDS, BANDS[::-1], (0, 1))
    ]
    assert all((masks[0] == other).mean() < 0.99 for other in masks[1:])
    with pages.opened(browser, f"{address}?model=bands.onnx", 1280) as page:
        show(page, photo)
        assert (pages.ids_shown(page) == masks[0]).mean() >= 0.999


@pytest.mark.slow
def test_what_is_no_model_and_no_photo_is_said(browser, address, photo, tmp_path):
    (tmp_path / "notes.txt").write_text("from the zoo")
    (tmp_path / "odd.onnx").write_bytes(b"no model at all")
    with pages.opened(browser, address, 1280) as page:
        page.get_by_text("Ready. Choose a photo.").wait_for(timeout=60_000)
        page.locator("#photo").set_input_files(tmp_path / "notes.txt")
        page.get_by_text("Expected a photo or an .onnx file").wait_for()
        page.locator("#model").set_input_files(tmp_path / "odd.onnx")
        page.locator("#status.error").get_by_text("odd.onnx").wait_for()
        # The model that was there still answers.
        page.locator("#photo").set_input_files(photo)
        page.get_by_text("predicted in").wait_for(timeout=60_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "saved_model"])
def test_the_demo_shows_exports_with_their_names_and_colors(folder, model, kind):
    path = folder / "model.onnx"
    if kind == "saved_model":
        path = folder / "saved_model"
        about = {"class_names": pages.NAMES, "palette": pages.PALETTE}
        keras_seg.export(model, path, **about)
    answers = demo._opened(path)
    assert answers.class_names == pages.NAMES
    assert np.array_equal(answers.palette, pages.PALETTE)
