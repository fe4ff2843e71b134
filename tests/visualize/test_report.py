"""The report: its numbers are those of the scores, its pictures those of the images."""

import base64
import copy
import html
import io
import json
import re
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.data import arrays, shapes
from keras_seg.labels import IGNORE
from keras_seg.visualize import report
from keras_seg.visualize.page.examples import choose, error_map

NAMES = ("background", "disc", "</script><b>x</b>", "a & 'b' \"c\"", "ring", "nowhere")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = keras_seg.unet(6, widths=(4, 8))
    kernel, bias = model.get_layer("score").get_weights()
    bias[5] = -100  # never predicted
    model.get_layer("score").set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def source():
    """Nine images of two sizes; the third class's name is HTML, the last is nowhere."""
    figures = [shapes(5, size=(24, 32)), shapes(4, size=(40, 20), seed=1)]
    images, masks = zip(
        *(part[k] for part in figures for k in range(len(part))), strict=True
    )
    masks = [np.where(mask == 5, IGNORE, mask) for mask in masks]
    return arrays(images, masks, class_names=NAMES)


@pytest.fixture(scope="module")
def scores(model, source):
    return keras_seg.evaluate(model, source)


@pytest.fixture(scope="module")
def page(model, source, scores, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    report(path, model, source, scores, training=source[:5], split="val", images=7)
    return path.read_text()


def text_of(element):
    return html.unescape(re.sub(r"<[^>]+>", " ", element))


def rows(page, table):
    """The words of each row of a table."""
    (body,) = re.findall(rf'id="{table}".*?<tbody>(.*?)</tbody>', page, re.S)
    found = [re.findall(r"<t[hd].*?</t[hd]>", row, re.S) for row in body.split("<tr>")]
    return [[" ".join(text_of(cell).split()) for cell in row] for row in found[1:]]


def charts(page):
    (text,) = re.findall(r'id="charts">(.*?)</script>', page, re.S)
    return json.loads(text)


def figures(page):
    found = re.findall(r"<figure>(.*?)</figure>", page, re.S)
    return {re.search(r"<b>(.*?)</b>", figure)[1]: figure for figure in found}


def pictures(figure):
    """Photo, truth, prediction and errors, as Pillow opens them."""
    data = re.findall(r'src="data:image/\w+;base64,([^"]+)"', figure)
    return [Image.open(io.BytesIO(base64.b64decode(part))) for part in data]


def swatches(element):
    """Colours of the squares in an element, and the words after each."""
    found = re.findall(r"rgb\((\d+),(\d+),(\d+)\)\"></i>(.*?)(?=<i|$)", element, re.S)
    return {" ".join(text_of(text).split()): [*map(int, rgb)] for *rgb, text in found}


def key(page):
    """Colours that the page gives to right, wrong and ignored pixels."""
    colors = swatches(re.search(r'<span class="key">(.*?)</span>', page, re.S)[1])
    return [colors[word] for word in ("right", "wrong", "ignored")]


def shown(value):
    return "absent" if np.isnan(value) else f"{value:.3f}"


def test_the_table_of_classes_has_the_scores(page, scores, source):
    table = rows(page, "classes")
    assert [row[0] for row in table] == [*NAMES]
    masks = [source[k][1] for k in range(len(source))]
    labelled = sum((mask != IGNORE).sum() for mask in masks)
    for k, (name, *words) in enumerate(table):
        kinds = (scores.iou, scores.precision, scores.recall, scores.dice)
        assert words[:4] == [shown(kind[name]) for kind in kinds]
        share, images = words[6:]  # of val; those of training are before
        found = sum((mask == k).sum() for mask in masks) / labelled
        assert float(share.split()[0]) == pytest.approx(100 * found, rel=0.01)
        assert images == str(sum((mask == k).any() for mask in masks))
        assert words[5] == str(sum((mask == k).any() for mask in masks[:5]))


def test_scores_and_intervals_are_at_the_top(page, scores):
    said = " ".join(text_of(page.split("<h3>")[0]).split())
    for score, interval, name in (
        (scores.mean_iou, scores.mean_iou_interval, "mean IoU"),
        (scores.pixel_accuracy, scores.pixel_accuracy_interval, "pixel accuracy"),
    ):
        low, high = interval
        assert f"{score:.3f} {name} {low:.3f} to {high:.3f}" in said
    ignored = scores.ignored_pixels
    share = ignored / (ignored + scores.confusion_matrix.sum())
    assert f"{100 * share:.1f} % of the pixels are ignored" in said


def test_charts_have_the_scores(page, scores):
    data = charts(page)
    assert data["classes"] == [*NAMES]
    expected = [None if np.isnan(x) else x for x in scores.iou.values()]
    assert data["iou"] == expected
    low, high = scores.iou_interval["disc"]
    assert data["interval"][1] == [low, high]
    assert (data["interval"][5], data["iou"][5]) == (None, None)
    matrix = np.zeros((6, 6), int)
    for row, column, pixels in data["cells"]:
        matrix[row, column] = pixels
    np.testing.assert_array_equal(matrix, scores.confusion_matrix)
    assert data["rowPixels"] == scores.confusion_matrix.sum(1).tolist()


def test_names_are_escaped_everywhere(page):
    assert "<b>x" not in page
    assert page.count("</script>") == 4  # the ends of the page's own
    assert "&lt;/script&gt;&lt;b&gt;x&lt;/b&gt;" in page
    assert charts(page)["classes"][2] == NAMES[2]


def test_the_images_are_those_of_the_largest_loss_and_some_between(page, scores):
    order = [image.name for image in scores.worst_images()]
    found = [*figures(page)]
    assert found[:5] == order[:5]
    assert len(found) == 7
    assert {*found[5:]} < {*order[5:]}
    for name, figure in figures(page).items():
        (score,) = (x for x in scores.worst_images() if x.name == name)
        said = f"mean IoU {score.mean_iou:.3f}, loss {score.loss:.3f}"
        assert said in " ".join(text_of(figure).split())


def test_the_pictures_are_truth_prediction_and_where_they_differ(page, model, source):
    for name, figure in figures(page).items():
        image, truth = source[[*source.names].index(name)]
        prediction = keras_seg.predict_mask(model, image)
        errors = np.where(truth == IGNORE, 2, np.where(truth == prediction, 0, 1))
        photo, *masks = pictures(figure)
        times = photo.width // truth.shape[1]
        assert photo.size == (truth.shape[1] * times, truth.shape[0] * times)
        enlarged = image.repeat(times, 0).repeat(times, 1).astype(int)
        assert np.abs(np.asarray(photo) - enlarged).mean() < 12  # a JPEG's
        for expected, mask in zip((truth, prediction, errors), masks, strict=True):
            found = np.asarray(mask)[::times, ::times]
            np.testing.assert_array_equal(found, expected)
        labelled = truth != IGNORE
        for ids, mask in ((truth, masks[0]), (prediction, masks[1])):
            colors = np.asarray(mask.convert("RGBA"))[::times, ::times, :3]
            expected = source.palette[ids[labelled]]
            np.testing.assert_array_equal(colors[labelled], expected)
        colors = np.asarray(masks[2].convert("RGBA"))[::times, ::times, :3]
        np.testing.assert_array_equal(colors, np.array(key(page))[errors])
        opacity = np.asarray(masks[1].convert("RGBA"))[::times, ::times, 3]
        np.testing.assert_array_equal(opacity > 0, prediction > 0)


def test_classes_have_their_color_and_their_iou_in_an_image_beside_their_name(
    page, model, source
):
    for name, figure in figures(page).items():
        image, truth = source[[*source.names].index(name)]
        labelled = truth != IGNORE
        prediction = keras_seg.predict_mask(model, image)
        expected = {}
        for k in range(len(NAMES)):
            a, b = truth[labelled] == k, prediction[labelled] == k
            if (a | b).any():
                iou = (a & b).sum() / (a | b).sum()
                expected[f"{NAMES[k]} {iou:.2f}"] = source.palette[k].tolist()
        legend = re.search(r'class="legend">(.*?)</p>', figure, re.S)[1]
        assert swatches(legend) == expected
    (body,) = re.findall(r'id="classes".*?<tbody>(.*?)</tbody>', page, re.S)
    heads = re.findall(r'<th scope="row">(.*?)</th>', body, re.S)
    colors = {name: color for head in heads for name, color in swatches(head).items()}
    assert colors == dict(zip(NAMES, source.palette.tolist(), strict=True))


def test_the_most_frequent_confusions_are_true_class_prediction_and_share(page, scores):
    matrix = scores.confusion_matrix
    expected = [
        (matrix[i, j] / matrix[i].sum(), NAMES[i], NAMES[j], f"{matrix[i, j]:,}")
        for i, j in np.argwhere(matrix)
        if i != j and matrix[i, j] >= 0.01 * matrix[i].sum()
    ]
    expected = sorted(expected, key=lambda row: -row[0])[:8]
    (body,) = re.findall(r"predicted as</th>.*?<tbody>(.*?)</tbody>", page, re.S)
    found = [re.findall(r"<t[hd].*?</t[hd]>", row) for row in body.split("<tr>")[1:]]
    assert len(expected) > 2
    for row, (share, *words) in zip(found, expected, strict=True):
        truth, prediction, percent, pixels = (text_of(cell).strip() for cell in row)
        assert [truth, prediction, pixels] == words
        assert float(percent.split()[0]) == pytest.approx(100 * share, rel=0.01)


def test_nothing_is_fetched(page):
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', own)
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_large_images_are_reduced_and_that_is_said(model, tmp_path):
    image, mask = shapes(1, size=(70, 1100))[0]
    source = arrays([image], [mask], class_names=NAMES)
    report(tmp_path / "page.html", model, source)
    page = (tmp_path / "page.html").read_text()
    assert "1100 × 70 pixels, shown at 1/3 of the size" in page  # noqa: RUF001 # as the page has it
    (figure,) = figures(page).values()
    photo, truth, *_ = pictures(figure)
    assert photo.size == truth.size == (367, 24)
    np.testing.assert_array_equal(np.asarray(truth), mask[::3, ::3])


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels_are_shown(channels, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 16, 12, channels)).astype(np.uint8)
    masks = np.stack([np.zeros((16, 12), int), np.full((16, 12), IGNORE)])
    source = arrays([*pixels], [*masks], class_names=["ground", "cat"])
    model = keras_seg.unet(2, widths=(4, 8), input_shape=(None, None, channels))
    report(tmp_path / "page.html", model, source)
    found = figures((tmp_path / "page.html").read_text())
    assert [*found] == ["example 0", "example 1"]
    assert "mean IoU absent, loss absent" in found["example 1"]
    visible = pixels[0, ..., :3] if channels == 4 else pixels[0].repeat(3, -1)
    (photo, *_) = pictures(found["example 0"])
    difference = np.asarray(photo)[::8, ::8].astype(int) - visible
    assert np.abs(difference).mean() < 40  # noise, and a JPEG's colours


