"""PASCAL VOC 2012 with masks, as a set of TensorFlow Datasets."""

import os
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from keras_seg.data.builders.base import Recipe, SegmentationBuilder, manual_folder
from keras_seg.data.readers.voc import CLASS_NAMES, voc

_VOC = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
_SBD = (
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
    "semantic_contours/benchmark.tgz"
)
_LISTS = "ImageSets/Segmentation"
_SPLITS = ("train", "val", "trainval", "train_aug")


class VocSegmentation(SegmentationBuilder):
    """Images of VOC 2012 and masks of its 21 classes, equal to those of `data.voc`.

    Splits: train, val, trainval; and train_aug with the masks of SBD (10,582 images).
    """

    # TFDS finds it with a package, importlib_resources, that it doesn't require.
    code_path = tfds.core.Path(__file__)
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Images, masks and names."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    The folder VOCdevkit/VOC2012 of VOCtrainval_11-May-2012.tar, unpacked. The split
    train_aug is made where SBD's benchmark_RELEASE is unpacked beside VOCdevkit, or
    where the list ImageSets/Segmentation/train_aug.txt and the folder
    SegmentationClassAug are. Without VOCdevkit both are downloaded.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.describe(
            CLASS_NAMES,
            description="PASCAL VOC 2012 segmentation: images and masks of 21 classes, "
            "255 on the borders of objects. train_aug adds the masks of SBD.",
            homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        root = manual_folder(dl_manager, _LISTS, ("VOCdevkit/VOC2012", "VOC2012", "."))
        if root is None:
            logging.info("No VOCdevkit/VOC2012 in the manual folder: downloading.")
            paths = dl_manager.download_and_extract({"voc": _VOC, "sbd": _SBD})
            root = os.path.join(paths["voc"], "VOCdevkit/VOC2012")
            sbd: str | None = os.path.join(paths["sbd"], "benchmark_RELEASE/dataset")
        else:
            sbd = manual_folder(dl_manager, "cls", ("benchmark_RELEASE/dataset",))
        cls = None if sbd is None else os.path.join(sbd, "cls")

        splits = {}
        for split in _SPLITS:
            made = split == "train_aug" and cls is not None
            if not made and not tf.io.gfile.exists(f"{root}/{_LISTS}/{split}.txt"):
                logging.warning("No %s.txt in %s: no such split.", split, root)
                continue
            arguments = (("root", root), ("split", split), ("sbd", cls))
            splits[split] = self._generate_examples(Recipe(voc, arguments))
        return splits


_CITATION = """\
@misc{pascal-voc-2012,
  author = "Everingham, M. and Van~Gool, L. and Williams, C. K. I. and Winn, J. and
            Zisserman, A.",
  title = "The {PASCAL} {V}isual {O}bject {C}lasses {C}hallenge 2012 {(VOC2012)}"}
@inproceedings{BharathICCV2011,
  author = "Hariharan, B. and Arbelaez, P. and Bourdev, L. and Maji, S. and Malik, J.",
  title = "Semantic Contours from Inverse Detectors",
  booktitle = "ICCV", year = 2011}
"""
