"""`folder`: which files go together, and what their pixels mean."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data
from keras_seg.data.suggestions import SuggestionError

CLASSES = ["land", "sea", "ice"]
SIZE = (9, 13)


def some_ids(ids=(0, 1, 2, 255), seed=0, size=SIZE):
    return np.random.default_rng(seed).choice(ids, size)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path, **options)


def save_pair(image, mask, seed=0):
    """A grey image whose level tells the pair, and a mask."""
    save(image, np.full((*SIZE, 3), seed, np.uint8))
    save(mask, some_ids(seed=seed).astype(np.uint8))


@pytest.fixture
def tree(tmp_path):
    """Function stems -> root with images/STEM.png and masks/STEM.png."""

    def write(*stems):
        for seed, stem in enumerate(stems):
            save_pair(
                tmp_path / f"images/{stem}.png", tmp_path / f"masks/{stem}.png", seed
            )
        return tmp_path

    return write


def read(root, **arguments):
    arguments = {"class_names": CLASSES} | arguments
    return data.folder(root / "images", root / "masks", **arguments)


def assert_pairs(source, seeds):
    assert len(source) == len(seeds)
    for (image, mask), seed in zip(source, seeds, strict=True):
        assert image.shape == (*SIZE, 3)
        assert (image == seed).all()
        np.testing.assert_array_equal(mask, some_ids(seed=seed))


def test_pairs_are_made_by_stem_in_order(tree):
    source = read(tree("b", "c", "a"))
    assert list(source.names) == ["a", "b", "c"]
    assert_pairs(source, [2, 0, 1])
    assert source.class_names == tuple(CLASSES)


def test_folders_in_the_folder_are_read(tree):
    root = tree("b", "x/a", "x/y/a", "a")
    source = read(root)
    assert list(source.names) == ["a", "b", "x/a", "x/y/a"]
    assert_pairs(source, [3, 0, 1, 2])
    assert_pairs(
        data.folder(f"{root}/images/", f"{root}//masks/", class_names=CLASSES),
        [3, 0, 1, 2],
    )


def test_suffixes_of_images_may_differ(tmp_path):
    pixels = np.full((*SIZE, 3), 7, np.uint8)
    names = ["a.jpg", "b.png", "c.jpeg", "d.JPG", "e.Png", "f.v2.jpg"]
    for name in names:
        suffix = name.rsplit(".", 1)[1].lower()
        save(tmp_path / "images" / name, pixels, format=suffix.replace("jpg", "jpeg"))
        stem = name.rsplit(".", 1)[0]
        mask = tmp_path / f"masks/{stem}.{'PNG' if stem == 'a' else 'png'}"
        save(mask, some_ids().astype(np.uint8), format="PNG")
    source = read(tmp_path)
    assert list(source.names) == ["a", "b", "c", "d", "e", "f.v2"]
    for image, mask in source:
        assert (image == 7).all()
        np.testing.assert_array_equal(mask, some_ids())


@pytest.mark.parametrize(
    ("image", "mask", "patterns"),
    [
        ("scans/{}.jpg", "scans/{}_mask.png", ("scans/*.jpg", "scans/*_mask.png")),
        ("scans/{}.png", "scans/{}_mask.png", ("scans/*.png", "scans/*_mask.png")),
        ("scans/{}.png", "scans/{}_mask.png", ("scans", "scans/*_mask.png")),
        (
            "scans/{}_rgb.png",
            "scans/{}_ids.png",
            ("scans/*_rgb.png", "scans/*_ids.png"),
        ),
        (
            "scans/img_{}.png",
            "labels/gt_{}.png",
            ("scans/img_*.png", "labels/gt_*.png"),
        ),
        ("scans/img_{}.png", "labels/{}.png", ("scans/img_*", "labels")),
        ("{}.jpg", "{}.png", ("*.jpg", "*.png")),
    ],
)
@pytest.mark.parametrize("within", ["", "x/"])
def test_a_star_stands_for_the_stem(
    tmp_path, monkeypatch, image, mask, patterns, within
):
    monkeypatch.chdir(tmp_path)
    for seed, stem in enumerate(["a", "b_1", "17"]):
        pair = []
        for form in (image, mask):
            where, _, name = form.rpartition("/")
            pair.append(tmp_path / where / within / name.format(stem))
        save_pair(*pair, seed)
    for root in (".", tmp_path):
        paths = [f"{root}/{pattern}" for pattern in patterns]
        if root == "." and "/" not in image:
            paths = list(patterns)
        source = data.folder(*paths, class_names=CLASSES)
        assert list(source.names) == [f"{within}{stem}" for stem in ("17", "a", "b_1")]
        for (pixels, ids), seed in zip(source, [2, 0, 1], strict=True):
            assert abs(int(pixels[0, 0, 0]) - seed) <= 1  # some are JPEGs
            np.testing.assert_array_equal(ids, some_ids(seed=seed))


def test_all_orphans_are_named(tree):
    root = tree("a", "b", "x/c", "d", "e")
    for path in ("images/b.png", "images/x/c.png", "masks/d.png"):
        (root / path).unlink()
    message = r"Images without a mask: d\. Masks without an image: b, x/c\."
    with pytest.raises(ValueError, match=message):
        read(root)


def test_two_images_of_a_stem_are_an_error_that_names_both(tree):
    root = tree("a", "x/b")
    save(root / "images/x/b.jpg", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(ValueError, match=r"stem 'x/b'.*(b\.jpg.*b\.png|png.*jpg)"):
        read(root)


@pytest.mark.parametrize(
    ("folder", "name", "remedy"),
    [
        ("images", "x.heic", "Convert them to PNG"),
        ("masks", "x.jpg", "JPEG changes ids: write .* as PNGs"),
        ("masks", "x.WEBP", "WEBP changes ids: write .* as PNGs"),
        ("masks", "a.jp2", "JP2 changes ids: write .* as PNGs"),
    ],
)
def test_pictures_that_are_not_read_are_refused_with_a_hint(tree, folder, name, remedy):
    root = tree("a")
    (root / folder / name).write_bytes(b"II*\0")
    with pytest.raises(ValueError, match=rf"{folder}.*Received: {name}.*{remedy}"):
        read(root)


def test_other_files_are_passed_over(tree):
    root = tree("a")
    for name in ("Thumbs.db", "README.txt", ".DS_Store", "._a.png", ".b.png", "a"):
        for folder in ("images", "masks"):
            (root / folder / name).write_bytes(b"?")
    hidden = root / "images/.thumbnails"
    hidden.mkdir()
    (hidden / "a.png").write_bytes(b"?")
    assert_pairs(read(root), [0])


def test_links_are_followed_but_not_round_in_circles(tree):
    root = tree("x/a", "x/b")
    (root / "elsewhere").mkdir()
    for folder in ("images", "masks"):
        (root / folder / "x").rename(root / "elsewhere" / folder)
        (root / folder / "x").symlink_to(root / "elsewhere" / folder)
        (root / folder / "x/up").symlink_to(root / folder)
        (root / folder / "x/here").symlink_to(".")
    source = read(root)
    assert list(source.names) == ["x/a", "x/b"]
    assert_pairs(source, [0, 1])


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_folder_that_is_missing_or_empty_is_named(tree, folder):
    root = tree("a")
    (root / folder / "a.png").unlink()
    with pytest.raises(ValueError, match=rf"PNG, .* files at .*{folder}.*none"):
        read(root)
    (root / folder).rmdir()
    with pytest.raises(FileNotFoundError, match=rf"{folder}\. It isn't there"):
        read(root)


@pytest.mark.parametrize("pattern", ["images/*_*.png", "im*/a.png", "im*/*.png"])
def test_a_star_elsewhere_is_an_error(tree, pattern):
    root = tree("a")
    with pytest.raises(ValueError, match=r"Expected one `\*` in the name"):
        data.folder(root / pattern, root / "masks", class_names=CLASSES)


@pytest.mark.parametrize(
    ("contents", "names"),
    [
        (b"b\na\n", "b a"),
        (b"b\na", "b a"),
        (b"\n\nb\n   \n\na\n\n", "b a"),
        (b"b  \n a\t\n", "b a"),
        (b"b\r\na\r\n", "b a"),
        (b"\xef\xbb\xbfb\r\na\r\n", "b a"),
        (b"b\na\nb\nb\n", "b a b b"),
        (b"b.jpg\na.png\n", "b a"),
        (b"f.v2\nx/c\n", "f.v2 x/c"),
        (b"c.jpg\nb.JPG\n", "c.jpg b"),
        (b"f.v2.png\nx/c.png\n", "f.v2 x/c"),
        (b"with space\nb\n", "with space|b"),
        ("grün\n".encode(), "grün"),
    ],
)
def test_a_split_file_gives_stems_and_their_order(tree, contents, names):
    stems = ["a", "b", "x/c", "f.v2", "with space", "grün", "c.jpg"]
    root = tree(*stems)
    (root / "images/orphan.png").write_bytes(b"")  # not in the list
    (root / "train.txt").write_bytes(contents)
    expected = names.split("|") if "|" in names else names.split()
    source = read(root, split=root / "train.txt")
    assert list(source.names) == expected
    assert_pairs(source, [stems.index(stem) for stem in expected])


def test_a_list_gives_stems_and_their_order(tree):
    source = read(tree("a", "b"), split=["b", "a", "b"])
    assert list(source.names) == ["b", "a", "b"]
    assert_pairs(source, [1, 0, 1])


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "Expected stems in .*train.txt"),
        (b" \n\r\n", "Expected stems in .*train.txt"),
        (b"a\nnone\nb\nnor this\n", "stems in .*train.txt. Missing: none, nor this"),
        (b"../images/a\n", r"Missing: \.\./images/a"),
        (b"images/a.png masks/a.png\n", r"Missing: images/a.png masks/a"),
        (b"/etc/passwd\n", "Missing: /etc/passwd"),
        (b"a.v2\n", r"Missing: a\.v2"),
        ("a\n".encode("utf-16"), r"train\.txt: Expected text in UTF-8"),
        (None, r"train\.txt\. It isn't there"),
    ],
)
def test_a_bad_split_file_is_an_error_that_says_so(tree, contents, message):
    root = tree("a", "b")
    if contents is not None:
        (root / "train.txt").write_bytes(contents)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read(root, split=root / "train.txt")


@pytest.mark.parametrize("split", [["a", "none"], ["../images/a"], []])
def test_a_bad_list_of_stems_is_an_error_that_says_so(tree, split):
    with pytest.raises((ValueError, FileNotFoundError), match=r"`split`"):
        read(tree("a"), split=split)


def labels_of(tmp_path, mask, **arguments):
    """Read one saved mask."""
    save(tmp_path / "images/a.png", np.zeros((*SIZE, 3), np.uint8))
    mask.save(tmp_path / "masks/a.png", **arguments.pop("options", {}))
    labels = read(tmp_path, **arguments)[0][1]
    assert labels.dtype == np.int32
    return labels


@pytest.fixture
def masks(tmp_path):
    (tmp_path / "masks").mkdir()
    return tmp_path


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_masks_of_any_depth_are_their_indices(masks, bits):
    ids = some_ids(range(min(2**bits, 100)))
    mask = Image.fromarray(ids.astype(np.uint8))
    mask.putpalette(np.random.default_rng(1).bytes(3 * 2**bits))
    names = [f"class {k}" for k in range(100)]
    found = labels_of(masks, mask, class_names=names, options={"bits": bits})
    assert (masks / "masks/a.png").read_bytes()[24:26] == bytes([bits, 3])
    np.testing.assert_array_equal(found, ids)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_grey_masks_are_their_values(masks, dtype):
    ids = some_ids([0, 1] if dtype is bool else [0, 1, 2, 255])
    mask = Image.fromarray(ids.astype(dtype))
    np.testing.assert_array_equal(labels_of(masks, mask), ids)


def test_ids_of_16_bits_become_labels(masks):
    ids = some_ids([0, 1000, 65535, 40000, 256])
    mask = Image.fromarray(ids.astype(np.uint16))
    found = labels_of(masks, mask, ids=[65535, 1000, 256], ignore=[0, 40000])
    label_of = {65535: 0, 1000: 1, 256: 2, 0: 255, 40000: 255}
    np.testing.assert_array_equal(found, np.vectorize(label_of.get)(ids))


COLORS = [(0, 0, 0), (10, 20, 30), (30, 20, 10), (255, 255, 255)]


@pytest.mark.parametrize("alpha", [False, True])
def test_colors_become_ids(masks, alpha):
    ids = some_ids([0, 1, 2])
    pixels = np.array(COLORS, np.uint8)[ids]
    if alpha:
        pixels = np.dstack([pixels, some_ids(range(256)).astype(np.uint8)])
    found = labels_of(masks, Image.fromarray(pixels), palette=COLORS[:3])
    np.testing.assert_array_equal(found, ids)
    source = read(masks, palette=COLORS[:3])
    np.testing.assert_array_equal(source.palette, COLORS[:3])


@pytest.mark.parametrize("ignore", [3, [3], (3, 200)])
def test_colors_of_ignored_ids_become_255(masks, ignore):
    ids = some_ids([0, 1, 2, 3])
    mask = Image.fromarray(np.array(COLORS, np.uint8)[ids])
    found = labels_of(masks, mask, palette=COLORS, ignore=ignore)
    np.testing.assert_array_equal(found, np.where(ids == 3, 255, ids))


def test_colors_of_ids_with_holes_become_labels(masks):
    ids = some_ids([0, 1, 3])
    mask = Image.fromarray(np.array(COLORS, np.uint8)[ids])
    arguments = {"palette": COLORS, "ids": [3, 0, 1], "ignore": 2}
    label_of = {3: 0, 0: 1, 1: 2}
    found = labels_of(masks, mask, **arguments)
    np.testing.assert_array_equal(found, np.vectorize(label_of.get)(ids))
    palette = read(masks, **arguments).palette
    np.testing.assert_array_equal(palette, [COLORS[3], COLORS[0], COLORS[1]])


def test_masks_of_ids_are_read_where_others_have_colors(masks):
    ids = some_ids([0, 1, 2])
    found = labels_of(masks, Image.fromarray(ids.astype(np.uint8)), palette=COLORS[:3])
    np.testing.assert_array_equal(found, ids)


@pytest.mark.parametrize("bits", [2, 8])
def test_colors_in_a_palette_become_ids_whatever_their_order(masks, bits):
    ids = some_ids([0, 1, 2])
    mask = Image.fromarray((2 - ids).astype(np.uint8))  # of the file, not of classes
    mask.putpalette(np.uint8(COLORS[2::-1]).tobytes())
    found = labels_of(masks, mask, palette=COLORS[:3], options={"bits": bits})
    np.testing.assert_array_equal(found, ids)


def test_a_palette_of_other_colors_is_an_error(masks):
    mask = Image.fromarray(some_ids([0, 1, 2]).astype(np.uint8))
    mask.putpalette([0, 0, 0, 1, 2, 3, 3, 2, 1])
    with pytest.raises(ValueError, match=r"a\.png: Expected colours.*\(1, 2, 3\)"):
        labels_of(masks, mask, palette=COLORS[:3])


def test_unknown_colors_are_named_the_most_frequent_first(masks):
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[0, :3] = (1, 2, 3)
    pixels[1, :5] = (9, 8, 7)
    message = r"masks/a\.png: .*Received: \(9, 8, 7\), \(1, 2, 3\)\."
    with pytest.raises(ValueError, match=message):
        labels_of(masks, Image.fromarray(pixels), palette=COLORS)


def test_a_color_of_an_id_that_is_no_class_is_an_error(masks):
    mask = Image.fromarray(np.full((*SIZE, 3), 255, np.uint8))
    with pytest.raises(ValueError, match=r"a\.png: .*Received: 3\."):
        labels_of(masks, mask, palette=COLORS)


@pytest.mark.parametrize(
    ("ignore", "gone"), [(255, [255]), (2, [2]), ([2, 255], [2, 255]), ((), [])]
)
def test_ignored_ids_become_255(masks, ignore, gone):
    ids = some_ids([0, 1, *gone])
    mask = Image.fromarray(ids.astype(np.uint8))
    found = labels_of(masks, mask, class_names=CLASSES[:2], ignore=ignore)
    np.testing.assert_array_equal(found, np.where(np.isin(ids, gone), 255, ids))


@pytest.mark.parametrize("ignore", [1, [2, 7]])
def test_an_id_that_is_class_and_ignored_is_an_error(tree, ignore):
    with pytest.raises(ValueError, match=r"none of `ignore`"):
        read(tree("a"), ignore=ignore)


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_masks_of_0_and_255_are_two_classes_if_ids_say_so(masks, dtype):
    """Black and white of 1 bit has ids 0 and 1, of 8 bits 0 and 255."""
    labels = some_ids([0, 1])
    mask = Image.fromarray(
        labels.astype(bool) if dtype is bool else np.uint8(labels * 255)
    )
    ids = None if dtype is bool else [0, 255]
    ignore = 255 if dtype is bool else ()
    found = labels_of(masks, mask, class_names=CLASSES[:2], ids=ids, ignore=ignore)
    np.testing.assert_array_equal(found, labels)


def test_coco_stuff_has_171_classes_with_holes_between(masks):
    """Of the authors' list: person 1, car 3, laptop 73, banner 92, wood 182."""
    numbers = {"person": 1, "car": 3, "laptop": 73, "banner": 92, "wood": 182}
    unused = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}
    assert len(data.COCO_STUFF) == 171
    assert {n for n in range(1, 183)} - unused == {
        v + 1 for v in data.COCO_STUFF.values()
    }
    names = list(data.COCO_STUFF)
    ids = some_ids([n - 1 for n in numbers.values()] + [255])
    found = labels_of(
        masks,
        Image.fromarray(ids.astype(np.uint8)),
        class_names=names,
        ids=list(data.COCO_STUFF.values()),
    )
    for name, number in numbers.items():
        assert {*found[ids == number - 1]} == {names.index(name)}
    assert {*found[ids == 255]} == {255}


