import contextlib
import hashlib
import re
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_seg import data
from keras_seg.data.builders import CocoSegmentation, VocSegmentation

pytestmark = pytest.mark.slow

SPLITS = ["train", "val", "trainval", "train_aug"]
SIZES = [(20, 30), (17, 25), (24, 16)]


class Trimaps(tfds.core.GeneratorBasedBuilder):
    """A set like oxford_iiit_pet: ids 1..3 without names; as PNGs, and no names."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = tfds.core.Path(__file__)

    def _info(self):
        mask = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
        rgb = tfds.features.Image(encoding_format="png")
        features = {
            "image": rgb,
            "segmentation_mask": mask,
            "instances": rgb,
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for index, (image, mask) in enumerate(zip(*trimaps(), strict=True)):
            # As scene_parse150 does: class in red, number of the object in blue.
            instances = np.stack([mask, 0 * mask, mask % 7], -1)
            yield (
                index,
                {
                    "image": image,
                    "segmentation_mask": mask[..., None],
                    "instances": instances,
                    "label": "dog",
                },
            )


def trimaps():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]
    masks = [rng.choice([1, 2, 3, 255], size).astype(np.uint8) for size in SIZES]
    return images, masks


# Of each example: number of a segment -> (class, is_crowd). The last one, whose split
# is "damaged", lacks segment 9.
SEGMENTS = [{70000: (2, 0), 513: (0, 0), 4: (1, 1)}, {1: (1, 0), 2**24 - 1: (0, 1)}, {}]


class Segments(tfds.core.GeneratorBasedBuilder):
    """A set like coco/2017_panoptic: colours are numbers of segments."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = tfds.core.Path(__file__)

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "panoptic_image": tfds.features.Image(encoding_format="png"),
            "panoptic_objects": tfds.features.Sequence(
                {
                    "id": np.int64,
                    "label": tfds.features.ClassLabel(names=["cat", "sky", "sea"]),
                    "is_crowd": np.bool_,
                }
            ),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples([0, 1]),
            "damaged": self._generate_examples([2]),
        }

    def _generate_examples(self, indices):
        for index in indices:
            numbers = segments()[index]
            colors = np.stack([numbers, numbers >> 8, numbers >> 16], -1) & 255
            yield (
                index,
                {
                    "image": np.zeros((*numbers.shape, 3), np.uint8),
                    "image/filename": f"{index}.jpg",
                    "panoptic_image": colors.astype(np.uint8),
                    "panoptic_objects": [
                        {"id": number, "label": label, "is_crowd": bool(crowd)}
                        for number, (label, crowd) in SEGMENTS[index].items()
                    ],
                },
            )


def segments():
    """Numbers of segments; 0 is none."""
    rng = np.random.default_rng(1)
    listed = [[0, *of_example] for of_example in SEGMENTS]
    listed[-1].append(9)
    return [rng.choice(n, size) for n, size in zip(listed, SIZES, strict=True)]


