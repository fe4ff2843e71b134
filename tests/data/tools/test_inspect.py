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


def pairs(root, **arguments):
    arguments = {"class_names": NAMES} | arguments
    return data.folder(root / "images", root / "masks", **arguments)


def look(root, **arguments):
    return data.inspect(pairs(root, **arguments), verbose=False)


def test_a_healthy_set_has_no_problems_and_exact_numbers(healthy):
    report = look(healthy)
    assert report.problems == []
    assert not report.serious
    assert "No problems found." in str(report)
    found = report.splits["all"]
    masks = [np.asarray(Image.open(p)) for p in sorted((healthy / "masks").iterdir())]
    assert found.pixels.tolist() == [
        sum((m == c).sum() for m in masks) for c in (0, 1, 2)
    ]
    assert found.images.tolist() == [12, 12, 12]
    assert found.ignored == sum((m == 255).sum() for m in masks)
    assert found.sizes == {SIZE: 12}
    assert found.examples == found.looked_at == 12
    # The same in JSON.
    content = json.loads(json.dumps(report.as_dict()))["splits"]["all"]
    assert content["sizes"] == [{"height": 30, "width": 40, "images": 12}]
    assert content["classes"]["dog"]["images"] == 12
    # Every class is on the contact sheet.
    assert 1 <= len(found.sample) <= 6
    source = pairs(healthy)
    shown = {c for i in found.sample for c in np.unique(source[i][1])}
    assert shown >= {0, 1, 2}


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


def orient(path, orientation):
    """Say in a photo's EXIF block how viewers turn it."""
    exif = Image.Exif()
    exif[274] = orientation
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)


def turn(root):
    orient(root / "images/p06.jpg", 6)
    mask = Image.open(root / "masks/p06.png").rotate(-90, expand=True)
    mask.save(root / "masks/p06.png")


def binary(root):
    for path in (root / "masks").iterdir():
        Image.open(path).point(lambda v: 255 * (v == 1)).save(path)


def empty(root):
    for path in (root / "masks").iterdir():
        Image.new("L", (40, 30)).save(path)


def save(path, picture):
    return lambda root: picture(root).save(root / path)


# Each spoils one example, and nothing of the others.
UNREADABLE = {
    "p02": (lambda r: truncate(r / "images/p02.jpg"), "p02.jpg"),
    "p03": (lambda r: (r / "masks/p03.png").write_bytes(b""), "p03.png.*an empty file"),
    "p04": (save("masks/p04.png", lambda r: Image.new("RGB", (40, 30), "red")), "RGB"),
    "p05": (
        save("masks/p05.png", lambda r: Image.new("L", (41, 30))),
        "image 30 x 40, mask 30 x 41",
    ),
    "p06": (turn, "EXIF.*This photo has such"),
}


def test_what_can_not_be_read_is_found_and_explained(healthy):
    for damage, _ in UNREADABLE.values():
        damage(healthy)
    report = look(healthy)
    serious = {p.example: p.message for p in report.problems if p.serious}
    assert len(report.problems) == len(serious)
    assert serious.keys() == UNREADABLE.keys()
    for example, (_, message) in UNREADABLE.items():
        assert re.search(message, serious[example], re.DOTALL), serious[example]
    assert report.serious
    assert "WRONG" in str(report)
    # It went on after the bad ones: sizes that differ are sizes all the same.
    assert sum(report.splits["all"].sizes.values()) >= 7