def test_ids_from_1_with_0_ignored_become_labels_from_0(masks):
    """ADE20K's way."""
    ids = some_ids(range(151))
    mask = Image.fromarray(ids.astype(np.uint8))
    names = [f"class {k}" for k in range(1, 151)]
    found = labels_of(masks, mask, class_names=names, ids=range(1, 151), ignore=0)
    np.testing.assert_array_equal(found, np.where(ids == 0, 255, ids - 1))


@pytest.mark.parametrize(
    ("ids", "label_of"),
    [
        ([0, (1, 2, 3)], {0: 0, 1: 1, 2: 1, 3: 1}),
        ([0, range(1, 256)], {0: 0, 1: 1, 77: 1, 255: 1}),
        ({0: 0, range(1, 256): 1}, {0: 0, 1: 1, 77: 1, 255: 1}),
        ({7: 1, 3: 1, 0: 0, 200: 0}, {0: 0, 200: 0, 3: 1, 7: 1}),
        ([np.array([5, 6]), np.int64(9)], {5: 0, 6: 0, 9: 1, 255: 255}),
        ([{4, 5}, ()], {4: 0, 5: 0, 255: 255}),
        ({0: 0, (): 1}, {0: 0, 255: 255}),
        (((0, 300), range(1000, 65536)), {0: 0, 300: 0, 1000: 1, 65535: 1}),
    ],
)
def test_several_ids_may_be_one_class(masks, ids, label_of):
    stored = some_ids(list(label_of))
    depth = np.uint16 if max(label_of) > 255 else np.uint8
    mask = Image.fromarray(stored.astype(depth))
    found = labels_of(masks, mask, class_names=CLASSES[:2], ids=ids)
    np.testing.assert_array_equal(found, np.vectorize(label_of.get)(stored))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": [0, (1, 2), (2, 3)]}, "Received twice: 2"),
        ({"ids": {range(4): 0, 3: 1, 4: 2}}, "Received twice: 3"),
        ({"ids": {0: 0, 1: 1}}, "each of the 3 classes. Missing: class 2"),
        ({"ids": {0: 0, 1: 1, 2: 3}}, r"classes 0\.\.2. Received: {2: 3}"),
        ({"ids": {0: 0, 1: 1, 2: -1}}, r"classes 0\.\.2. Received: {2: -1}"),
        ({"ids": [0, 1, "2"]}, r"`ids` to be whole numbers.*Received: '2'"),
        ({"ids": [0, 1, 2.5]}, r"Received: 2\.5"),
        ({"ids": [0, 1, (2, "3")]}, r"Received: \(2, '3'\)"),
        ({"ids": [0, 1, None]}, "Received: None"),
        ({"ids": [0, (1, 2, 3, 4)]}, "one entry per class, 3. Received: 2 entries"),
        ({"ids": [0, 1, range(2, 70000)]}, r"0\.\.65535.*Received: 65536\.\.69999"),
        ({"ids": [0, 1, (2, 7)], "ignore": (7, 8)}, "none of `ignore`.*: 7 in both"),
        ({"ids": [0, 1, range(2, 256)], "ignore": 255}, "255 in both"),
        ({"ignore": 1.5}, "`ignore` to be whole numbers"),
    ],
)
def test_ids_that_contradict_each_other_are_an_error(tree, arguments, message):
    with pytest.raises(ValueError, match=message):
        read(tree("a"), **arguments)


