"""A browser that reaches this machine alone, a photo, and a tiny model."""

import os
import shutil
from pathlib import Path

import keras
import pytest
from PIL import Image

import keras_seg


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, for which no other host has an address."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install playwright"
    )
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the program chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",  # which root, in a container, can't have
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        yield started
        started.close()


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A real photo, or a drawn one, as PNG, which all decoders read alike."""
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    data = os.environ.get("KERAS_SEG_DATA")
    found = (
        sorted(Path(data).glob("VOCdevkit/VOC2012/JPEGImages/*.jpg")) if data else []
    )
    if found:
        Image.open(found[0]).save(path)
    else:
        Image.fromarray(keras_seg.data.shapes(1, size=(150, 200))[0][0]).save(path)
    return path


@pytest.fixture(scope="session")
def model():
    """A net that wasn't trained, of three classes."""
    keras.utils.set_random_seed(1)
    return keras_seg.unet(3, widths=(4, 8))
