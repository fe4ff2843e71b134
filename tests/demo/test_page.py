"""The demo's page, in a browser."""

import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.demo import Answers, serving
from tests.demo import pages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(model):
    pytest.importorskip("gradio", reason="needs Gradio: pip install 'keras-seg[demo]'")
    answers = Answers(model, pages.NAMES, pages.PALETTE)
    with serving(answers, title="a <i>net</i>") as found:
        yield found


@pytest.mark.parametrize("width", pages.WIDTHS)
def test_a_photo_is_seen_under_its_mask(browser, address, model, photo, width):
    image = Image.open(photo).convert("RGB")
    mask = keras_seg.predict_mask(model, np.asarray(image))
    assert len(np.unique(mask)) > 1
    with pages.opened(browser, address, width) as page:
        assert page.locator("h1").text_content() == "a <i>net</i>"
        page.locator("input[type=file]").first.set_input_files(photo)
        page.locator("segmentation-viewer .stage").wait_for(timeout=60_000)
        assert np.array_equal(pages.ids_shown(page), mask)
        pages.check_legend(page, mask)
        pages.check_hover(page, mask)
        pages.check_slider(page, mask, image)
        pages.check_fits(page)


def test_what_the_model_refuses_is_said_on_the_page(browser, photo):
    pytest.importorskip("gradio", reason="needs Gradio: pip install 'keras-seg[demo]'")
    model = keras_seg.unet(2, widths=(4, 8), input_shape=(32, 32, 3))
    with (
        serving(Answers(model)) as address,
        pages.opened(browser, address, 1280) as page,
    ):
        page.locator("input[type=file]").first.set_input_files(photo)
        page.get_by_text("Expected an image [height, width, channels]").wait_for(
            timeout=60_000
        )