def test_255_is_ignored_unless_a_class_has_it(masks):
    mask = Image.fromarray(some_ids([0, 255]).astype(np.uint8))
    assert 255 in labels_of(masks, mask, class_names=CLASSES[:2])
    assert 255 in labels_of(masks, mask, class_names=CLASSES[:2], ids=[0, 7])
    assert 255 not in labels_of(masks, mask, class_names=CLASSES[:2], ids=[0, 255])


def test_an_id_that_is_nothing_is_an_error_that_lists_it(masks):
    ids = np.zeros(SIZE, np.uint8)
    ids[0, :3] = 7, 9, 7
    message = (
        r"masks/a\.png: .*class ids 0\.\.2, or 3 for ignored.*Received: 7, 9\."
        r".*`ids=\[0, 7, 9\]`"
    )
    with pytest.raises(ValueError, match=message):
        labels_of(masks, Image.fromarray(ids), ids=[0, 1, 2], ignore=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": [0, 1]}, "one entry per class, 3. Received: 2"),
        ({"ids": [0, 1, 1]}, "each id to one class. Received twice: 1"),
        ({"ids": [0, 1, -1]}, r"ids in 0\.\.65535"),
        ({"ids": [0, 1, 2**16]}, r"ids in 0\.\.65535"),
        ({"palette": [(0, 0, 0), (1, 1, 1)]}, "a colour for id 2"),
        ({"palette": [(0, 0, 0), (1, 1, 1), (0, 0, 0)]}, "more than once: .*0, 0, 0"),
        ({"palette": [(0, 0, 0), (1, 1, 1), (0, 0, 256)]}, r"0\.\.256"),
        ({"palette": [0, 1, 2]}, "rows of"),
        ({"palette": [(0.0, 0.5, 1.0)] * 3}, "rows of"),
        ({"class_names": ["land"]}, "class"),
        ({"class_names": None}, "`class_names`, or masks of a set that `prepare`"),
        ({"channels": 0}, "`channels` to be 1 or more"),
    ],
)
def test_arguments_that_do_not_fit_are_an_error(tree, arguments, message):
    with pytest.raises(ValueError, match=message):
        read(tree("a"), **arguments)


