"""Folds of a cross-validation: every example is scored once, groups stay together."""

import numpy as np
import pytest

from keras_seg import data


def source_of(names):
    """Examples whose image is their number."""
    images = [np.full((1, 1, 1), k, "uint8") for k in range(len(names))]
    masks = np.zeros((len(names), 1, 1), int)
    source = data.arrays(images, masks, class_names=["a", "b"])
    source.names = list(names)
    return source


def numbers(source):
    return [int(name.split("_")[-1]) for name in source.names]


@pytest.fixture(scope="module")
def source():
    return source_of([f"patient{k % 4}_{k}" for k in range(22)])


def patient(name):
    return name.split("_")[0]


@pytest.mark.parametrize("count", [2, 5, 22])
def test_every_example_is_validated_once_and_trained_on_elsewhere(source, count):
    folds = source.folds(count)
    assert len(folds) == count
    found = [numbers(val) for _, val in folds]
    assert sorted(np.concatenate(found)) == list(range(22))
    for (train, _), val in zip(folds, found, strict=True):
        assert numbers(train) == [k for k in range(22) if k not in val]  # in order
        assert val == sorted(val)
    sizes = {len(val) for val in found}
    assert max(sizes) - min(sizes) <= 1


def test_the_seed_decides(source):
    def vals(seed):
        return [numbers(val) for _, val in source.folds(3, seed=seed)]

    assert vals(0) == vals(0)
    assert vals(0) != vals(1)
    assert vals(0)[0] != list(range(8))


def test_folds_are_parts_of_a_part(source):
    part = source[5:11]
    for train, val in part.folds(3):
        assert sorted(numbers(train) + numbers(val)) == [5, 6, 7, 8, 9, 10]
        for side in (train, val):  # what is read is what the names say
            assert [int(image[0, 0, 0]) for image, _ in side] == numbers(side)


@pytest.mark.parametrize("of_names", [True, False])
def test_groups_are_on_one_side(source, of_names):
    groups = patient if of_names else np.array([patient(n) for n in source.names])
    folds = source.folds(4, groups=groups)
    seen = []
    for train, val in folds:
        sides = [{patient(name) for name in side.names} for side in (train, val)]
        assert not sides[0] & sides[1]
        assert sides[0] | sides[1] == {f"patient{k}" for k in range(4)}
        seen += numbers(val)
    assert sorted(seen) == list(range(22))


def test_groups_of_several_sizes_are_balanced():
    sizes = [9, 5, 4, 3, 3, 2, 1]  # 27 in all: three folds of 9
    labels = [k for k, size in enumerate(sizes) for _ in range(size)]
    source = source_of([f"{k}" for k in range(27)])
    for seed in range(5):
        folds = source.folds(3, groups=labels, seed=seed)
        assert [len(val) for _, val in folds] == [9, 9, 9]
    made = {
        tuple(source.folds(3, groups=labels, seed=seed)[1][1].names)
        for seed in range(8)
    }
    assert len(made) > 1  # groups of one size are shuffled


def test_repeats_stay_together_as_groups_of_their_names():
    source = source_of(["a", "b", "a", "c", "b"])
    for train, val in source.folds(3, groups=lambda name: name):
        assert not {*train.names} & {*val.names}


@pytest.mark.parametrize(
    ("count", "groups", "said"),
    [
        (23, None, "no more folds than examples. Received: 23 folds of 22 examples"),
        (5, patient, r"than groups. Received: 5 folds of 4 groups \(22 examples"),
        (1, None, "Expected `count` to be a whole number, 2 or more. Received: 1"),
        (2.0, None, "Expected `count`.*Received: 2.0"),
        (2, [0, 1], "label for each of 22 examples. Received: 2 labels"),
        (2, "patient", "label per example, or a function.*Received: 'patient'"),
        (2, 7, "label per example, or a function.*Received: 7"),
        (2, lambda name: None, "group for each.*Received: None for 'patient0_0'"),
        (2, [*range(21), float("nan")], "Received: nan for 'patient1_21'"),
        (2, [*range(21), []], r"Received: \[\] for 'patient1_21'"),
    ],
)
def test_what_makes_no_folds_is_refused(source, count, groups, said):
    with pytest.raises(ValueError, match=said):
        source.folds(count, groups=groups)
