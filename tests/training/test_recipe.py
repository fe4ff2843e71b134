"""The recipe: what is left to choose between a data set and `fit`."""

import functools

import numpy as np
import pytest

from keras_seg import losses, models
from keras_seg.data import arrays, shapes, standard_augmentation
from keras_seg.training.recipe import (
    build_loss,
    build_model,
    spread,
    steps_per_epoch,
    training_batches,
)

SOURCE = shapes(10, size=(8, 8))


@pytest.mark.parametrize("count", range(1, 10))
def test_a_few_examples_are_spread_evenly_and_are_the_same_each_time(count):
    chosen = [int(name.split()[-1]) for name in spread(SOURCE, count).names]
    assert len({*chosen}) == count
    assert chosen[0] == 0
    gaps = np.diff([*chosen, len(SOURCE)])  # as large as they can be alike
    assert gaps.max() - gaps.min() <= 1
    assert spread(SOURCE, count).names == spread(SOURCE, count).names


@pytest.mark.parametrize("count", [None, 10, 11])
def test_all_examples_are_a_source_as_it_is(count):
    assert spread(SOURCE, count) is SOURCE


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 10), (3, 3), (10, 1), (11, 1)])
def test_an_epoch_has_the_whole_batches_of_the_examples_and_one_at_least(
    batch_size, steps
):
    assert steps_per_epoch(SOURCE, batch_size) == steps


def test_each_epoch_has_all_examples_in_an_order_of_its_own():
    images = (
        np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    )
    source = arrays(images, np.zeros((10, 4, 4), int), class_names=["a", "b"])
    as_it_is = standard_augmentation(scale=(1, 1), flip=False, color=0)
    batches = training_batches(source, size=4, batch_size=5, augment=as_it_is, seed=3)
    seen = np.concatenate([images[:, 0, 0, 0] for images, _ in batches.take(4)])
    first, second = seen.reshape(2, 10).tolist()
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(range(10)) not in (first, second)
    assert first != second


def test_losses_have_names():
    names = {
        "cross_entropy": losses.WeightedCrossEntropy,
        "focal": losses.Focal,
        "top_k": losses.TopKCrossEntropy,
        "dice": losses.Dice,
        "jaccard": losses.Jaccard,
        "tversky": losses.Tversky,
        "lovasz": losses.Lovasz,
        "boundary_f1": losses.BoundaryF1,
    }
    for name, loss in names.items():
        assert type(build_loss(name)) is loss
    both = build_loss("dice + 0.25*lovasz+cross_entropy", [1.0, 2.0])
    assert [type(x).__name__ for x in both.losses] == [
        *("Dice", "Lovasz", "WeightedCrossEntropy")
    ]
    assert both.factors == [1, 0.25, 1]
    assert both.losses[2].class_weights == [1, 2]


@pytest.mark.parametrize("text", ["dise", "", "dice+", "2*", "x*dice", "nan*dice"])
def test_losses_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"^Expected .*`loss`"):
        build_loss(text)


def test_the_nearest_losses_are_suggested():
    with pytest.raises(
        ValueError, match=r"one of cross_entropy, .* 'dise'\. Nearest: dice"
    ):
        build_loss("dise")


def test_a_dilated_network_gets_its_encoder_head_and_fresh_scores(monkeypatch):
    seen = {}

    @functools.wraps(models.deeplab_v3)  # its arguments are looked at
    def stand_in(num_classes, **arguments):
        seen.update(arguments)

    monkeypatch.setattr(models, "deeplab_v3", stand_in)
    _, arguments = build_model(
        "deeplab_v3", 6, auxiliary=0.5, fresh_head=True, weights="coco_voc"
    )
    assert arguments == {
        "encoder": "resnet50",
        "encoder_weights": None,
        "weights": "coco_voc",
        "auxiliary": 0.5,
        "fresh_head": True,
    }
    images = {"input_shape": (None, None, 3), "value_range": (0, 255)}
    assert seen == arguments | images
    _, arguments = build_model(
        "deeplab_v3", 6, encoder="resnet18", encoder_weights="a.pth"
    )
    assert (arguments["encoder"], seen["encoder"]) == ("resnet18", "resnet18")
    assert (arguments["encoder_weights"], seen["encoder_weights"]) == ("a.pth", "a.pth")
    assert (arguments["auxiliary"], arguments["fresh_head"]) == (0.0, False)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("fcn", {"widths": (4, 8)}, r"`widths` with .*, unet, .* Received: \(4, 8\)"),
        ("fcn8s", {"auxiliary": 0.5}, "`auxiliary` with a model that has it: bis"),
        ("fcn", {"upsampling": "nearest"}, "`upsampling` with a model that has it: a"),
    ],
)
def test_arguments_of_another_network_are_refused(name, arguments, said):
    with pytest.raises(ValueError, match=f"Expected {said}.* for '{name}'"):
        build_model(name, 6, **arguments)
