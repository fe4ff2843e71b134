"""Bad input works as one would expect, or is an error that names the file and why.

One table for all: never a wrong label, a hang, or a crash.
"""

import io
import json
import re
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data
from keras_seg.data.batches import _read_augmented
from keras_seg.data.checks import reason
from keras_seg.data.errors import explanation
from keras_seg.data.readers.voc import CLASS_NAMES
from keras_seg.palette import color_map

SIZE = HEIGHT, WIDTH = 20, 30
STEMS = ["a", "b", "c"]  # b is the bad one
# Reads by windows, as every augmentation does, and changes nothing.
AUGMENT = data.standard_augmentation(scale=(1.0, 1.0), flip=False, color=0.0)
RNG = np.random.default_rng(0)
PHOTO = np.uint8(127 + 100 * np.sin(np.arange(HEIGHT * WIDTH * 4) / 9)).reshape(
    HEIGHT, WIDTH, 4
)
IDS = RNG.choice([*range(21), 255], SIZE)


def png(pixels, **options):
    return saved(Image.fromarray(pixels), "PNG", **options)


def jpeg(pixels, mode=None, **options):
    return saved(Image.fromarray(pixels, mode), "JPEG", **options)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def indexed(ids, **options):
    image = Image.fromarray(ids.astype(np.uint8))
    image.putpalette(bytes(range(256)) * 3)
    return saved(image, "PNG", **options)


def chunks(contents):
    """The chunks of a PNG, [name, body] each."""
    place, found = 8, []
    while place < len(contents):
        (length,) = struct.unpack_from(">I", contents, place)
        found.append([contents[place + 4 : place + 8], contents[place + 8 :][:length]])
        place += length + 12
    return found


def joined(parts):
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def of_size(contents, width, height):
    """A PNG whose header says that it has another size."""
    parts = chunks(contents)
    parts[0][1] = struct.pack(">II", width, height) + parts[0][1][8:]
    return joined(parts)


def huge_jpeg(contents):
    """A JPEG whose header says that it has 65500 x 65500 pixels."""
    place = contents.index(b"\xff\xc0") + 5
    return contents[:place] + struct.pack(">HH", 65500, 65500) + contents[place + 4 :]


def flipped(contents, name, after=0):
    """A PNG with another byte in the first chunk of a name, its checksum as it was."""
    place = contents.index(name) + 4 + after
    return contents[:place] + bytes([contents[place] ^ 1]) + contents[place + 1 :]