COLOR_FILES = {
    "name after": "0 0 0 land\n10\t20\t30\tthe sea\n30,20,10,ice\n",
    "name before": "land 0 0 0\nthe sea 10 20 30\nice,30,20,10\n",
    "heading": "name,r,g,b\nland,0,0,0\nthe sea,10,20,30\nice,30,20,10\n",
}


@pytest.mark.parametrize("text", COLOR_FILES.values(), ids=COLOR_FILES)
def test_a_file_of_colors_names_the_classes(masks, text):
    (masks / "colors.txt").write_text(text)
    ids = some_ids([0, 1, 2])
    mask = Image.fromarray(np.array(COLORS, np.uint8)[ids])
    arguments = {"class_names": None, "palette": masks / "colors.txt"}
    np.testing.assert_array_equal(labels_of(masks, mask, **arguments), ids)
    source = read(masks, **arguments)
    assert source.class_names == ("land", "the sea", "ice")
    np.testing.assert_array_equal(source.palette, COLORS[:3])
    # An ignored colour is no class, and needs no name.
    source = read(masks, ignore=1, **arguments)
    assert source.class_names == ("land", "ice")
    np.testing.assert_array_equal(source[0][1], np.array([0, 255, 1])[ids])
    # Several colours may be one class, which has the first one's name.
    source = read(masks, ids=[(2, 1), 0], **arguments)
    assert source.class_names == ("ice", "land")
    np.testing.assert_array_equal(source[0][1], np.array([1, 0, 0])[ids])