def test_images_of_16_bits_are_stretched_and_that_is_said(tmp_path):
    image = np.linspace(1000, 1100, 480).reshape(20, 24, 1).astype(np.uint16)
    source = arrays(
        [image],
        [np.ones((20, 24), int)],
        class_names=["ground", "cat"],
        value_range=(0, 4095),
    )
    options = {"input_shape": (None, None, 1), "value_range": (0, 4095)}
    model = keras_seg.unet(2, widths=(2, 2), **options)
    report(tmp_path / "page.html", model, source)
    page = (tmp_path / "page.html").read_text()
    assert "24 × 20 pixels, brightness stretched" in page  # noqa: RUF001 # as the page has it
    (figure,) = figures(page).values()
    photo = np.asarray(pictures(figure)[0].convert("L")).astype(int)
    assert photo[0].max() < 20
    assert photo[-1].min() > 235


def test_a_model_without_padding_and_one_image(tmp_path):
    image, mask = np.zeros((9, 30, 3), "uint8"), np.zeros((9, 30), int)
    source = arrays([image], [mask], class_names=["a", "b"])
    model = keras_seg.unet(2, widths=(4, 8), padding="valid")
    report(tmp_path / "page.html", model, source)
    page = (tmp_path / "page.html").read_text()
    assert [*figures(page)] == ["example 0"]
    assert "scored on 1 image of" in " ".join(text_of(page).split())
    assert 'class="interval"' not in page


