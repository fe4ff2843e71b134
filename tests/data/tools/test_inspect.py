import json
import re

import numpy as np
import pytest
from PIL import Image

from keras_seg import data
from keras_seg.palette import color_map

NAMES = ["ground", "cat", "dog"]
SIZE = (30, 40)


@pytest.fixture
def healthy(tmp_path):
    """Twelve pairs in two folders, whose masks have all classes and borders."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for k in range(12):
        pixels = rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/p{k:02}.jpg")
        mask = np.kron(rng.choice([0, 1, 2, 255], (3, 4)), np.ones((10, 10)))
        mask[:2] = np.arange(40) % 3
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / f"masks/p{k:02}.png")
    return tmp_path


def look(root, **arguments):
    arguments = {"class_names": NAMES} | arguments
    source = data.folder(root / "images", root / "masks", **arguments)
    return data.inspect(source, verbose=False)


def test_a_healthy_set_has_no_problems_and_exact_numbers(healthy):
    report = look(healthy)
    assert report.problems == []
    assert not report.serious
    assert "Nothing is wrong." in str(report)
    found = report.splits["all"]
    masks = [np.asarray(Image.open(p)) for p in sorted((healthy / "masks").iterdir())]
    assert found.pixels.tolist() == [
        sum((m == c).sum() for m in masks) for c in (0, 1, 2)
    ]
    assert found.images.tolist() == [12, 12, 12]
    assert found.ignored == sum((m == 255).sum() for m in masks)
    assert found.sizes == {SIZE: 12}
    assert found.examples == found.looked_at == 12


def test_the_report_is_json(healthy):
    content = json.loads(json.dumps(look(healthy).as_dict()))
    assert content["splits"]["all"]["sizes"] == [
        {"height": 30, "width": 40, "images": 12}
    ]
    assert content["splits"]["all"]["classes"]["dog"]["images"] == 12


def truncate(path):
    path.write_bytes(path.read_bytes()[:200])


def luminance(root):
    """The masks as VOC's palette makes them, saved as grey."""
    mask = Image.open(root / "masks/p03.png")
    mask.putpalette(color_map(256).tobytes())
    mask.convert("RGB").convert("L").save(root / "masks/p03.png")


def smooth(root):
    mask = Image.open(root / "masks/p03.png").point(lambda v: v % 3 * 120)
    mask = mask.resize((17, 13), Image.BILINEAR).resize((40, 30), Image.BILINEAR)
    mask.save(root / "masks/p03.png")


def turn(root):
    image = Image.open(root / "images/p03.jpg")
    exif = Image.Exif()
    exif[274] = 6
    image.save(root / "images/p03.jpg", exif=exif)
    Image.open(root / "masks/p03.png").rotate(-90, expand=True).save(
        root / "masks/p03.png"
    )


def binary(root):
    for path in (root / "masks").iterdir():
        Image.open(path).point(lambda v: 255 * (v == 1)).save(path)


def empty(root):
    for path in (root / "masks").iterdir():
        Image.new("L", (40, 30)).save(path)


def save(path, picture):
    return lambda root: picture(root).save(root / path)


SICK = {
    "cut image": (lambda r: truncate(r / "images/p03.jpg"), "p03", "p03.jpg"),
    "empty mask": (
        lambda r: (r / "masks/p03.png").write_bytes(b""),
        "p03",
        "p03.png.*an empty file",
    ),
    "palette as grey": (luminance, "p03", "saved as grey"),
    "smooth mask": (smooth, "p03", "smoothly"),
    "colours": (
        save("masks/p03.png", lambda r: Image.new("RGB", (40, 30), "red")),
        "p03",
        "RGB",
    ),
    "one class more": (
        save("masks/p03.png", lambda r: Image.new("L", (40, 30), 3)),
        "p03",
        "Received: 3.*start at 1",
    ),
    "another size": (
        save("masks/p03.png", lambda r: Image.new("L", (41, 30))),
        "p03",
        "image 30 x 40, mask 30 x 41",
    ),
    "EXIF": (turn, "p03", "EXIF.*This photo does"),
    "all background": (empty, "", "Every pixel is ground.*written empty"),
    "0 and 255": (binary, "", r"0 and 255 only.*ids=\[0, 255\]"),
}


@pytest.mark.parametrize("sickness", SICK)
def test_what_would_spoil_training_is_found_and_explained(healthy, sickness):
    damage, example, message = SICK[sickness]
    damage(healthy)
    report = look(healthy)
    serious = [problem for problem in report.problems if problem.serious]
    assert [problem.example for problem in serious] == [example]
    assert re.search(message, serious[0].message, re.DOTALL), serious[0].message
    assert report.serious
    assert "WRONG" in str(report)
    # It went on after the bad one.
    assert sum(report.splits["all"].sizes.values()) >= 11