def prepare(builder, manual_dir=None):
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    builder.download_and_prepare(download_config=config)
    return str(builder.data_path).split(f"/{builder.name}/")[0]


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Folder of sets with the trimaps."""
    folder = tmp_path_factory.mktemp("tfds")
    return prepare(Trimaps(data_dir=folder, file_format="array_record"))


@pytest.fixture(scope="module")
def voc_like(tmp_path_factory):
    """A tree of VOC, and a folder of sets with voc_segmentation made of it."""
    root = tmp_path_factory.mktemp("voc") / "VOC2012"
    for seed, split in enumerate(["train", "val"]):
        data.write_voc(data.shapes(4, size=(24, 40), seed=seed), root, split)
    folder = tmp_path_factory.mktemp("tfds")
    builder = VocSegmentation(data_dir=folder, file_format="array_record")
    return root, prepare(builder, root)


def assert_same_pairs(source, expected):
    """The same images and masks, in any order."""
    assert digests(source) == digests(expected)


def digests(source):
    return sorted(
        (image.shape, hashlib.sha1(image.tobytes() + mask.tobytes()).hexdigest())
        for image, mask in source.dataset().as_numpy_iterator()
    )


NAMES = ["pet", "background", "border"]


def test_ids_are_shifted_but_255_is_not(pets):
    source = data.tfds("trimaps", "train", shift=-1, class_names=NAMES, data_dir=pets)
    images, masks = trimaps()
    # 255 - 1 would be 254, and the ids 1..3 would stay.
    masks = [np.where(mask == 255, 255, mask.astype(int) - 1) for mask in masks]
    assert_same_pairs(source, data.arrays(images, masks, class_names=NAMES))
    assert source.class_names == tuple(NAMES)


def test_an_id_without_a_class_is_an_error_that_names_the_example(pets):
    source = data.tfds("trimaps", "train", class_names=NAMES, data_dir=pets)
    with pytest.raises(
        ValueError, match=r"trimaps train, 0: .*ids 0\.\.2.*Received: 3"
    ):
        source[0]
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"trimaps train, 0: .*ids 0\.\.2.*Received: 3",
    ):
        list(source.dataset())


def test_an_id_without_a_class_is_an_error_that_names_the_file(voc_like):
    root, sets = voc_like
    source = data.tfds(
        "voc_segmentation", "train", class_names=["a", "b"], data_dir=sets
    )
    masks = dict(zip(*named_masks(root), strict=True))
    strange = {n for n, mask in masks.items() if np.isin(mask, range(2, 255)).any()}
    named = set()
    for index in range(len(source)):
        message = r"voc_segmentation train, (\w+): Expected .*ids 0\.\.1.*Received: "
        with contextlib.suppress(ValueError):
            source[index]
            continue
        with pytest.raises(ValueError, match=message) as error:
            source[index]
        named.add(re.search(message, str(error.value))[1])
    assert named == strange != set()


def named_masks(root):
    """The stems of a VOC tree, and their masks."""
    source = data.voc(root, "train")
    return source.names, [mask for _, mask in source]


def test_segments_have_their_classes_and_crowds_and_the_rest_255(tmp_path):
    sets = prepare(Segments(data_dir=tmp_path, file_format="array_record"))
    source = data.tfds("segments", "train", mask="panoptic_image", data_dir=sets)
    assert source.class_names == ("cat", "sky", "sea")
    masks = {mask.shape: mask for mask in source.masks().as_numpy_iterator()}
    for numbers, listed in list(zip(segments(), SEGMENTS, strict=True))[:2]:
        expected = np.full(numbers.shape, 255)
        for number, (label, crowd) in listed.items():
            expected[numbers == number] = 255 if crowd else label
        assert {*np.unique(expected)} > {255}
        np.testing.assert_array_equal(masks[numbers.shape], expected)
    damaged = data.tfds("segments", "damaged", mask="panoptic_image", data_dir=sets)
    with pytest.raises(ValueError, match=r"segments damaged, 2\.jpg: Expected segm"):
        damaged[0]


def test_a_split_of_no_examples_is_an_error(pets):
    with pytest.raises(ValueError, match=r"examples in 'train\[:0\]' of trimaps"):
        data.tfds("trimaps", "train[:0]", class_names=NAMES, data_dir=pets)


def test_ignored_ids_become_255_before_the_shift(pets):
    source = data.tfds(
        "trimaps", "train", shift=-2, ignore=1, class_names=NAMES[1:], data_dir=pets
    )
    images, masks = trimaps()
    masks = [np.choose(np.minimum(mask, 4) - 1, [255, 0, 1, 255]) for mask in masks]
    assert_same_pairs(source, data.arrays(images, masks, class_names=NAMES[1:]))


def test_ids_may_be_in_a_channel_of_colors(pets):
    arguments = {"mask": "instances", "shift": -1, "class_names": NAMES}
    source = data.tfds("trimaps", "train", channel=0, data_dir=pets, **arguments)
    plain = data.tfds("trimaps", "train", shift=-1, class_names=NAMES, data_dir=pets)
    for (_, mask), (_, expected) in zip(source, plain, strict=True):
        np.testing.assert_array_equal(mask, expected)
    with pytest.raises(ValueError, match=r"PNGs in RGB.*`channel`"):
        data.tfds("trimaps", "train", data_dir=pets, **arguments)


def test_a_set_without_names_of_classes_asks_for_them(pets):
    with pytest.raises(ValueError, match=r"Expected `class_names`.*segmentation_mask"):
        data.tfds("trimaps", "train", data_dir=pets)


@pytest.mark.parametrize("feature", ["image", "mask"])
@pytest.mark.parametrize("name", ["label", "nothing"])
def test_another_feature_is_an_error_that_lists_the_images(pets, feature, name):
    with pytest.raises(ValueError, match=rf"'{name}'\. There are.*'instances'"):
        data.tfds(
            "trimaps", "train", class_names=NAMES, data_dir=pets, **{feature: name}
        )


def test_a_window_is_that_of_the_image(pets):
    source = data.tfds("trimaps", "train", shift=-1, class_names=NAMES, data_dir=pets)
    window = source._pixels(1, np.array([3, 5, 7, 9], np.int32))
    np.testing.assert_array_equal(window, source[1][0][3:10, 5:14])


def test_any_index_is_read_in_any_order(pets):
    source = data.tfds("trimaps", "train", shift=-1, class_names=NAMES, data_dir=pets)
    pairs = list(source.dataset().as_numpy_iterator())
    for index in (2, 0, 1, 2):
        image, mask = source[index]
        np.testing.assert_array_equal(image, pairs[index][0])
        np.testing.assert_array_equal(mask, pairs[index][1])
    with pytest.raises(IndexError):
        source[3]


def test_a_set_of_our_builders_has_its_names_and_pixels(voc_like):
    root, sets = voc_like
    for split in ("train", "val"):
        source = data.tfds("voc_segmentation", split, data_dir=sets)
        expected = data.voc(root, split)
        assert source.class_names == expected.class_names
        assert_same_pairs(source, expected)


def test_parts_of_splits_are_tfdss(voc_like):
    _, sets = voc_like
    whole = data.tfds("voc_segmentation", "train", data_dir=sets)
    part = data.tfds("voc_segmentation", "train[50%:]", data_dir=sets)
    assert len(part) == 2
    np.testing.assert_array_equal(part[0][1], whole[2][1])
    both = data.tfds("voc_segmentation", "train+val", data_dir=sets)
    assert len(both) == 8


def test_batches_are_shuffled_and_augmented(voc_like):
    _, sets = voc_like
    source = data.tfds("voc_segmentation", "train", data_dir=sets)
    options = {"augment": data.standard_augmentation(), "shuffle": True, "seed": 3}
    batches = list(source.batches(2, size=(16, 16), **options))
    again = list(source.batches(2, size=(16, 16), **options))
    assert [images.shape for images, _ in batches] == [(2, 16, 16, 3)] * 2
    for (image, mask), (image_too, mask_too) in zip(batches, again, strict=True):
        np.testing.assert_array_equal(image, image_too)
        np.testing.assert_array_equal(mask, mask_too)


def test_a_set_that_is_not_there_is_made_in_array_record(voc_like, tmp_path):
    root, _ = voc_like
    manual = tmp_path / "downloads/manual"
    manual.mkdir(parents=True)
    (manual / "VOC2012").symlink_to(root)
    with pytest.raises(FileNotFoundError, match="tfds build voc_segmentation"):
        data.tfds("voc_segmentation", "val", data_dir=tmp_path, download=False)
    source = data.tfds("voc_segmentation", "val", data_dir=tmp_path)
    assert_same_pairs(source, data.voc(root, "val"))


def test_tfrecord_is_an_error_that_names_remedies_which_help(tmp_path):
    folder = prepare(Trimaps(data_dir=tmp_path / "a", file_format="tfrecord"))
    message = r"array_record.*tfrecord.*file_format=array_record.*data\.prepare"
    with pytest.raises(ValueError, match=message):
        data.tfds("trimaps", "train", class_names=NAMES, data_dir=folder)
    other = prepare(Trimaps(data_dir=tmp_path / "b", file_format="array_record"))
    data.tfds("trimaps", "train", shift=-1, class_names=NAMES, data_dir=other)[0]


def test_a_set_converted_as_the_error_says_is_read(voc_like, tmp_path, monkeypatch):
    pytest.importorskip("apache_beam", reason="apache-beam isn't installed")
    from tensorflow_datasets.scripts.cli import convert_format_utils

    root, _ = voc_like
    # A relative path, with which TFDS 4.9.10 does half of the work without an error.
    monkeypatch.chdir(tmp_path)
    prepare(VocSegmentation(data_dir="sets", file_format="tfrecord"), root)
    with pytest.raises(ValueError, match=r"--dataset_version_dir=/") as error:
        data.tfds("voc_segmentation", "train", data_dir="sets")
    folder = re.search(r"--dataset_version_dir=(\S+)", str(error.value))[1]
    convert_format_utils.convert_dataset(
        dataset_version_dir=folder, out_dir=None, out_file_format="array_record"
    )
    source = data.tfds("voc_segmentation", "train", data_dir="sets")
    assert_same_pairs(source, data.voc(root, "train"))


def coco_panoptic_of_tfds(folder, root):
    """TFDS's own coco/2017_panoptic, made of unpacked files."""
    manager = tfds.download.DownloadManager
    urls = mock.patch.object(
        manager, "download_and_extract", lambda _, urls: dict.fromkeys(urls, str(root))
    )
    builder = tfds.builder(
        "coco/2017_panoptic", data_dir=folder, file_format="array_record"
    )
    type(builder).code_path = tfds.core.Path(__file__)
    pngs = f"{root}/annotations"
    with urls, mock.patch.object(manager, "extract", return_value=pngs):
        return prepare(builder)