def test_151_classes_of_which_one_occurs(tmp_path):
    masks = [np.full((8, 9), 7)] * 2
    names = [f"class {k}" for k in range(151)]
    source = arrays([np.zeros((8, 9, 3), "uint8")] * 2, masks, class_names=names)
    model = keras_seg.unet(151, widths=(4, 8))
    report(tmp_path / "page.html", model, source)
    page = (tmp_path / "page.html").read_text()
    assert len(rows(page, "classes")) == 151
    assert len(charts(page)["cells"]) <= 72
    assert len(page) < 500_000


def test_curves_and_settings_are_shown(model, source, scores, tmp_path):
    history = tmp_path / "history.csv"
    history.write_text(
        "epoch,loss,mean_iou,learning_rate,val_mean_iou\n1,2,0.1,0.01,\n2,1.5,0.2,0.005,0.25\n"
    )
    run = {"model": "unet", "epochs": 4, "epochs_done": 2, "state": "interrupted"}
    run |= {"widths": [4, 8], "ema": None, "cache": True, "root": "<i>data</i>"}
    run |= {"versions": {"keras": "3.15.1"}, "best": {"epoch": 1}}
    report(
        tmp_path / "page.html",
        model,
        source,
        scores,
        history=history,
        run=run,
        command="keras-seg train --names '<a>'",
        title="my <run>",
    )
    page = (tmp_path / "page.html").read_text()
    assert [curve["name"] for curve in charts(page)["curves"]] == [
        "loss",
        "mean IoU",
        "learning rate",
    ]
    lines = charts(page)["curves"][1]["lines"]
    assert lines == {"training": [0.1, 0.2], "validation": [None, 0.25]}
    said = " ".join(text_of(page).split())
    assert "interrupted after 2 of 4 epochs" in said
    assert "1 is the best epoch, of 2 that were trained" in said
    for name, value in (("widths", "4, 8"), ("cache", "yes"), ("keras", "3.15.1")):
        assert f" {name} {value} " in said
    assert "Not set: ema" in said
    assert "keras-seg train --names '<a>'" in said
    assert "--names &#39;&lt;a&gt;&#39;" in page
    assert "<i>data" not in page
    assert "<h1>my &lt;run&gt;</h1>" in page