@pytest.mark.parametrize("text", ["", "0 0 0\nred\n", "0 0\n", "1 2 3 4 5 6 x 7\n\nq"])
def test_a_file_without_colors_is_named(masks, text):
    (masks / "colors.txt").write_text(text)
    save(masks / "masks/a.png", np.zeros(SIZE, np.uint8))
    save(masks / "images/a.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(ValueError, match=r"colors\.txt: Expected"):
        read(masks, palette=str(masks / "colors.txt"))


def names_missing(root):
    with pytest.raises(SuggestionError) as error:
        read(root, class_names=None)
    return str(error.value), error.value.arguments


@pytest.mark.parametrize(
    ("ids", "arguments"),
    [
        ([0, 1], {"class_names": ["background", "object"]}),
        ([0, 255], {"binary": True}),
        ([0, 7], {"binary": True}),
        ([0, 1, 2, 255], {"class_names": ["class0", "class1", "class2"]}),
        ([3, 9], {"class_names": ["class3", "class9"], "ids": [3, 9]}),
    ],
)
def test_missing_names_are_an_error_that_lists_the_ids_and_what_to_try(
    masks, ids, arguments
):
    for k in range(3):
        save(masks / f"images/{k}.png", np.zeros((1, 10), np.uint8))
        save(masks / f"masks/{k}.png", np.resize(ids, (1, 10)).astype(np.uint8))
    message, suggested = names_missing(masks)
    assert suggested == arguments
    shares = [np.mean(np.resize(ids, 10) == i) for i in ids]
    for i, share in zip(ids, shares, strict=True):
        assert f" {i} ({share:.1%} of pixels, 3 masks)" in message
    source = read(masks, **({"class_names": None} | suggested))
    assert source.num_classes == len(arguments.get("class_names", range(2)))
    assert {*np.unique(source[0][1])} <= {*range(source.num_classes), 255}


def test_missing_names_of_numbered_objects_suggest_two_classes(masks):
    for k in range(1, 6):
        save(masks / f"images/{k}.png", np.zeros((3, 9), np.uint8))
        save(masks / f"masks/{k}.png", np.resize(range(k), (3, 9)).astype(np.uint8))
    message, suggested = names_missing(masks)
    assert suggested["ids"] == [0, range(1, 256)]
    assert "`instances='border'`" in message
    assert "class0" in message  # they may be classes all the same


def test_many_numbered_objects_arent_proposed_as_classes(masks):
    for k in range(1, 6):
        save(masks / f"images/{k}.png", np.zeros((3, 40), np.uint8))
        save(masks / f"masks/{k}.png", np.resize(range(20 + k), (3, 40)).astype("u1"))
    message, suggested = names_missing(masks)
    assert suggested["ids"] == [0, range(1, 256)]
    assert "`instances='border'`" in message
    assert "class0" not in message


@pytest.mark.parametrize("names", [None, CLASSES])
def test_masks_of_colors_without_a_palette_suggest_the_file_that_lies_there(
    masks, names
):
    ids = some_ids([0, 1, 2])
    mask = Image.fromarray(np.array(COLORS, np.uint8)[ids])
    for expected, text in ((None, "0 0 0 x\n"), ("colors.txt", COLOR_FILES["heading"])):
        (masks / "readme.txt").write_text("Colours of land and sea.\n")
        (masks / "colors.txt").write_text(text)
        with pytest.raises(ValueError, match=r"\(10, 20, 30\) \d") as error:
            labels_of(masks, mask, class_names=names)
        if expected is None:
            assert "a text file with a line 'R G B name'" in str(error.value)
        else:
            arguments = error.value.arguments
            assert arguments == {"palette": str(masks / expected)}
            assert (read(masks, **arguments)[0][1] == ids).all()


def waves(height, width, channels):
    """Smooth pixels of any number of channels."""
    y, x, c = np.mgrid[:height, :width, :channels]
    levels = 127 + 60 * np.sin(y / 5 + c) + 60 * np.cos(x / 7 - c)
    return levels.astype(np.uint8)


def deep(pixels):
    """16 bits that aren't 257 times 8 bits."""
    return (
        (
            pixels.astype(np.uint16) * 257
            + np.arange(pixels.size).reshape(pixels.shape) % 300
        )
        .clip(0, 65535)
        .astype(np.uint16)
    )


def save_image(path, kind):
    """Save an image of a kind; its pixels as `channels` and values `[h, w, c]`."""
    path.parent.mkdir(exist_ok=True)
    pixels = waves(31, 45, 4)
    modes = {"grey": "L", "grey and alpha": "LA", "RGB": "RGB", "RGBA": "RGBA"}
    if kind in modes:
        mode = modes[kind]
        wanted = pixels[..., : len(mode)]
        Image.fromarray(wanted.squeeze()).save(path, format="PNG")
    elif kind in ("16-bit grey", "16-bit RGB"):
        levels = deep(pixels[..., : 1 if kind == "16-bit grey" else 3])
        write_deep_png(path, levels)
        wanted = levels
    elif kind == "palette":
        image = Image.fromarray(pixels[..., 0])
        image.putpalette(np.random.default_rng(0).bytes(768))
        image.save(path, format="PNG")
        wanted = np.asarray(image.convert("RGB"))
    elif kind == "palette of 4 bits":
        image = Image.fromarray(pixels[..., 0] // 16)
        image.putpalette(np.random.default_rng(0).bytes(48))
        image.save(path, format="PNG", bits=4)
        wanted = np.asarray(image.convert("RGB"))
    elif kind == "black and white":
        wanted = (pixels[..., :1] > 127) * np.uint8(255)
        Image.fromarray(wanted[..., 0]).convert("1").save(path, format="PNG")
    else:
        mode = {"JPEG": "RGB", "grey JPEG": "L", "CMYK JPEG": "CMYK"}[kind]
        image = Image.fromarray(pixels[..., : len(mode)].squeeze(), mode)
        image.save(path, format="JPEG", quality=95)
        with Image.open(path) as saved:
            wanted = np.asarray(saved.convert("L" if mode == "L" else "RGB"))
    return wanted.reshape(31, 45, -1)


def write_deep_png(path, levels):
    """16 bits of any number of channels, which Pillow doesn't write."""
    path.write_bytes(tf.io.encode_png(tf.constant(levels, tf.uint16)).numpy())


KINDS = {
    "grey": 1,
    "grey and alpha": 2,
    "RGB": 3,
    "RGBA": 4,
    "16-bit grey": 1,
    "16-bit RGB": 3,
    "palette": 3,
    "palette of 4 bits": 3,
    "black and white": 1,
    "JPEG": 3,
    "grey JPEG": 1,
    "CMYK JPEG": 3,
}


def image_source(tmp_path, name, kind, **arguments):
    wanted = save_image(tmp_path / "images" / name, kind)
    save(tmp_path / "masks/a.png", np.zeros((31, 45), np.uint8))
    return read(tmp_path, **arguments), wanted


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("kind", KINDS)
def test_images_of_any_kind_are_read_whatever_their_name(tmp_path, kind, name):
    source, wanted = image_source(tmp_path, name, kind)
    assert wanted.shape[-1] == KINDS[kind]
    # CMYK becomes RGB by a product of two bytes, which is rounded here or there.
    tolerance = 1 if kind == "CMYK JPEG" else 0
    image = source[0][0]
    assert image.shape == wanted.shape
    np.testing.assert_allclose(image.astype(int), wanted, rtol=0, atol=tolerance)


def test_images_and_masks_of_all_kinds_are_the_same_in_batches(tmp_path):
    """There TensorFlow traces the reader once, for all files."""
    of_8_bits = [kind for kind in KINDS if not kind.startswith("16-bit")]
    for k, kind in enumerate(of_8_bits):
        save_image(tmp_path / f"images/{k:02}.png", kind)
    ids = some_ids([0, 1, 2], size=(31, 45))
    colored = Image.fromarray(np.array(COLORS, np.uint8)[ids])
    (tmp_path / "masks").mkdir()
    grey, deep_grey = (Image.fromarray(ids.astype(t)) for t in (np.uint8, np.uint16))
    indices = grey.copy()
    indices.putpalette(np.uint8(COLORS).tobytes())
    for k in range(len(of_8_bits)):
        mask = (colored, grey, deep_grey, indices)[k % 4]
        mask.save(tmp_path / f"masks/{k:02}.png", bits=2 if mask is indices else 8)
    for arguments in ({}, {"ids": [1, 2, 0]}):
        source = read(tmp_path, palette=COLORS, channels=3, **arguments)
        batches = list(source.batches(5, size=(31, 45)))
        images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
        expected = (ids + 2) % 3 if arguments else ids
        for k, (image, mask) in enumerate(source):
            np.testing.assert_array_equal(images[k], image)
            np.testing.assert_array_equal(labels[k], mask)
            np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_three_channels_are_made_of_any(tmp_path, kind):
    source, wanted = image_source(tmp_path, "a.png", kind, channels=3)
    if KINDS[kind] < 3:
        wanted = np.repeat(wanted[..., :1], 3, axis=-1)
    image = source[0][0]
    np.testing.assert_allclose(image.astype(int), wanted[..., :3], rtol=0, atol=1)


@pytest.mark.parametrize(
    ("kind", "channels"),
    [(kind, c) for kind, c in itertools.product(KINDS, (1, 2, 4)) if KINDS[kind] != c],
)
def test_another_number_of_channels_is_an_error_by_name(tmp_path, kind, channels):
    source, _ = image_source(tmp_path, "a.png", kind, channels=channels)
    with pytest.raises(ValueError, match=rf"images/a\.png: .*{channels} channel"):
        source[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_the_slice_of_the_whole(tmp_path, kind):
    source, _ = image_source(tmp_path, "a.png", kind)
    whole = source[0][0].astype(int)
    for top, left, height, width in ((0, 0, 31, 45), (3, 4, 20, 30), (30, 44, 1, 1)):
        window = source._image(tf.constant(0), tf.constant((top, left, height, width)))
        expected = whole[top : top + height, left : left + width]
        assert window.shape == expected.shape
        # JPEG's colours in the first and last column have no neighbours there.
        tolerance = 20 if kind == "JPEG" else 0
        np.testing.assert_array_equal(window[:, 1:-1], expected[:, 1:-1])
        np.testing.assert_allclose(
            window.numpy().astype(int), expected, rtol=0, atol=tolerance
        )


def test_channels_are_those_of_the_first_image(tmp_path):
    for name, kind in (("a", "grey"), ("b", "RGB")):
        save_image(tmp_path / f"images/{name}.png", kind)
        save(tmp_path / f"masks/{name}.png", np.zeros((31, 45), np.uint8))
    source = read(tmp_path)
    assert source[0][0].shape == (31, 45, 1)
    with pytest.raises(
        ValueError, match=r"b\.png: .*1 channel\. Received: 3.*channels"
    ):
        source[1]
    assert read(tmp_path, channels=3)[1][0].shape == (31, 45, 3)


def test_a_photo_that_viewers_turn_is_an_error_that_says_why(tmp_path):
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    image = Image.fromarray(waves(*SIZE, 3))
    image.save(tmp_path / "images/a.jpg", exif=exif)
    save(tmp_path / "masks/a.png", np.zeros(SIZE[::-1], np.uint8))
    source = read(tmp_path)
    message = r"a\.jpg: .*image 9 x 13, mask 13 x 9.*EXIF"
    with pytest.raises(ValueError, match=message):
        source[0]
    augment = data.standard_augmentation()
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(source.batches(1, size=(8, 8), augment=augment))
