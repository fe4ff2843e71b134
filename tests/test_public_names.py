"""The names that users are offered: what completion shows, and nothing else."""

import importlib
import pkgutil
import sys
from pathlib import Path

import pytest

import keras_seg

ROOT = Path(keras_seg.__file__).parent
PUBLIC = {
    "keras_seg": "Scores attention_unet bisenet_v2 callbacks data deeplab_v3 "
    "deeplab_v3_plus evaluate export fcn fcn16s fcn32s fcn8s fpn labels linknet "
    "losses metrics models "
    "predict predict_files predict_mask predict_scene pspnet segformer training unet "
    "unet_plus_plus upernet visualize",
    "keras_seg.callbacks": "BestModel CSVHistory StopOnInvalidLabels Validate",
    "keras_seg.data": "COCO_STUFF Source Statistics arrays border_weights cached "
    "class_frequencies class_weights coco coco_panoptic folder inspect prepare shapes "
    "standard_augmentation statistics tfds tiles voc write_voc",
    "keras_seg.labels": "DType Features FilePath IGNORE Image Index Logits Mask "
    "PixelWeights Tensor ValueRange Window check_labels check_num_classes "
    "check_value_range shown_range",
    "keras_seg.losses": "BoundaryF1 Dice Focal Jaccard Lovasz SegmentationLoss Sum "
    "TopKCrossEntropy Tversky WeightedCrossEntropy",
    "keras_seg.metrics": "BoundaryIoU ClassIoU FrequencyWeightedIoU MeanAccuracy "
    "MeanDice MeanIoU PixelAccuracy SegmentationScores confusion_matrix",
    "keras_seg.models": "attention_unet bisenet_v2 deeplab_v3 deeplab_v3_plus "
    "efficientnet_lite encoder fcn fcn16s fcn32s fcn8s fpn linknet pspnet segformer "
    "unet unet_plus_plus "
    "upernet",
    "keras_seg.training": "Checkpoint FreezeEncoder JSONLines ProgressTable StopOnNaN "
    "TensorBoard freeze_batch_normalization mirrored optimizer "
    "synchronize_batch_normalization",
    "keras_seg.visualize": "IGNORE_COLOR colorize contact_sheet curves overlay report "
    "samples save_mask visible",
}


def public(path):
    """A module as a user comes to it, by attributes."""
    module = importlib.import_module("keras_seg")
    for name in path.split(".")[1:]:
        module = getattr(module, name)
    return module


@pytest.mark.parametrize("path", PUBLIC)
def test_completion_shows_the_public_names_only(path):
    assert dir(public(path)) == PUBLIC[path].split()


@pytest.mark.parametrize("path", PUBLIC)
def test_every_public_name_is_there_and_says_what_it_is(path):
    module = public(path)
    assert module.__doc__
    for name in PUBLIC[path].split():
        value = getattr(module, name)
        assert value.__doc__, f"{path}.{name}"


def test_every_package_that_users_see_is_listed():
    subpackages = {
        f"keras_seg.{name}"
        for name in dir(importlib.import_module("keras_seg"))
        if type(getattr(importlib.import_module("keras_seg"), name)) is type(pytest)
    }
    assert subpackages == set(PUBLIC) - {"keras_seg"}


def test_callbacks_can_be_imported_as_a_module():
    module = importlib.import_module("keras_seg.callbacks")
    assert module is keras_seg.callbacks
    assert module.BestModel is keras_seg.training.callbacks.BestModel


PACKAGES = [
    ".".join(("keras_seg", *file.relative_to(ROOT).parent.parts))
    for file in sorted(ROOT.rglob("__init__.py"))
]


@pytest.mark.parametrize("path", PACKAGES)
def test_no_module_is_hidden_by_a_function_of_its_name(path):
    package = importlib.import_module(path)
    for _, name, _ in pkgutil.iter_modules(package.__path__):
        bound = getattr(package, name, None)  # None: the module isn't imported yet
        assert bound is None or bound is sys.modules.get(f"{path}.{name}")