def test_typical_images_are_from_the_middle_half_of_the_losses():
    images = [{"name": str(k), "loss": 100.0 - k} for k in range(100)]
    images += [{"name": "unlabelled", "loss": None}]
    worst, typical = choose(images, 28).values()
    assert [row["name"] for row in worst] == [str(k) for k in range(20)]
    assert len(typical) == 8
    losses = [row["loss"] for row in typical]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == 60.0  # of the 80 others a quarter has a larger loss
    assert losses[-1] == 21.0
    (everything,) = choose(images, 101).values()
    assert everything == images
    assert [len(rows) for rows in choose(images, 1).values()] == [1]


def test_errors_are_right_wrong_and_ignored():
    truth, prediction = np.array([[0, 1, 255]]), np.array([[0, 2, 0]])
    assert error_map(truth, prediction).tolist() == [[0, 1, 2]]


def test_scores_of_other_examples_or_another_model_are_noticed(
    model, source, scores, tmp_path
):
    path = tmp_path / "page.html"
    other = copy.copy(source)
    other.names = [f"image {k}" for k in range(9)]
    with pytest.raises(ValueError, match=r"a score of 'example \d', which none"):
        report(path, model, other, scores)
    names = ("a", "b")
    two = keras_seg.Scores(names, np.eye(2, dtype=int))
    with pytest.raises(ValueError, match=r"Expected scores of the classes.*Rec.*a, b"):
        report(path, model, source, two)
    trained_on = keras_seg.unet(6, widths=(4, 8))
    kernel, bias = trained_on.get_layer("score").get_weights()
    trained_on.get_layer("score").set_weights([kernel, bias + 9 * np.eye(6)[1]])
    with pytest.warns(
        UserWarning, match=r"The scores aren't those of this model\. Mean"
    ):
        report(path, trained_on, source, scores)
    with pytest.raises(ValueError, match=r"ends in \.html.*page\.png"):
        report(tmp_path / "page.png", model, source, scores)


def test_without_jinja_an_error_says_what_to_install(
    model, source, scores, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match="pip install jinja2"):
        report(tmp_path / "page.html", model, source, scores)
    assert not list(tmp_path.iterdir())
