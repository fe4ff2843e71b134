"""MS COCO 2017 with masks, as a set of TensorFlow Datasets."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from keras_seg.data.builders.base import Recipe, SegmentationBuilder, manual_folder
from keras_seg.data.readers.coco.classes import THINGS
from keras_seg.data.readers.coco.instances import coco
from keras_seg.data.readers.coco.panoptic import coco_panoptic
from keras_seg.data.readers.voc import CLASS_NAMES as VOC

_SITE = "http://images.cocodataset.org"
_SPLITS = {"train": "train2017", "val": "val2017"}

#: The 53 kinds of stuff of the panoptic annotations, in order of their ids.
STUFF = (
    *("banner", "blanket", "bridge", "cardboard", "counter", "curtain", "door-stuff"),
    *("floor-wood", "flower", "fruit", "gravel", "house", "light", "mirror-stuff"),
    *("net", "pillow", "platform", "playingfield", "railroad", "river", "road", "roof"),
    *("sand", "sea", "shelf", "snow", "stairs", "tent", "towel", "wall-brick"),
    *("wall-stone", "wall-tile", "wall-wood", "water-other", "window-blind"),
    *("window-other", "tree-merged", "fence-merged", "ceiling-merged"),
    *("sky-other-merged", "cabinet-merged", "table-merged", "floor-other-merged"),
    *("pavement-merged", "mountain-merged", "grass-merged", "dirt-merged"),
    *("paper-merged", "food-other-merged", "building-other-merged", "rock-merged"),
    *("wall-other-merged", "rug-merged"),
)


@dataclasses.dataclass(kw_only=True)
class CocoConfig(tfds.core.BuilderConfig):
    """A choice of annotations and classes."""

    class_names: Sequence[str] = ()
    panoptic: bool = False


class CocoSegmentation(SegmentationBuilder):
    """Images of COCO 2017 and masks, equal to `data.coco` and `data.coco_panoptic`.

    Configs: "voc" (objects of VOC's 21 classes), "coco" (of 81), "panoptic" (133
    classes of things and stuff). Splits: train and val, whichever have annotations in
    the manual folder.
    """

    # TFDS finds it with a package, importlib_resources, that it doesn't require.
    code_path = tfds.core.Path(__file__)
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Images, masks and names."}
    BUILDER_CONFIGS = [
        CocoConfig(
            name="voc",
            description="Objects of VOC's classes: 21 with the background.",
            class_names=VOC,
        ),
        CocoConfig(
            name="coco",
            description="Objects of all classes: 81 with the background.",
            class_names=("background", *THINGS),
        ),
        CocoConfig(
            name="panoptic",
            description="Things and stuff: 133 classes, no background.",
            class_names=(*THINGS, *STUFF),
            panoptic=True,
        ),
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "voc"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    COCO's zip files, unpacked, here or in a folder coco: train2017/*.jpg,
    val2017/*.jpg and annotations/instances_train2017.json, instances_val2017.json; or
    for panoptic annotations/panoptic_train2017.json with the folder
    panoptic_train2017 of its PNGs, and the same of val2017. Without the folder they
    are downloaded.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.describe(
            self.builder_config.class_names,
            description="MS COCO 2017: images and masks of classes. Pixels under two "
            "objects, and those of a crowd, are 255.",
            homepage="https://cocodataset.org",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        kind = "panoptic" if self.builder_config.panoptic else "instances"
        root = manual_folder(dl_manager, "annotations", (".", "coco"))
        if root is None:
            logging.info("No COCO annotations in the manual folder: downloading.")
            images, annotations = self._download(dl_manager)
        else:
            images = dict.fromkeys(_SPLITS.values(), root)
            annotations = dict.fromkeys(_SPLITS.values(), f"{root}/annotations")

        splits = {}
        for split, folder in _SPLITS.items():
            path = os.path.join(annotations[folder], f"{kind}_{folder}.json")
            if not tf.io.gfile.exists(path):
                logging.warning("No %s: no split %s.", path, split)
                continue
            arguments = (
                ("images", os.path.join(images[folder], folder)),
                ("annotations", path),
            )
            if self.builder_config.panoptic:
                recipe = Recipe(coco_panoptic, arguments)
            else:
                classes = self.builder_config.name
                recipe = Recipe(coco, (*arguments, ("classes", classes)))
            splits[split] = self._generate_examples(recipe)
        if not splits:
            raise FileNotFoundError(
                f"Expected {path} or that of train2017. There is neither."
            )
        return splits

    def _download(self, dl_manager: Any) -> tuple[dict[str, str], dict[str, str]]:
        """Folders of the images and of the annotations, by name of the images' zip."""
        panoptic = self.builder_config.panoptic
        zipped = f"{'panoptic_' if panoptic else ''}annotations_trainval2017"
        urls = {folder: f"{_SITE}/zips/{folder}.zip" for folder in _SPLITS.values()}
        images = dl_manager.download_and_extract(urls)
        root = dl_manager.download_and_extract(f"{_SITE}/annotations/{zipped}.zip")
        annotations = os.path.join(root, "annotations")
        if panoptic:  # the zip has zips of PNGs in it: unpack them where they lie
            for folder in _SPLITS.values():
                _unzip_beside(annotations, f"panoptic_{folder}", dl_manager)
        return images, dict.fromkeys(_SPLITS.values(), annotations)


def _unzip_beside(annotations: str, name: str, dl_manager: Any) -> None:
    """Unpack a zip of PNGs into the folder beside the JSON file of that name."""
    folder = os.path.join(annotations, name)
    if not tf.io.gfile.exists(folder):
        unpacked = dl_manager.extract(os.path.join(annotations, f"{name}.zip"))
        tf.io.gfile.rename(os.path.join(unpacked, name), folder)


_CITATION = """\
@inproceedings{lin2014coco,
  author = "Lin, T.-Y. and Maire, M. and Belongie, S. and Hays, J. and Perona, P. and
            Ramanan, D. and Doll{\\'a}r, P. and Zitnick, C. L.",
  title = "Microsoft {COCO}: Common Objects in Context",
  booktitle = "ECCV", year = 2014}
@inproceedings{kirillov2019panoptic,
  author = "Kirillov, A. and He, K. and Girshick, R. and Rother, C. and
            Doll{\\'a}r, P.",
  title = "Panoptic Segmentation", booktitle = "CVPR", year = 2019}
"""
