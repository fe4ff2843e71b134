"""The report in a browser: it draws, reacts, fits and fetches nothing."""

import shutil

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.data import arrays, shapes
from keras_seg.visualize import report

pytestmark = pytest.mark.slow

INJECTED = "</script><img src=x onerror=alert(1)>"
NAMES = (
    "background",
    "disc",
    INJECTED,
    "a rather long name of a class",
    "ring",
    "cross",
)
NAMES += tuple(f"class {k}" for k in range(6, 21))
HISTORY = """epoch,loss,mean_iou,learning_rate,val_loss,val_mean_iou
1,2.5,0.1,0.01,,
2,1.5,0.2,0.005,1.4,0.25
3,1.2,0.3,0.001,1.3,0.31
"""
SCREENS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def scored():
    """A model of 21 classes that predicts six of them, and its scores of 40 images."""
    keras.utils.set_random_seed(0)
    model = keras_seg.unet(21, widths=(8, 16))
    kernel, bias = model.get_layer("score").get_weights()
    bias[6:] = -100
    model.get_layer("score").set_weights([kernel, bias])
    figures = shapes(40, size=(48, 64))
    examples = [figures[k] for k in range(40)]
    source = arrays(*map(list, zip(*examples, strict=True)), class_names=NAMES)
    return model, source, keras_seg.evaluate(model, source)


@pytest.fixture(scope="module")
def path(scored, tmp_path_factory):
    model, source, scores = scored
    folder = tmp_path_factory.mktemp("browser")
    (folder / "history.csv").write_text(HISTORY)
    run = {"model": "unet", "root": f"/data/{'long_name/' * 20}", "best": {"epoch": 3}}
    run |= {"epochs": 3, "epochs_done": 3, "state": "finished", "parameters": 1234}
    report(
        folder / "report.html",
        model,
        source,
        scores,
        training=source[:20],
        history=folder / "history.csv",
        run=run,
        command=f"keras-seg train --data voc --root {'/long_name' * 20}",
    )
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="drives the browser")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("there is no chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        # As root, and in containers, there is no sandbox.
        args = ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=executable, args=args)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=SCREENS, ids=lambda x: f"{x[0]}-{x[1]}")