HARMLESS = {
    "CMYK": (
        lambda r: Image.open(r / "images/p03.jpg").convert("CMYK"),
        "images/p03.jpg",
        "CMYK",
    ),
    "no label": (lambda r: Image.new("L", (40, 30), 255), "masks/p03.png", "No pixel"),
    "twice": (lambda r: Image.open(r / "images/p04.jpg"), "images/p03.png", "p04 too"),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_only_deserves_a_look_is_a_note(healthy, case):
    make, path, message = HARMLESS[case]
    picture = make(healthy)
    picture.load()
    if case == "twice":
        (healthy / "images/p03.jpg").unlink()
    picture.save(healthy / path)
    report = look(healthy)
    assert not report.serious
    assert [problem.serious for problem in report.problems] == [False]
    assert message in report.problems[0].message
    assert "note" in str(report)


def test_images_of_16_bits_are_noted(healthy):
    for path in (healthy / "images").iterdir():
        pixels = np.asarray(Image.open(path))[..., 0].astype(np.uint16) * 257
        Image.fromarray(pixels).save(path.with_suffix(".png"))
        path.unlink()
    report = look(healthy)
    assert not report.serious
    assert len(report.problems) == 12
    assert "16 bits" in report.problems[0].message
    assert str(report).count("note") == 1  # those that are alike are one line


def test_an_image_in_two_splits_is_found(healthy):
    source = data.folder(healthy / "images", healthy / "masks", class_names=NAMES)
    splits = {"train": source[:7], "val": source[6:]}
    for examples in (None, 2):
        report = data.inspect(splits, examples=examples, verbose=False)
        assert report.serious
        assert any("p06" in problem.example for problem in report.problems)


def test_classes_without_a_pixel_are_noted(healthy):
    report = look(healthy, class_names=[*NAMES, "cow"])
    assert [problem.message for problem in report.problems] == [
        "Classes without a pixel: cow."
    ]
    assert not report.serious


def test_every_class_is_on_the_contact_sheet(healthy):
    found = look(healthy).splits["all"]
    assert 1 <= len(found.sample) <= 6
    source = data.folder(healthy / "images", healthy / "masks", class_names=NAMES)
    shown = {c for i in found.sample for c in np.unique(source[i][1])}
    assert shown >= {0, 1, 2}


def test_splits_of_other_classes_are_refused(healthy):
    one, other = (
        data.folder(healthy / "images", healthy / "masks", class_names=names)
        for names in (NAMES, ["a", "b", "c"])
    )
    with pytest.raises(ValueError, match="same classes"):
        data.inspect({"train": one, "val": other}, verbose=False)


def test_many_bad_files_are_one_line_of_the_page(healthy):
    for path in (healthy / "masks").iterdir():
        path.write_bytes(b"")
    report = look(healthy)
    assert len(report.problems) == 12
    assert len(str(report).splitlines()) < 20
    assert "12 examples, first p00" in str(report)


@pytest.mark.real_data
@pytest.mark.parametrize("split", ["train", "val", "train_aug"])
def test_voc_is_healthy(real_voc, split):
    report = data.inspect(data.voc(real_voc, split), verbose=False)
    assert not report.serious, report


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_photo_that_exif_turns_without_a_change_of_size_is_noted(
    healthy, orientation
):
    exif = Image.Exif()
    exif[274] = orientation
    with Image.open(healthy / "images/p03.jpg") as image:
        image.load()
    image.save(healthy / "images/p03.jpg", exif=exif)
    (problem,) = look(healthy).problems
    assert (problem.example, problem.serious) == ("p03", False)
    assert "EXIF" in problem.message


def test_an_exif_block_that_pillow_cannot_read_stops_nothing(healthy):
    with Image.open(healthy / "images/p03.jpg") as image:
        image.load()
    image.save(healthy / "images/p03.jpg", exif=b"Exif\0\0damaged", dpi=(72, 72))
    report = look(healthy)
    assert report.splits["all"].examples == 12
    assert not report.serious


def test_blank_tiles_are_no_twins(healthy):
    for k in (3, 4, 9):
        Image.new("RGB", (40, 30)).save(healthy / f"images/p{k:02}.jpg")
    source = data.folder(healthy / "images", healthy / "masks", class_names=NAMES)
    splits = {"train": source[:7], "val": source[7:]}
    assert data.inspect(splits, verbose=False).problems == []


def test_a_few_examples_accuse_no_whole_set(healthy):
    paths = sorted((healthy / "masks").iterdir())
    for path in (paths[0], paths[-1]):  # those that are looked at
        Image.new("L", (40, 30)).save(path)
    source = data.folder(healthy / "images", healthy / "masks", class_names=NAMES)
    few = data.inspect(source, examples=2, verbose=False)
    assert not few.serious
    assert "In the 2 examples looked at: Every pixel is ground" in str(few)
    assert data.inspect(source, verbose=False).problems == []


def test_examples_that_cannot_be_shown_are_on_no_contact_sheet(healthy):
    for path in (healthy / "masks").iterdir():
        Image.open(path).resize((41, 30), Image.NEAREST).save(path)
    report = look(healthy)
    assert len(report.problems) == 12
    assert report.splits["all"].sample == []