@pytest.fixture(scope="session")
def real_coco(real_voc):
    return real_voc.parent.parent / "coco"


@pytest.mark.real_data
def test_tfdss_panoptic_coco_is_read_as_coco_panoptic(real_coco, tmp_path):
    sets = coco_panoptic_of_tfds(tmp_path, real_coco)
    for split, name in {"train": "train2017", "validation": "val2017"}.items():
        source = data.tfds(
            "coco/2017_panoptic", split, mask="panoptic_image", data_dir=sets
        )
        path = real_coco / f"annotations/panoptic_{name}.json"
        expected = data.coco_panoptic(real_coco / name, path)
        assert source.class_names == expected.class_names
        assert_same_pairs(source, expected)


@pytest.mark.real_data
@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
@pytest.mark.parametrize("config", ["voc", "coco", "panoptic"])
def test_all_of_real_coco_is_equal(real_coco, tmp_path, config, file_format):
    name = f"coco_segmentation/{config}"
    builder = CocoSegmentation(
        config=config, data_dir=tmp_path, file_format=file_format
    )
    sets = prepare(builder, real_coco)
    for split in ("train", "val"):
        images = real_coco / f"{split}2017"
        if config == "panoptic":
            path = real_coco / f"annotations/panoptic_{split}2017.json"
            expected = data.coco_panoptic(images, path)
        else:
            path = real_coco / f"annotations/instances_{split}2017.json"
            expected = data.coco(images, path, classes=config)
        assert_reads_equal(name, split, sets, expected, file_format)


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_all_of_real_voc_is_equal(real_voc, tmp_path, file_format):
    sets = prepare(
        VocSegmentation(data_dir=tmp_path, file_format=file_format), real_voc
    )
    for split in SPLITS:
        expected = data.voc(real_voc, split)
        assert_reads_equal("voc_segmentation", split, sets, expected, file_format)


def assert_reads_equal(name, split, sets, expected, file_format):
    """`tfds.load`, which reads TFRecord, or `data.tfds`, against the files' Source."""
    if file_format == "tfrecord":
        loaded = tfds.load(name, split=split, data_dir=sets, download=False)
        found = {
            example["file_name"].decode(): example["segmentation_mask"][..., 0]
            for example in loaded.as_numpy_iterator()
        }
        assert sorted(found) == sorted(expected.names)
        for stem, mask in zip(expected.names, expected.masks(), strict=True):
            np.testing.assert_array_equal(found[stem], mask)
        return
    source = data.tfds(name, split, data_dir=sets)
    assert source.class_names == expected.class_names
    assert_same_pairs(source, expected)
