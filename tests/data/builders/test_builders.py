import io
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_seg import data
from keras_seg.data.builders import CocoSegmentation, VocSegmentation

SPLITS = ["train", "val", "trainval", "train_aug"]


def prepared(builder, manual_dir, **options):
    config = tfds.download.DownloadConfig(manual_dir=manual_dir, **options)
    builder.download_and_prepare(download_config=config)
    return builder


@pytest.fixture(scope="module")
def voc(voc_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    return prepared(VocSegmentation(data_dir=folder), voc_folder)


@pytest.fixture(scope="module", params=["voc", "coco", "panoptic"])
def coco(request, coco_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    return prepared(
        CocoSegmentation(config=request.param, data_dir=folder), coco_folder
    )


def coco_source(root, config, split):
    annotations = root / "annotations"
    if config == "panoptic":
        path = annotations / f"panoptic_{split}2017.json"
        return data.coco_panoptic(root / f"{split}2017", path)
    path = annotations / f"instances_{split}2017.json"
    return data.coco(root / f"{split}2017", path, classes=config)


def assert_holds(builder, split, source):
    """All of a source, the masks and the images' files, and nothing else."""
    names = {name: index for index, name in enumerate(source.names)}
    decoders = {"image": tfds.decode.SkipDecoding()}
    for example in builder.as_dataset(split, decoders=decoders).as_numpy_iterator():
        index = names.pop(example["file_name"].decode())
        mask = example["segmentation_mask"]
        np.testing.assert_array_equal(mask[..., 0], source[index][1])
        with open(source.image_file(index), "rb") as file:
            assert example["image"] == file.read()
    assert not names


@pytest.mark.parametrize("split", SPLITS)
def test_a_set_of_voc_is_what_voc_reads(voc, voc_folder, split):
    assert_holds(voc, split, data.voc(voc_folder / "VOCdevkit/VOC2012", split))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_set_of_coco_is_what_coco_reads(coco, coco_folder, split):
    source = coco_source(coco_folder, coco.builder_config.name, split)
    assert_holds(coco, split, source)


def test_names_of_classes_are_kept_on_disk(coco, coco_folder):
    source = coco_source(coco_folder, coco.builder_config.name, "val")
    again = tfds.builder_from_directory(coco.data_dir)
    names = again.info.features["segmentation_mask"].names
    assert names == list(source.class_names)
    assert (
        len(names) == {"voc": 21, "coco": 81, "panoptic": 133}[coco.builder_config.name]
    )


def test_masks_are_grey_pngs_that_anyone_reads(voc, voc_folder):
    skip = {"segmentation_mask": tfds.decode.SkipDecoding()}
    source = data.voc(voc_folder / "VOCdevkit/VOC2012", "val")
    for example in voc.as_dataset("val", decoders=skip).as_numpy_iterator():
        index = source.names.index(example["file_name"].decode())
        with Image.open(io.BytesIO(example["segmentation_mask"])) as png:
            assert (png.format, png.mode) == ("PNG", "L")
            np.testing.assert_array_equal(np.asarray(png), source[index][1])


def test_tfds_load_knows_the_sets_after_the_import(voc):
    root = voc.data_path.parent.parent
    loaded = tfds.load("voc_segmentation", split="val", data_dir=root, download=False)
    assert len(loaded) == 2


@pytest.mark.parametrize("place", ["VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_manual_folder_may_be_an_inner_one(voc_folder, tmp_path, place):
    builder = prepared(VocSegmentation(data_dir=tmp_path), voc_folder / place)
    assert builder.info.splits["trainval"].num_examples == 5


def test_a_split_without_a_list_is_left_out(voc_folder, tmp_path):
    root = tmp_path / "VOC2012"
    (root / "ImageSets").mkdir(parents=True)
    for name in ("JPEGImages", "SegmentationClass"):
        (root / name).symlink_to(voc_folder / "VOCdevkit/VOC2012" / name)
    lists = root / "ImageSets/Segmentation"
    lists.mkdir()
    there = voc_folder / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    (lists / "val.txt").write_bytes(there.read_bytes())
    builder = prepared(VocSegmentation(data_dir=tmp_path / "tfds"), tmp_path)
    assert list(builder.info.splits) == ["val"]


def test_without_a_manual_folder_voc_and_sbd_are_downloaded(voc_folder, tmp_path):
    # A copy: train_aug.txt is written from SBD's lists.
    root = tmp_path / "voc/VOCdevkit/VOC2012"
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    there = voc_folder / "VOCdevkit/VOC2012"
    for name in ("JPEGImages", "SegmentationClass"):
        (root / name).symlink_to(there / name)
    for split in ("train", "val", "trainval"):
        name = f"ImageSets/Segmentation/{split}.txt"
        (root / name).write_bytes((there / name).read_bytes())
    write_sbd(tmp_path / "sbd/benchmark_RELEASE/dataset", there)

    asked = {}

    def download(_, urls):
        asked.update(urls)
        return {name: str(tmp_path / name) for name in urls}

    manager = tfds.download.DownloadManager
    with mock.patch.object(manager, "download_and_extract", download):
        builder = prepared(VocSegmentation(data_dir=tmp_path / "tfds"), tmp_path / "no")
    assert asked["voc"].startswith("http://host.robots.ox.ac.uk/pascal/VOC/voc2012/")
    assert asked["sbd"].endswith("/semantic_contours/benchmark.tgz")
    # SBD's masks of validation images aren't in it.
    assert_holds(builder, "train_aug", data.voc(there, "train_aug"))


def test_the_list_of_sbd_is_made_in_the_manual_folder(voc_folder, tmp_path):
    there = voc_folder / "VOCdevkit/VOC2012"
    root = tmp_path / "VOCdevkit/VOC2012"
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    for name in ("JPEGImages", "SegmentationClass"):
        (root / name).symlink_to(there / name)
    for split in ("train", "val", "trainval"):  # all that VOC's own archive has
        name = f"ImageSets/Segmentation/{split}.txt"
        (root / name).write_bytes((there / name).read_bytes())
    write_sbd(tmp_path / "benchmark_RELEASE/dataset", there)
    builder = prepared(VocSegmentation(data_dir=tmp_path / "tfds"), tmp_path)
    assert_holds(builder, "train_aug", data.voc(there, "train_aug"))


def write_sbd(folder, root):
    """SBD's files: two images to train, one of which is VOC's, and one of VOC's val."""
    (folder / "cls").mkdir(parents=True)
    (folder / "train.txt").write_text("sbd_000000\ntrain_000001\n")
    (folder / "val.txt").write_text("val_000001\n")
    ids = data.voc(root, "train_aug")[3][1].astype(np.uint8)
    savemat = pytest.importorskip("scipy.io", reason="SciPy isn't installed").savemat
    savemat(folder / "cls/sbd_000000.mat", {"GTcls": {"Segmentation": ids}})


@pytest.mark.parametrize("config", ["coco", "panoptic"])
def test_without_a_manual_folder_coco_is_downloaded(coco_folder, tmp_path, config):
    zipped = {}
    for path in (coco_folder / "annotations").iterdir():
        place = tmp_path / "annotations" / path.name
        if path.is_dir():  # in the panoptic zip the PNGs are zipped once more
            zipped[str(place) + ".zip"] = tmp_path / f"zip_{path.name}"
            place = tmp_path / f"zip_{path.name}" / path.name
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(path)

    asked = []

    def download(_, urls):
        asked.extend([urls] if isinstance(urls, str) else urls.values())
        return (
            str(tmp_path) if isinstance(urls, str) else dict.fromkeys(urls, coco_folder)
        )

    with mock.patch.multiple(
        tfds.download.DownloadManager,
        download_and_extract=download,
        extract=lambda _, path: zipped[path],
    ):
        builder = CocoSegmentation(config=config, data_dir=tmp_path / "tfds")
        prepared(builder, tmp_path / "no")
    prefix = "panoptic_" if config == "panoptic" else ""
    assert [url.removeprefix("http://images.cocodataset.org/") for url in asked] == [
        "zips/train2017.zip",
        "zips/val2017.zip",
        f"annotations/{prefix}annotations_trainval2017.zip",
    ]
    assert_holds(builder, "val", coco_source(coco_folder, config, "val"))


def test_annotations_with_other_classes_are_an_error(coco_folder, tmp_path):
    (tmp_path / "annotations").mkdir()
    text = (coco_folder / "annotations/instances_val2017.json").read_text()
    path = tmp_path / "annotations/instances_val2017.json"
    path.write_text(text.replace('"toothbrush"', '"brush"'))
    (tmp_path / "val2017").symlink_to(coco_folder / "val2017")
    builder = CocoSegmentation(config="coco", data_dir=tmp_path / "tfds")
    with pytest.raises(ValueError, match=r"81 classes of coco_segmentation.*brush"):
        prepared(builder, tmp_path)


def test_no_annotations_are_an_error_that_names_them(coco_folder, tmp_path):
    (tmp_path / "annotations").mkdir()
    builder = CocoSegmentation(config="panoptic", data_dir=tmp_path / "tfds")
    with pytest.raises(FileNotFoundError, match=r"annotations/panoptic_val2017\.json"):
        prepared(builder, tmp_path)


def test_a_damaged_image_is_an_error_that_names_it(voc_folder, tmp_path):
    root = tmp_path / "VOC2012"
    (root / "JPEGImages").mkdir(parents=True)
    there = voc_folder / "VOCdevkit/VOC2012"
    for name in ("ImageSets", "SegmentationClass", "SegmentationClassAug"):
        (root / name).symlink_to(there / name)
    for path in (there / "JPEGImages").iterdir():
        cut = 200 if path.stem == "val_000001" else None
        (root / "JPEGImages" / path.name).write_bytes(path.read_bytes()[:cut])
    builder = VocSegmentation(data_dir=tmp_path / "tfds")
    with pytest.raises(ValueError, match=r"val_000001\.jpg: .*JPEG"):
        prepared(builder, tmp_path)
    assert not builder.is_prepared()


def records(builder, split):
    """The bytes of all examples, in order of the shards."""
    return [
        bytes(record)
        for record in builder.as_data_source(
            split,
            deserialize_method=tfds.core.decode.DeserializeMethod.RAW_BYTES,
        )
    ]


@pytest.mark.parametrize("shards", [1, 2])
def test_beam_makes_the_same_shards(coco_folder, tmp_path, shards):
    beam = pytest.importorskip("apache_beam", reason="apache-beam isn't installed")
    options = {"num_shards": shards}
    builders = [
        CocoSegmentation(
            config="voc", data_dir=tmp_path / name, file_format="array_record"
        )
        for name in ("alone", "beam")
    ]
    prepared(builders[0], coco_folder, **options)
    with mock.patch.object(beam, "Map", wraps=beam.Map) as mapped:
        prepared(
            builders[1],
            coco_folder,
            beam_options=beam.options.pipeline_options.PipelineOptions(
                ["--runner=DirectRunner"]
            ),
            **options,
        )
    assert mapped.called
    for split, count in {"train": 3, "val": 2}.items():
        alone, by_beam = (records(builder, split) for builder in builders)
        assert len(alone) == count
        assert alone == by_beam