SICK = {
    "palette as grey": (luminance, "p03", "saved as grey"),
    "smooth mask": (smooth, "p03", "smoothly"),
    "one class more": (
        save("masks/p03.png", lambda r: Image.new("L", (40, 30), 3)),
        "p03",
        "Received: 3.*start at 1",
    ),
    "all background": (empty, "", "Every pixel is ground.*written empty"),
    "0 and 255": (binary, "", "0 and 255 only.*`binary=True`"),
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


def cmyk(root):
    image = Image.open(root / "images/p03.jpg").convert("CMYK")
    image.save(root / "images/p03.jpg")


def twin(root):
    Image.open(root / "images/p06.jpg").save(root / "images/p05.png")
    (root / "images/p05.jpg").unlink()


def unreadable_exif(root):
    with Image.open(root / "images/p11.jpg") as image:
        image.load()
    image.save(root / "images/p11.jpg", exif=b"Exif\0\0damaged", dpi=(72, 72))


# What is changed about an example, and what the note of it says.
HARMLESS = {
    "p03": (cmyk, "CMYK"),
    "p04": (save("masks/p04.png", lambda r: Image.new("L", (40, 30), 255)), "All pix"),
    "p05": (twin, "p06 too"),
    # Upright ones have no note; these keep their size when they are turned.
    "p08": (lambda r: orient(r / "images/p08.jpg", 2), "EXIF"),
    "p09": (lambda r: orient(r / "images/p09.jpg", 3), "EXIF"),
    "p10": (lambda r: orient(r / "images/p10.jpg", 4), "EXIF"),
    "p11": (unreadable_exif, None),
}


def test_what_only_deserves_a_look_is_a_note(healthy):
    for change, _ in HARMLESS.values():
        change(healthy)
    report = look(healthy)
    assert not report.serious
    notes = {problem.example: problem.message for problem in report.problems}
    assert len(notes) == len(report.problems)
    assert not any(problem.serious for problem in report.problems)
    assert notes.keys() == {k for k, (_, said) in HARMLESS.items() if said}
    for example, message in notes.items():
        assert HARMLESS[example][1] in message
    assert "note" in str(report)
    assert report.splits["all"].examples == 12


def test_an_image_in_two_splits_is_found(healthy):
    source = data.folder(healthy / "images", healthy / "masks", class_names=NAMES)
    splits = {"train": source[:7], "val": source[6:]}
    report = data.inspect(splits, examples=2, verbose=False)
    assert report.serious
    assert any("p06" in problem.example for problem in report.problems)


def test_classes_without_a_pixel_are_noted(healthy):
    report = look(healthy, class_names=[*NAMES, "cow"])
    assert [problem.message for problem in report.problems] == [
        "Classes without a pixel: cow."
    ]
    assert not report.serious


def test_examples_with_a_class_that_no_other_had_come_first_on_the_sheet(healthy):
    # A sheet has room for some only.
    names = [f"class {k}" for k in range(25)]
    masks = [stripes(*range(24)), *(stripes(k) for k in range(24)), stripes(24)]
    write_masks(healthy, masks)
    assert look(healthy, class_names=names).splits["all"].sample == [
        0,
        25,
        *range(1, 25),
    ]


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
    assert "12 examples (p00, p01, p02, ...)" in str(report)


@pytest.mark.real_data
@pytest.mark.parametrize("split", ["train", "val", "train_aug"])
def test_voc_is_healthy(real_voc, split):
    report = data.inspect(data.voc(real_voc, split), verbose=False)
    assert not report.serious, report


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


def write_masks(root, masks):
    """Other masks than the healthy ones, and images for them."""
    for folder in ("images", "masks"):
        for path in (root / folder).iterdir():
            path.unlink()
    rng = np.random.default_rng(0)
    for k, mask in enumerate(masks):
        pixels = rng.integers(0, 256, (*mask.shape[:2], 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"images/p{k:02}.png")
        Image.fromarray(mask).save(root / f"masks/p{k:02}.png")


def stripes(*ids, dtype=np.uint8):
    """A mask of ten pixels of each id."""
    return np.repeat(np.array(ids, dtype)[:, None], 10, axis=1)


def test_an_unknown_id_leaves_the_counts_of_the_others(healthy):
    write_masks(healthy, [stripes(0, 1, 2), stripes(0, 1, 7), stripes(0, 255, 9)])
    report = look(healthy)
    found = report.splits["all"]
    assert found.pixels.tolist() == [30, 20, 10]
    assert found.images.tolist() == [3, 2, 1]
    assert (found.ignored, found.images_with_ignored) == (10, 1)
    assert found.unknown == {7: 10, 9: 10}
    assert found.total == 90
    content = report.as_dict()["splits"]["all"]
    assert content["unknown_ids"]["7"] == {"pixels": 10, "images": 1}
    text = str(report)
    assert re.search(r"ground +33\.33% +3\n", text)
    assert re.search(r"\(ignored\) +11\.11% +1\n", text)
    assert re.search(r"\(id 7, no class\) +11\.11% +1\n", text)
    serious = [problem for problem in report.problems if problem.serious]
    assert [(p.kind, p.example) for p in serious] == [
        ("unknown_ids", "p01"),
        ("unknown_ids", "p02"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"ignore": 2},
        {"ids": [1, 0], "ignore": [2]},
        {"palette": [(9, 9, 9), (8, 8, 8), (7, 7, 7)]},
    ],
)
def test_unknown_ids_are_those_of_the_files_where_ids_are_looked_up(healthy, arguments):
    write_masks(healthy, [stripes(0, 1, 254)] * 3)
    names = NAMES if "palette" in arguments else NAMES[:2]
    found = look(healthy, class_names=names, **arguments).splits["all"]
    assert found.unknown == {254: 30}
    assert found.pixels.tolist()[:2] == [30, 30]


def test_unknown_colours_are_counted_too(healthy):
    colors = np.array([(0, 0, 0), (255, 0, 0), (1, 2, 3)], np.uint8)
    write_masks(healthy, [colors[stripes(0, 1, 2)], colors[stripes(0, 1)]])
    report = look(healthy, class_names=NAMES[:2], palette=colors[:2])
    found = report.splits["all"]
    assert found.pixels.tolist() == [20, 20]
    assert found.unknown_colors == {1 + 256 * 2 + 65536 * 3: 10}
    assert re.search(r"\(colour 1, 2, 3, no class\) +20\.00% +1\n", str(report))
    assert [(p.kind, p.example) for p in report.problems if p.serious] == [
        ("unknown_colors", "p00")
    ]


void = [stripes(0, 1, 2, 11) for _ in range(9)]
objects = [stripes(*range(1 + k)) for k in (1, 2, 3, 4, 1, 3)]
deep_objects = [stripes(*range(1 + k), dtype=np.uint16) for k in (1, 2, 3, 300)]
CAUSES = {
    "void": (void, NAMES, {"ignore": 11}, "many masks share"),
    "void and 255": ([stripes(0, 1, 2, 9, 255)] * 3, NAMES, {"ignore": [9, 255]}, ""),
    "next id is void": ([stripes(0, 1, 2, 3)] * 4, NAMES, {"ignore": 3}, "a class"),
    "objects": (objects, NAMES[:2], {"ids": [0, range(1, 256)]}, "numbers its objects"),
    "from 1": ([stripes(1, 2, 3)] * 3, NAMES, {"ids": [1, 2, 3]}, "start at 1"),
    "holes": ([stripes(0, 38, 75)] * 3, NAMES, {"ids": [0, 38, 75]}, "as many ids"),
    "0, 128, 255": ([stripes(0, 128, 255)] * 3, NAMES, {"ids": [0, 128, 255]}, ""),
    "rare": ([*[stripes(0, 1, 2)] * 30, stripes(0, 5)], NAMES, {}, "Likely causes"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_the_likely_cause_of_unknown_ids_comes_with_its_remedy(healthy, case):
    masks, names, arguments, words = CAUSES[case]
    write_masks(healthy, masks)
    problem = look(healthy, class_names=names).problems[0]
    assert problem.kind == "unknown_ids"
    assert problem.arguments == arguments
    assert words in problem.message
    for name, value in arguments.items():
        assert f"`{name}={value!r}`" in problem.message
    if arguments:  # it leads on
        assert len([*pairs(healthy, class_names=names, **arguments)]) == len(masks)


def test_objects_of_16_bits_are_counted_as_they_are(healthy):
    write_masks(healthy, deep_objects)
    report = look(healthy, class_names=NAMES[:2])
    assert report.splits["all"].unknown[300] == 10
    assert report.problems[0].arguments == {"ids": [0, range(1, 65536)]}
    ids = report.problems[0].arguments["ids"]
    assert len([*pairs(healthy, class_names=NAMES[:2], ids=ids)]) == len(deep_objects)


def test_masks_of_0_and_255_get_the_argument_that_mends_them(healthy):
    write_masks(healthy, [stripes(0, 255)] * 3)
    (problem,) = look(healthy, class_names=NAMES[:2]).problems
    assert (problem.kind, problem.serious) == ("only_0_and_255", True)
    assert problem.arguments == {"binary": True}
    assert not look(healthy, class_names=NAMES[:2], **problem.arguments).problems


def test_problems_have_kinds_in_json(healthy):
    truncate(healthy / "images/p03.jpg")
    (healthy / "masks/p04.png").write_bytes(b"")
    content = look(healthy).as_dict()
    kinds = {p["example"]: p["kind"] for p in content["problems"]}
    assert kinds == {"p03": "unreadable", "p04": "unreadable"}
    assert json.loads(json.dumps(content)) == content


@pytest.mark.parametrize("opaque", [True, False])
def test_an_alpha_channel_is_noted_with_the_way_to_leave_it_out(healthy, opaque):
    write_masks(healthy, [stripes(0, 1, 2)] * 3)
    rng = np.random.default_rng(1)
    for path in (healthy / "images").iterdir():
        pixels = rng.integers(0, 255, (3, 10, 4)).astype(np.uint8)
        if opaque:
            pixels[..., 3] = 255
        Image.fromarray(pixels).save(path)
    report = look(healthy)
    (problem,) = report.problems
    assert (problem.kind, problem.serious) == ("alpha_channel", False)
    assert "`channels=3`" in problem.message
    assert ("255 everywhere" in problem.message) == opaque
    # Alpha that varies may be a band that is meant.
    assert problem.arguments == ({"channels": 3} if opaque else {})
    if opaque:  # it leads on
        assert look(healthy, channels=3).problems == []


def test_images_of_other_channels_than_the_first_say_what_to_do(healthy):
    """The first is a PNG with alpha, the others are JPEGs."""
    Image.new("RGBA", (40, 30)).save(healthy / "images/p00.png")
    (healthy / "images/p00.jpg").unlink()
    report = look(healthy)
    serious = [problem for problem in report.problems if problem.serious]
    assert {p.kind for p in serious} == {"channels_differ"}
    assert len(serious) == 11
    assert serious[0].arguments == {"channels": 3}
    assert len([*pairs(healthy, channels=3)]) == 12


def test_a_mask_at_fault_is_not_taken_for_channels_that_differ(healthy):
    """Of a TIFF of 16 bits with a sign Pillow doesn't say how many channels it has."""
    tifffile = pytest.importorskip("tifffile", reason="tifffile isn't installed")
    for k in range(12):
        (healthy / f"images/p{k:02}.jpg").unlink()
        image = np.full(SIZE, 100 * k - 300, np.int16)
        tifffile.imwrite(healthy / f"images/p{k:02}.tif", image)
    (healthy / "masks/p03.png").unlink()
    tifffile.imwrite(healthy / "masks/p03.tif", np.full(SIZE, -1, np.int16))
    problems = look(healthy, value_range=(-300, 900)).problems
    (problem,) = (problem for problem in problems if problem.serious)
    assert (problem.kind, problem.example) == ("unreadable", "p03")
    assert "Received: -1" in problem.message


def test_what_both_image_and_mask_need_is_told_once(healthy):
    """With `nodata`, a mask has the pixels that its image lacks."""
    truncate(healthy / "images/p03.jpg")
    (problem,) = look(healthy, nodata=0).problems
    assert problem.message.count("images/p03.jpg") == 1


def test_images_whose_pages_are_missing_are_found(healthy):
    tifffile = pytest.importorskip("tifffile", reason="tifffile isn't installed")
    for k in range(12):
        (healthy / f"images/p{k:02}.jpg").unlink()
        with tifffile.TiffWriter(healthy / f"images/p{k:02}.tif") as file:
            for _ in range(2 if k == 5 else 3):
                page = np.full(SIZE, k, np.uint8)
                file.write(page, contiguous=False, metadata=None)
    problems = look(healthy, page="all").problems
    (problem,) = (problem for problem in problems if problem.serious)
    assert (problem.kind, problem.example) == ("unreadable", "p05")
    assert "3 channels of all pages together" in problem.message
    assert "Received: 2" in problem.message


def test_a_class_called_void_is_noted(healthy):
    report = look(healthy, class_names=["ground", "Void", "dog"])
    assert [problem.kind for problem in report.problems] == ["void_class"]
    assert "`ignore=1`" in report.problems[0].message


def test_thousands_of_unknown_colours_are_a_page(healthy):
    rng = np.random.default_rng(0)
    write_masks(healthy, [rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)] * 2)
    report = look(healthy, class_names=NAMES[:2], palette=[(0, 0, 0), (1, 1, 1)])
    assert len(str(report)) < 4000
    assert "more that are no class" in str(report)