def page(request, browser, path):
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        has_touch=width < 500,
    )
    page = context.new_page()
    page.said, page.fetched = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("dialog", lambda dialog: (page.said.append("alert"), dialog.dismiss()))
    page.on("request", lambda request: page.fetched.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()


def test_there_are_no_script_errors_and_nothing_is_fetched(page, path):
    page.wait_for_timeout(200)
    assert page.said == []
    others = [url for url in page.fetched if not url.startswith("data:")]
    assert others == [path.as_uri()]
    assert page.locator("img[src=x]").count() == 0
    assert INJECTED in page.locator("#classes").inner_text()


def test_it_fits_the_screen(page):
    script = (
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert page.evaluate(script) == 0
    for canvas in page.locator("canvas").all():
        box = canvas.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
        assert box["height"] >= 150


def test_both_names_of_a_confusion_are_seen_without_scrolling(page):
    names = page.locator("#confusions tbody tr > :nth-child(-n + 2)")
    assert INJECTED in names.all_text_contents()
    for name in names.all():
        box = name.bounding_box()
        assert box["x"] + box["width"] <= page.viewport_size["width"]


def test_it_has_the_colors_of_the_scheme(page):
    sum_of = "s => getComputedStyle(document.body)[s].match(/\\d+/g).slice(0, 3)"
    back, text = (
        sum(map(int, page.evaluate(sum_of, style)))
        for style in ("backgroundColor", "color")
    )
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (back < text) == is_dark
    assert abs(back - text) > 450


COLORS = """canvas => {
  const { width, height } = canvas, count = {};
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const colors = new Uint32Array(data.buffer);
  for (const color of colors) count[color] = (count[color] ?? 0) + 1;
  return count;
}"""


def test_every_chart_has_drawn(page):
    accent = page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--accent')"
    )
    red, green, blue = bytes.fromhex(accent.strip().lstrip("#"))
    opaque = str(red | green << 8 | blue << 16 | 255 << 24)
    canvases = page.locator("canvas").all()
    assert len(canvases) == 2 + 3
    for canvas in canvases:
        counts = canvas.evaluate(COLORS)
        assert len(counts) > 10
        is_matrix = canvas.get_attribute("id") == "matrix"
        assert is_matrix or counts.get(opaque, 0) > 50
    # Cells are of as many colours as there are different shares, about.
    large = [x for x in page.locator("#matrix").evaluate(COLORS).values() if x > 80]
    assert len(large) > 8


def test_bars_are_as_long_as_the_scores(page, scored):
    _, _, scores = scored
    found = page.evaluate(
        """() => {
      const chart = Chart.getChart("bars");
      const length = (bar) => chart.scales.x.getValueForPixel(bar.x);
      const drawn = chart.getDatasetMeta(1).data;
      return drawn.map((bar, k) => [chart.data.labels[k], length(bar)]);
    }"""
    )
    present = {k: v for k, v in scores.iou.items() if not np.isnan(v)}
    assert [name for name, _ in found] == sorted(present, key=lambda k: -present[k])
    for name, length in found:
        assert length == pytest.approx(present[name], abs=0.01)
    absent = ", ".join(name for name in NAMES if name not in present)
    assert page.locator("#absent").inner_text().endswith(absent)


def test_the_matrix_has_the_classes_that_occur_its_diagonal_down_from_the_top_left(
    page, scored
):
    _, _, scores = scored
    present = [k for k, v in enumerate(scores.iou.values()) if not np.isnan(v)]
    assert 2 < len(present) < len(NAMES)
    for axis in "xy":
        labels = page.evaluate(f"Chart.getChart('matrix').scales.{axis}.getLabels()")
        assert labels == [NAMES[k] for k in present]
    places = page.evaluate(
        """() => {
      const chart = Chart.getChart("matrix"), drawn = chart.getDatasetMeta(0).data;
      const cells = chart.data.datasets[0].data.map(({ cell }) => cell);
      return cells.map((cell, k) => [cell, drawn[k].getCenterPoint()]);
    }"""
    )
    left, top, width, height = page.evaluate(
        "(x => [x.left, x.top, x.width, x.height])(Chart.getChart('matrix').chartArea)"
    )
    wide, high = width / len(present), height / len(present)
    assert len(places) > 20
    for (row, column, _), at in places:
        row, column = present.index(row), present.index(column)
        assert at["x"] == pytest.approx(left + (column + 0.5) * wide, abs=wide / 2)
        assert at["y"] == pytest.approx(top + (row + 0.5) * high, abs=high / 2)


def test_a_cell_of_the_matrix_tells_its_numbers(page, scored):
    _, _, scores = scored
    row, column = 1, int(scores.confusion_matrix[1].argmax())
    pixels = int(scores.confusion_matrix[row, column])
    page.locator("#matrix").scroll_into_view_if_needed()
    place = page.evaluate(
        """([row, column]) => {
      const chart = Chart.getChart("matrix"), [{ data }] = chart.data.datasets;
      const { left, top } = chart.canvas.getBoundingClientRect();
      const is = ({ cell }) => cell[0] === row && cell[1] === column;
      const k = data.findIndex(is);
      const { x, y } = chart.getDatasetMeta(0).data[k].getCenterPoint();
      return [left + x, top + y];
    }""",
        [row, column],
    )
    if page.viewport_size["width"] < 500:
        page.touchscreen.tap(*place)
    else:
        page.mouse.move(*place)
    page.wait_for_timeout(100)
    (said,) = page.evaluate("Chart.getChart('matrix').tooltip.body.map(x => x.lines)")
    share = 100 * pixels / scores.confusion_matrix[row].sum()
    assert said[0] == NAMES[row]
    assert float(said[1].split()[0]) == pytest.approx(share, rel=0.01)
    assert said[2] == f"{pixels:,} pixels"


def test_the_truth_of_an_image_is_shown_alone_on_request(page):
    figure = page.locator("figure").first
    before = figure.screenshot()
    panels = figure.locator(".panel")
    assert [panel.is_visible() for panel in panels.all()] == [True] * 4
    single = panels.first.bounding_box()["width"]
    page.locator("input[value=truth]").check(force=True)
    visible = [x for x in panels.all() if x.is_visible()]
    assert [x.get_attribute("data-panel") for x in visible] == ["truth"]
    assert visible[0].bounding_box()["width"] > 1.2 * single
    assert figure.screenshot() != before
    page.locator("input[value=all]").check(force=True)
    assert all(panel.is_visible() for panel in panels.all())


def test_the_slider_changes_how_masks_cover_the_photos(page):
    panel = page.locator("[data-panel=errors]").first
    photo = page.locator("[data-panel=image]").first
    shots = {}
    for opacity in (0, 60, 100):
        page.locator("#opacity").fill(str(opacity))
        assert float(
            panel.locator(".mask").evaluate("x => getComputedStyle(x).opacity")
        ) == pytest.approx(opacity / 100)
        shots[opacity] = panel.screenshot()
    assert len(set(shots.values())) == 3
    assert panel.locator(".photo").evaluate("x => x.naturalWidth") == photo.locator(
        ".photo"
    ).evaluate("x => x.naturalWidth")


def test_headings_sort_the_table(page, scored):
    _, _, scores = scored
    iou = {k: v if not np.isnan(v) else -1 for k, v in scores.iou.items()}
    first = page.locator("#classes tbody tr").first.locator("th")
    button = page.locator("#classes thead button", has_text="IoU")
    button.click()
    assert first.inner_text().strip() == max(iou, key=lambda k: iou[k])
    button.click()
    cells = page.locator("#classes tbody tr td:nth-child(2)").all_inner_texts()
    values = [-1 if cell == "absent" else float(cell) for cell in cells]
    assert values == sorted(values)
    page.locator("#classes thead button", has_text="class").click()
    assert first.inner_text().strip() == min(NAMES, key=str.lower)
