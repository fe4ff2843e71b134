"""TensorFlow Datasets' own tests of builders, on fake examples."""

from typing import ClassVar

import pytest
import tensorflow_datasets as tfds

from keras_seg.data.builders import CocoSegmentation, VocSegmentation

pytest.importorskip("dill", reason="TFDS's own tests need dill")

pytestmark = pytest.mark.slow


class TestVocSegmentation(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = VocSegmentation
    SPLITS: ClassVar[dict] = {"train": 3, "val": 2, "trainval": 5, "train_aug": 4}
    OVERLAPPING_SPLITS: ClassVar[list] = ["trainval", "train_aug"]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _examples(cls, voc_folder):
        cls.EXAMPLE_DIR = voc_folder


class TestCocoSegmentation(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = CocoSegmentation
    SPLITS: ClassVar[dict] = {"train": 3, "val": 2}

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _examples(cls, coco_folder):
        cls.EXAMPLE_DIR = coco_folder
