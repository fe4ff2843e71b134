"""Which files belong together: names of any characters, and patterns for others."""

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from keras_seg import data
from keras_seg.data.readers.pairing import MissingFilesError, OrphansError

NAMES = ["land", "sea"]


def save(path, level=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 3), level).save(path, format="PNG")


def pairs(root, stems, image="images/{}.png", mask="masks/{}.png"):
    for number, stem in enumerate(stems):
        save(root / image.format(stem), 10 + number)
        save(root / mask.format(stem), number % 2)
    return root


def read(root, images="images", masks="masks", **arguments):
    return data.folder(
        f"{root}/{images}", f"{root}/{masks}", class_names=NAMES, **arguments
    )


STRANGE = [
    "with space",
    "#hash",
    "a,b",
    "v1.2.final",
    "100%",
    "quote'\"",
    "[1]",
    "tab\there",
    "next\x85line",
    "file\x1cseparator",
    "line\u2028separator",
    "grün",
    "日本",
    "-dash",
    "sub folder/x.y",
]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_stems_of_any_characters_are_read_from_lists(tmp_path, ends, mark):
    pairs(tmp_path, STRANGE)
    text = ends.join([*STRANGE, ""]).encode()
    (tmp_path / "list.txt").write_bytes(mark + text)
    source = read(tmp_path, split=tmp_path / "list.txt")
    assert list(source.names) == STRANGE
    assert [int(image[0, 0, 0]) for image, _ in source] == [
        10 + k for k in range(len(STRANGE))
    ]