def less_data(contents):
    """A PNG with correct checksums, and half of its pixels."""
    parts = chunks(contents)
    pixels = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    half = zlib.compress(pixels[: len(pixels) // 2])
    return joined([parts[0], [b"IDAT", half], [b"IEND", b""]])


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def animated(kind, frames):
    first, *more = (Image.fromarray(frame) for frame in frames)
    return saved(first, kind, save_all=True, append_images=more)


RGB, GREY = PHOTO[..., :3], PHOTO[..., 0]
DEEP = (RNG.integers(0, 2**16, (*SIZE, 3))).astype(np.uint16)
TEXT = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
TURNED = Image.fromarray(RGB.transpose(1, 0, 2))


def pillow_rgb(contents):
    with Image.open(io.BytesIO(contents)) as image:
        return np.asarray(image.convert("RGB"))


# What lies where an image should be, and what of it: what is wrong, or its pixels.
IMAGES = {
    "zero bytes": (b"", "an empty file"),
    "one byte": (b"\xff", "begins with"),
    "a JPEG's first bytes": (jpeg(RGB)[:2], "JPEG"),
    "JPEG cut in its header": (jpeg(RGB)[:100], "JPEG"),
    "JPEG cut in half": (jpeg(RGB)[: len(jpeg(RGB)) // 2], "JPEG"),
    "PNG's first bytes": (png(RGB)[:8], "cut"),
    "PNG cut in its header": (png(RGB)[:30], "cut"),
    "PNG cut in half": (png(RGB)[: len(png(RGB)) // 2], "PNG"),
    "PNG, broken checksum": (flipped(png(RGB), b"IDAT", 20), "PNG"),
    "PNG, broken header": (flipped(png(RGB), b"IHDR", 3), "PNG"),
    "PNG with half its pixels": (less_data(png(RGB)), "PNG"),
    "PNG of 0 x 0": (of_size(png(RGB), 0, 0), "PNG"),
    "PNG of huge size": (of_size(png(RGB), 2**31 - 1, 2**31 - 1), "PNG"),
    "PNG of large size": (of_size(png(RGB), 30_000, 30_000), "PNG"),
    "JPEG of huge size": (
        huge_jpeg(jpeg(RGB)),
        "Invalid JPEG|65500 x 65500",  # decoded whole, or its window
    ),
    "animated GIF": (animated("GIF", [RGB, RGB + 1]), "a GIF"),
    "BMP": (saved(Image.fromarray(RGB), "BMP"), "a BMP"),
    "TIFF": (saved(Image.fromarray(RGB), "TIFF"), "a TIFF"),
    "WebP": (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP"),
    "a web page": (b"<!DOCTYPE html><html>Not found</html>", "begins with b'<!DOC"),
    "a pointer to the file": (TEXT, "begins with b'version"),
    "another size": (jpeg(RGB[:-1]), "image 19 x 30, mask 20 x 30"),
    "one pixel": (png(RGB[:1, :1]), "image 1 x 1, mask 20 x 30"),
    "EXIF rotation": (
        saved(TURNED, "JPEG", exif=turned(6)),
        "image 30 x 20, mask 20 x 30.*EXIF",
    ),
    "EXIF, upside down": (jpeg(RGB, exif=turned(3)), pillow_rgb),
    "JPEG": (jpeg(RGB), pillow_rgb),
    "PNG": (png(RGB), pillow_rgb),
    "progressive JPEG": (jpeg(RGB, progressive=True), pillow_rgb),
    "grey JPEG": (jpeg(GREY), pillow_rgb),
    "CMYK JPEG": (jpeg(PHOTO, "CMYK"), pillow_rgb),
    "JPEG with more behind": (jpeg(RGB) + b"more", pillow_rgb),
    "grey PNG": (png(GREY), pillow_rgb),
    "grey and alpha": (png(PHOTO[..., :2]), pillow_rgb),
    "alpha channel": (png(PHOTO), pillow_rgb),
    "palette": (indexed(GREY), pillow_rgb),
    "palette with a clear colour": (indexed(GREY, transparency=3), pillow_rgb),
    "RGB with a clear colour": (png(RGB, transparency=(1, 2, 3)), pillow_rgb),
    "PNG with more behind": (png(RGB) + b"more", pillow_rgb),
    "animated PNG": (animated("PNG", [RGB, RGB + 1]), pillow_rgb),
    "16 bits": (tf.io.encode_png(DEEP).numpy(), "uint8, as the first .*16 bits"),
    "missing": (None, "No such file"),
    "a folder": ("folder", "Is a directory"),
}


def pillow(contents):
    with Image.open(io.BytesIO(contents)) as image:
        return np.asarray(image)


def as_grey(ids):
    """A VOC mask as Pillow makes it grey."""
    image = Image.fromarray(ids.astype(np.uint8))
    image.putpalette(color_map(256).tobytes())
    return saved(image.convert("L"), "PNG")


FOUR_BITS = np.where(IDS > 15, 1, IDS)
STRAY = np.where(IDS == 3, 21, IDS)
MASKS = {
    "zero bytes": (b"", "an empty file"),
    "cut in its header": (indexed(IDS)[:30], "cut"),
    "cut in its palette": (indexed(IDS)[:300], "cut"),
    "cut in half": (indexed(IDS)[:1000], "PNG"),
    "broken checksum": (flipped(indexed(IDS), b"IDAT", 20), "PNG"),
    "broken header": (flipped(indexed(IDS), b"IHDR", 3), "PNG"),
    "half its pixels": (less_data(indexed(IDS)), "PNG"),
    "0 x 0": (of_size(indexed(IDS), 0, 0), "PNG"),
    "huge size": (of_size(indexed(IDS), 2**31 - 1, 2**31 - 1), "PNG"),
    "another declared height": (of_size(indexed(IDS), 30, 21), "PNG"),
    "JPEG": (jpeg(IDS.astype(np.uint8)), "Expected a label PNG. Received: a JPEG"),
    "animated GIF": (animated("GIF", [GREY, RGB[..., 1]]), "a GIF"),
    "a pointer to the file": (TEXT, "begins with b'version"),
    "RGB": (png(RGB), "Save class ids, not their colours"),
    "alpha channel": (png(PHOTO), "Save class ids, not their colours"),
    "grey and alpha": (png(PHOTO[..., :2]), "Save class ids"),
    "label 21 of 21": (indexed(STRAY), r"ids 0\.\.20, or 255.*Received: 21\."),
    "label 254": (indexed(np.where(IDS == 3, 254, IDS)), "Received: 254"),
    "16 bits, label 300": (png(np.where(IDS == 3, 300, IDS).astype(np.uint16)), "300"),
    "16 bits, label 256": (png(np.where(IDS == 3, 256, IDS).astype(np.uint16)), "256"),
    "resized smoothly": (png(GREY), "resized smoothly"),
    "palette saved as grey": (as_grey(IDS), "a palette mask was saved as grey"),
    "another size": (indexed(IDS[:-1]), "image 20 x 30, mask 19 x 30"),
    "turned": (indexed(IDS.T), "image 20 x 30, mask 30 x 20"),
    "one pixel": (indexed(IDS[:1, :1]), "mask 1 x 1"),
    "palette": (indexed(IDS), pillow),
    "grey": (png(IDS.astype(np.uint8)), pillow),
    "4-bit palette": (indexed(FOUR_BITS, bits=4), pillow),
    "2-bit palette": (indexed(IDS % 4, bits=2), pillow),
    "1-bit palette": (indexed(IDS % 2, bits=1), pillow),
    "1-bit grey": (png(IDS % 2 == 1), pillow),
    "16 bits": (png(IDS.astype(np.uint16)), pillow),
    "a clear id": (indexed(IDS, transparency=3), pillow),
    "more behind": (indexed(IDS) + b"more", pillow),
    "nothing labelled": (indexed(np.full(SIZE, 255)), pillow),
    "missing": (None, "No such file"),
    "a folder": ("folder", "Is a directory"),
}


class Reader:
    """A source of three examples, and what reads their files anew each time.

    `read` is what `batches` makes of an example: in a graph, `in_graph`, and once more
    without one to explain what failed there.
    """

    def __init__(self, source, images, masks):
        self.source = source
        self.files = {"image": images, "mask": masks}
        self.good = {kind: path.read_bytes() for kind, path in self.files.items()}
        self.batches = source.batches(1, size=SIZE, augment=AUGMENT)
        index = tf.TensorSpec((), tf.int64)
        self.in_graph = tf.function(self.read, input_signature=[index])

    def read(self, index):
        seed = tf.stack([tf.zeros_like(index), index])
        return _read_augmented(self.source, index, AUGMENT, SIZE, seed)

    def put(self, kind, contents):
        """Write what is bad to the example b."""
        path = self.files[kind]
        path.unlink()
        if contents == "folder":
            path.mkdir()
        elif contents is not None:
            path.write_bytes(contents)

    def mend(self):
        for kind, path in self.files.items():
            if path.is_dir():
                path.rmdir()
            path.write_bytes(self.good[kind])


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    found = {}
    for name in ("voc", "folder", "renamed"):
        root = tmp_path_factory.mktemp(name)
        suffix = ".png" if name == "renamed" else ".jpg"
        for stem in STEMS:
            write(root / f"JPEGImages/{stem}{suffix}", jpeg(RGB))
            write(root / f"SegmentationClass/{stem}.png", indexed(IDS))
        images, masks = root / "JPEGImages", root / "SegmentationClass"
        if name == "voc":
            write(root / "ImageSets/Segmentation/train.txt", b"a\nb\nc\n")
            source = data.voc(root)
        else:
            source = data.folder(images, masks, class_names=CLASS_NAMES)
        found[name] = Reader(source, images / f"b{suffix}", masks / "b.png")
    return found


def write(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


@pytest.fixture
def reader(readers, request):
    yield readers[request.param]
    readers[request.param].mend()


# Those that other readers than the first read in another way, or as well.
IN_BATCHES = [
    *[("image", name, "renamed") for name in ("JPEG", "PNG", "JPEG cut in half")],
    *[("image", name, "voc") for name in ("JPEG cut in half", "EXIF rotation")],
    *[("mask", name, "folder") for name in ("label 21 of 21", "broken checksum")],
    ("mask", "palette", "voc"),
]
CASES = [
    *[("image", name, "folder") for name in IMAGES],
    *[("mask", name, "voc") for name in MASKS],
    *IN_BATCHES[:-1],
]


def outcome_of(reader, kind, name):
    """The pixels that are read of a case, or a pattern of the whole error."""
    contents, outcome = (IMAGES if kind == "image" else MASKS)[name]
    if not isinstance(outcome, str):
        return outcome(contents).astype(int)
    # That sizes differ is said of the image, all else of the file itself.
    named = "image" if re.search(r"mask \d+ x", outcome) else kind
    return rf"^{reader.files[named]}: .*({outcome})"


@pytest.mark.parametrize(("kind", "name", "reader"), CASES, indirect=["reader"])
def test_a_file_is_read_right_or_an_error_by_name(reader, kind, name):
    reader.put(kind, (IMAGES if kind == "image" else MASKS)[name][0])
    outcome = outcome_of(reader, kind, name)
    if isinstance(outcome, str):
        with pytest.raises(ValueError, match=outcome):
            reader.source[1]
        # TensorFlow's words may hold bytes of the file, which Python can't read.
        with pytest.raises((tf.errors.OpError, UnicodeDecodeError)):
            reader.in_graph(1)
        assert re.search(outcome, explanation(reader.read, 1, str))
        return
    image, mask = reader.source[1]
    # CMYK becomes RGB by products, which are rounded here or there.
    tolerance = 1 if name == "CMYK JPEG" else 0
    found = image if kind == "image" else mask
    np.testing.assert_allclose(found.astype(int), outcome, rtol=0, atol=tolerance)
    for part, whole in zip(reader.in_graph(1), (image, mask), strict=True):
        np.testing.assert_array_equal(part, whole)


@pytest.mark.parametrize(("kind", "name", "reader"), IN_BATCHES, indirect=["reader"])
def test_batches_have_the_pixels_or_the_error_too(reader, kind, name):
    reader.put(kind, (IMAGES if kind == "image" else MASKS)[name][0])
    outcome = outcome_of(reader, kind, name)
    if isinstance(outcome, str):
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            list(reader.batches)
        assert re.search(outcome, reason(error.value))
        return
    _, (images, masks), _ = reader.batches
    found = images if kind == "image" else masks
    np.testing.assert_array_equal(found[0], outcome)


def plain_tree(root):
    for stem in STEMS:
        write(root / f"JPEGImages/{stem}.jpg", jpeg(RGB))
        write(root / f"SegmentationClass/{stem}.png", indexed(IDS))
    write(root / "ImageSets/Segmentation/train.txt", b"a\nb\nc\n")


def listing(contents):
    def change(root):
        write(root / "ImageSets/Segmentation/train.txt", contents)

    return change


def gone(name):
    return lambda root: (root / name).unlink()


def more(name, contents=b""):
    return lambda root: write(root / name, contents)


# What is changed about files, what each reader says or which stems it reads.
TREES = {
    "orphan image": (gone("SegmentationClass/b.png"), "b.png", "without a mask: b"),
    "orphan mask": (gone("JPEGImages/b.jpg"), "b.jpg", "without an image: b"),
    "image too many": (more("JPEGImages/d.jpg"), "a b c", "without a mask: d"),
    "duplicate stem": (more("JPEGImages/b.png"), "a b c", r"stem 'b'.*b\."),
    "HEIC": (more("JPEGImages/d.heic"), "a b c", "d.heic.*Convert"),
    "hidden file": (more("JPEGImages/._b.jpg"), "a b c", "a b c"),
    "list of the system's": (more("JPEGImages/Thumbs.db"), "a b c", "a b c"),
    "hidden folder": (more("JPEGImages/.cache/b.jpg"), "a b c", "a b c"),
    "a stem that is nowhere": (listing(b"a\nd\n"), "d.jpg", "Missing: d"),
    "no stems": (listing(b"\n \n"), *["stems in .*train.txt, one a line"] * 2),
    "two columns": (listing(b"a.jpg a.png\n"), "a.jpg a.png", "Missing: a.jpg a"),
    "`..`": (listing(b"a\n../JPEGImages/b\n"), r"\.\./JPEGImages/b", "Missing: \\.\\."),
    "blank lines": (listing(b"\n\nb\n\na\n\n"), "b a", "b a"),
    "trailing spaces": (listing(b"b  \na\t\n"), "b a", "b a"),
    "Windows line ends": (listing(b"b\r\na\r\n"), "b a", "b a"),
    "byte order mark": (listing(b"\xef\xbb\xbfb\na"), "b a", "b a"),
    "UTF-16": (listing("b\na".encode("utf-16")), *["train.txt: .*UTF-8"] * 2),
    "repeats": (listing(b"b\na\nb\n"), "b a b", "b a b"),
    "no list": (
        gone("ImageSets/Segmentation/train.txt"),
        *["Expected the split file .*train.txt"] * 2,
    ),
}


@pytest.mark.parametrize(("change", "of_voc", "of_folder"), TREES.values(), ids=TREES)
def test_files_are_paired_right_or_an_error_by_name(
    tmp_path, change, of_voc, of_folder
):
    plain_tree(tmp_path)
    change(tmp_path)
    split = tmp_path / "ImageSets/Segmentation/train.txt"
    in_list = b"a\nb\nc\n" if not split.exists() else split.read_bytes()
    folders = tmp_path / "JPEGImages", tmp_path / "SegmentationClass"
    only_list = in_list != b"a\nb\nc\n" or not split.exists()
    arguments = {"class_names": CLASS_NAMES, "split": split if only_list else None}
    for read, outcome in (
        (lambda: data.voc(tmp_path), of_voc),
        (lambda: data.folder(*folders, **arguments), of_folder),
    ):
        if set(outcome) <= set("abc "):
            source = read()
            assert list(source.names) == outcome.split()
            np.testing.assert_array_equal(source[0][1], IDS)
        else:
            with pytest.raises((ValueError, FileNotFoundError), match=outcome):
                read()


def instances(segmentation=None, **changed):
    """A JSON of one image; other cases are in `test_coco`."""
    thing = {"id": 5, "image_id": 1, "category_id": 1, "segmentation": segmentation}
    content = {
        "images": [{"id": 1, "file_name": "b.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": [thing],
        "categories": [{"id": 1, "name": "cat"}],
    }
    return json.dumps(content | changed).encode()


TRIANGLE = [[1, 1, 9, 1, 9, 9]]
JSONS = {
    "cut": (instances(TRIANGLE)[:-9], "Expected a whole JSON"),
    "no annotations": (instances(annotations=[]), "Expected annotations"),
    "category missing": (
        instances(TRIANGLE, categories=[{"id": 2, "name": "dog"}]),
        r"annotations\[0\] \(id 5\) with category_id 1,",
    ),
    "image missing": (
        instances(
            TRIANGLE,
            images=json.loads(
                '[{"id": 1, "file_name": "d.jpg", "height": 20, "width": 30}]'
            ),
        ),
        "d.jpg",
    ),
    "RLE of wrong size": (
        instances({"size": [30, 20], "counts": [600]}),
        "b.jpg: annotations.*: Expected runs of an image of 20 x 30",
    ),
    "polygon with two points": (
        instances([[1, 1, 9, 9]]),
        r"Received: 1 of 1 objects without one, .*annotations\[0\] \(id 5\) of b.jpg",
    ),
}


@pytest.mark.parametrize(("contents", "message"), JSONS.values(), ids=JSONS)
def test_a_bad_json_is_an_error_by_name(tmp_path, contents, message):
    write(tmp_path / "b.jpg", jpeg(RGB))
    path = tmp_path / "instances.json"
    path.write_bytes(contents)

    def read():
        source = data.coco(tmp_path, path, classes="coco")
        list(source.batches(1, size=SIZE, augment=AUGMENT))

    errors = ValueError, FileNotFoundError, tf.errors.InvalidArgumentError
    with pytest.raises(errors, match=message) as error:
        read()
    assert "instances.json" in str(error.value)
