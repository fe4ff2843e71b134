"""What is asked of both pages, as a person would: what is seen, and what is done."""

import base64
import contextlib
import io

import numpy as np
from PIL import Image

NAMES = ["ground", "<b>cat</b><img src='x' onerror='alert(1)'>", "dog & ${fox}"]
PALETTE = np.array([(0, 0, 0), (200, 10, 30), (7, 250, 90)], np.uint8)
WIDTHS = (1280, 390)


@contextlib.contextmanager
def opened(browser, address, width):
    """A page; at the end, that it made no error and asked no other host."""
    errors, elsewhere = [], []
    context = browser.new_context(
        viewport={"width": width, "height": 800}, has_touch=width < 800
    )
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: m.type == "error" and errors.append(m.text))
    host = address.partition("?")[0]
    own = (host, f"blob:{host}", "data:")
    page.on("request", lambda r: r.url.startswith(own) or elsewhere.append(r.url))
    page.goto(address)
    yield page
    context.close()
    assert errors == []
    assert elsewhere == []


def ids_shown(page):
    """The ids that the colours over the photo stand for."""
    url = page.locator("segmentation-viewer").evaluate(
        "viewer => viewer.shadowRoot.querySelector('canvas.colors').toDataURL()"
    )
    content = base64.b64decode(url.partition(";base64,")[2])
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))
    ids = np.full(pixels.shape[:2], -1)
    for number, color in enumerate(PALETTE):
        ids[(pixels[..., :3] == color).all(-1) & (pixels[..., 3] == 255)] = number
    ids[pixels[..., 3] == 0] = 0  # class 0 shows the photo
    return ids


def check_slider(page, mask, photo):
    """At 0 the photo is seen, at 100 % the colours of the classes but class 0's."""
    seen = {}
    for opacity in (0, 100):
        page.locator("segmentation-viewer input").fill(str(opacity))
        content = page.locator("segmentation-viewer .stage").screenshot()
        seen[opacity] = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    small = [
        np.asarray(picture.resize((30, 30), Image.Resampling.BOX)).astype(int)[
            2:-2, 2:-2
        ]
        for picture in (photo, Image.fromarray(seen[0]))
    ]
    assert np.abs(small[0] - small[1]).mean() < 4
    inside = np.s_[20:-20, 20:-20]  # the corners are round
    for number, color in enumerate(PALETTE):
        share = (np.abs(seen[100][inside].astype(int) - color) <= 2).all(-1).mean()
        if number:
            expected = (mask == number).mean()
            assert abs(share - expected) < 0.15 * expected + 0.02


def check_hover(page, mask):
    """The class under the pointer is named, as it is written."""
    box = page.locator("segmentation-viewer .stage").bounding_box()
    for number in np.unique(mask):
        y, x = np.argwhere(mask == number)[(mask == number).sum() // 2]
        page.mouse.move(
            box["x"] + (x + 0.5) / mask.shape[1] * box["width"],
            box["y"] + (y + 0.5) / mask.shape[0] * box["height"],
        )
        hint = page.locator("segmentation-viewer .hint")
        assert hint.is_visible()
        assert hint.text_content() == NAMES[number]
    page.mouse.move(1, 1)
    assert hint.is_hidden()
    if page.evaluate("navigator.maxTouchPoints"):
        y, x = _middle_of_alike(mask)
        stage = page.locator("segmentation-viewer .stage")
        stage.tap(
            position={
                "x": (x + 0.5) / mask.shape[1] * box["width"],
                "y": (y + 0.5) / mask.shape[0] * box["height"],
            }
        )
        assert hint.is_visible()
        assert hint.text_content() == NAMES[mask[y, x]]
        stage.hover()
        page.mouse.move(1, 1)
        assert hint.is_hidden()


def _middle_of_alike(mask):
    """A pixel among others of its class: a touch is a little beside its place."""
    for side in (9, 7, 5, 3):
        windows = np.lib.stride_tricks.sliding_window_view(mask, (side, side))
        found = np.argwhere(windows.min((2, 3)) == windows.max((2, 3)))
        if len(found):
            return found[0] + side // 2
    raise AssertionError("expected a mask with areas")


def check_legend(page, mask):
    """The classes that occur are listed by their share, and pointed at, shown alone."""
    counts = np.bincount(mask.ravel(), minlength=len(NAMES))
    order = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]]
    entries = page.locator("segmentation-viewer button")
    texts = [
        (entry.locator("span").text_content(), entry.locator("b").text_content())
        for entry in entries.all()
    ]
    shares = [100 * counts[k] / mask.size for k in order]
    expected = [f"{s:.1f} %" if s >= 0.1 else "< 0.1 %" for s in shares]
    assert texts == list(zip([NAMES[k] for k in order], expected, strict=True))
    entries.nth(len(order) - 1).hover()
    assert set(np.unique(ids_shown(page))) <= {0, order[-1]}
    page.mouse.move(1, 1)
    assert np.array_equal(ids_shown(page), mask)


def check_fits(page):
    """Nothing is wider than the window."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