def test_blanks_around_a_line_belong_to_it_only_where_a_file_has_them(tmp_path):
    pairs(tmp_path, ["a", "a ", "b"])
    (tmp_path / "list.txt").write_text("a \nb \t\n a\n\u00a0b\n")
    source = read(tmp_path, split=tmp_path / "list.txt")
    assert list(source.names) == ["a ", "b", "a", "b"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_both_unicode_forms_of_a_name_are_one(tmp_path, form):
    for name, of_file in (("images", "NFD"), ("masks", "NFC")):
        save(tmp_path / name / (unicodedata.normalize(of_file, "grüné") + ".png"), 1)
    (tmp_path / "list.txt").write_text(unicodedata.normalize(form, "grüné\n"))
    for split in (None, tmp_path / "list.txt"):
        source = read(tmp_path, split=split)
        assert list(source.names) == [unicodedata.normalize("NFC", "grüné")]
        assert source[0][1].tolist() == [[1] * 4] * 3


def test_two_files_of_one_name_in_both_unicode_forms_are_an_error(tmp_path):
    pairs(tmp_path, [unicodedata.normalize(form, "ü") for form in ("NFC", "NFD")])
    with pytest.raises(ValueError, match="one file of stem 'ü'"):
        read(tmp_path)


@pytest.mark.parametrize(
    "line",
    ["{root}/images/x/a.png", "images/x/a.png", "./images/x/a", "x/a.JPG"],
)
def test_a_line_may_be_the_path_of_the_image(tmp_path, line):
    pairs(tmp_path, ["x/a", "b"])
    (tmp_path / "list.txt").write_text(line.format(root=tmp_path) + "\n")
    assert list(read(tmp_path, split=tmp_path / "list.txt").names) == ["x/a"]


def test_paths_in_a_list_end_as_the_pattern_says(tmp_path):
    pairs(tmp_path, ["1", "2"], "scans/im_{}.png", "scans/gt_{}.png")
    (tmp_path / "list.txt").write_text("scans/im_2.png\nim_1.png\n2\n")
    source = read(
        tmp_path, "scans/im_*.png", "scans/gt_*.png", split=tmp_path / "list.txt"
    )
    assert list(source.names) == ["2", "1", "2"]


def test_a_name_that_is_not_utf8_is_read_and_printed(tmp_path):
    pairs(tmp_path, ["x", "a"])
    for folder in ("images", "masks"):
        path = os.fsencode(tmp_path / folder)
        os.rename(path + b"/a.png", path + b"/caf\xe9.png")
    source = read(tmp_path)
    assert list(source.names) == [r"caf\xe9", "x"]
    assert source[0][0].shape == (3, 4, 1)
    assert len(list(source.batches(1))) == 2
    assert not data.inspect(source, verbose=False).serious
    data.prepare(source, tmp_path / "set", verbose=False)
    assert len(data.folder(tmp_path / "set/images", tmp_path / "set/masks")) == 2
    os.remove(os.fsencode(tmp_path / "masks") + b"/caf\xe9.png")
    save(tmp_path / "masks/b.png")
    with pytest.raises(OrphansError, match=r"without a mask: caf\\xe9\."):
        read(tmp_path)


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_thousands_of_missing_files_are_a_short_error(tmp_path, missing):
    pairs(tmp_path, ["a"])
    save(tmp_path / "images/b.png")
    save(tmp_path / "masks/c.png")
    stems = [f"a_stem_of_some_length_{k}" for k in range(5000)]
    (tmp_path / "list.txt").write_text("\n".join(["a", *stems]))
    with pytest.raises(MissingFilesError, match=r"length_7 and 4,992 more") as error:
        read(tmp_path, split=tmp_path / "list.txt")
    assert len(str(error.value)) < 600


def test_thousands_of_orphans_are_a_short_error(tmp_path):
    error = OrphansError([f"stem{k}" for k in range(5000)], ["x"], [], {})
    assert "stem7 and 4,992 more" in str(error)
    assert len(str(error)) < 600
    assert len(error.images) == 5000


STEMS = ["a1", "a10", "b_7", "0001", "c.d"]


@pytest.mark.parametrize(
    ("image", "mask", "expected"),
    [
        ("im/{}.png", "gt/{}_mask.png", {"masks": "gt/*_mask.png"}),
        ("im/{}.jpg", "gt/{}_L.png", {"masks": "gt/*_L.png"}),
        ("im/{}.png", "gt/mask_{}.png", {"masks": "gt/mask_*.png"}),
        ("im/{}.png", "gt/m_{}_x.png", {"masks": "gt/m_*_x.png"}),
        ("im/{}_sat.jpg", "gt/{}.png", {"images": "im/*_sat.jpg"}),
        ("im/{}-rgb.png", "gt/{}-ids.png", ("im/*-rgb.png", "gt/*-ids.png")),
        ("im/img_{}.png", "gt/label_{}.png", ("im/img_*.png", "gt/label_*.png")),
        ("im/x/{}.png", "gt/x/{}_mask.png", {"masks": "gt/*_mask.png"}),
        ("all/{}.png", "all/{}_mask.png", {"masks": "all/*_mask.png"}),
    ],
)
def test_a_pattern_that_pairs_the_files_is_suggested_and_works(
    tmp_path, image, mask, expected
):
    pairs(tmp_path, STEMS, image, mask)
    folders = [image.split("/")[0], mask.split("/")[0]]
    with pytest.raises(OrphansError) as error:
        read(tmp_path, *folders)
    if isinstance(expected, tuple):
        expected = dict(zip(("images", "masks"), expected, strict=True))
    assert error.value.arguments == {k: f"{tmp_path}/{v}" for k, v in expected.items()}
    for argument, pattern in error.value.arguments.items():
        assert f"`{argument}='{pattern}'`" in str(error.value)
    chosen = {"images": tmp_path / folders[0], "masks": tmp_path / folders[1]}
    source = data.folder(**chosen | error.value.arguments, class_names=NAMES)
    assert len(source) == len(STEMS)


def test_a_pattern_is_suggested_where_a_few_files_are_strangers(tmp_path):
    pairs(tmp_path, [f"p{k}" for k in range(20)], mask="masks/{}_mask.png")
    save(tmp_path / "masks/legend.png")
    save(tmp_path / "images/cover.png")
    with pytest.raises(OrphansError) as error:
        read(tmp_path)
    assert error.value.arguments == {"masks": f"{tmp_path}/masks/*_mask.png"}


def test_a_pattern_is_suggested_for_a_list_too(tmp_path):
    pairs(tmp_path, STEMS, mask="masks/{}_mask.png")
    with pytest.raises(MissingFilesError, match=r"masks/\*_mask\.png"):
        read(tmp_path, split=STEMS[:2])


@pytest.mark.parametrize(
    ("images", "masks"),
    [(["cat"], ["car"]), (["a", "b", "c"], ["a", "b", "d"]), (["a"], ["b"])],
)
def test_no_pattern_is_suggested_where_names_have_nothing_in_common(
    tmp_path, images, masks
):
    for stem in images:
        save(tmp_path / f"images/{stem}.png")
    for stem in masks:
        save(tmp_path / f"masks/{stem}.png")
    with pytest.raises(OrphansError, match="Add the missing files") as error:
        read(tmp_path)
    assert error.value.arguments == {}


def test_another_dataset_json_beside_the_masks_is_not_taken_for_a_prepared_set(
    tmp_path,
):
    pairs(tmp_path, ["a"])
    for contents in ("{}", "[1]", "no JSON", '{"class_names": 3, "palette": 4}'):
        (tmp_path / "dataset.json").write_text(contents)
        assert len(read(tmp_path)) == 1
        with pytest.raises(ValueError, match="`class_names`"):
            data.folder(tmp_path / "images", tmp_path / "masks")


@pytest.mark.slow
def test_pairs_of_ten_thousand_files_are_made_in_a_second(tmp_path):
    """Names only; a quadratic search would take minutes."""
    from keras_seg.data.readers.patterns import Affixes, common_affixes

    names = [f"folder{k % 7}/scan_{k:05}" for k in range(10_000)]
    masks = [f"{name}_gt" for name in names]
    assert common_affixes(names, masks) == [Affixes(("", ""), ("", "_gt"))]
    assert np.all(common_affixes(names, []) == [])
