import numpy as np
import pytest

from keras_seg import data

SOURCE = data.shapes(40, size=(48, 64))


@pytest.fixture(scope="module")
def masks():
    return np.stack([mask for _, mask in SOURCE])


def test_there_are_a_ground_and_five_figures():
    assert SOURCE.class_names == (
        "background",
        "disc",
        "square",
        "triangle",
        "ring",
        "cross",
    )


def test_images_and_masks_have_the_size_asked_for():
    image, mask = SOURCE[0]
    assert (image.shape, image.dtype) == ((48, 64, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((48, 64), np.int32)


def test_every_class_occurs_and_no_other(masks):
    assert np.unique(masks).tolist() == [0, 1, 2, 3, 4, 5, 255]


def test_no_class_is_rare(masks):
    share = np.bincount(masks.ravel(), minlength=256) / masks.size
    assert (share[:6] > 0.01).all()


@pytest.mark.parametrize("axis", [1, 2])
def test_a_border_without_label_lies_between_any_two_classes(masks, axis):
    one, other = np.delete(masks, 0, axis), np.delete(masks, -1, axis)
    assert ((one == other) | (one == 255) | (other == 255)).all()


def test_all_background_scores_less_than_a_fifth(masks):
    truth = masks[masks != 255]
    assert mean_iou(truth, np.zeros_like(truth)) < 0.2


def mean_iou(truth, guess):
    pairs = [(truth == label, guess == label) for label in range(6)]
    return np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs])


def test_the_color_of_a_pixel_does_not_tell_its_class(masks):
    """Not even to one who learnt the most frequent class of each colour."""

    def colors(source):
        images = np.stack([image for image, _ in source])
        return (images // 32).astype(int) @ [64, 8, 1]

    votes = np.zeros((512, 256))
    np.add.at(votes, (colors(SOURCE), masks), 1)
    other = data.shapes(40, size=(48, 64), seed=1)
    truth = np.stack([mask for _, mask in other])
    guess = votes[:, :6].argmax(1)[colors(other)]
    assert mean_iou(truth[truth != 255], guess[truth != 255]) < 0.3


def test_the_same_seed_draws_the_same():
    again = data.shapes(7, size=(48, 64))  # of another length
    for index in (6, 0):
        for there, here in zip(again[index], SOURCE[index], strict=True):
            np.testing.assert_array_equal(there, here)


def test_other_seeds_and_other_examples_are_other_images():
    other = data.shapes(3, size=(48, 64), seed=1)
    images = [SOURCE[0][0], SOURCE[1][0], other[0][0], other[1][0]]
    assert len({image.tobytes() for image in images}) == 4


def test_an_image_that_is_written_to_stays_as_it_is_in_the_source():
    image, mask = SOURCE[0]
    before = image.copy(), mask.copy()
    image[:], mask[:] = 0, 0
    for there, here in zip(SOURCE[0], before, strict=True):
        np.testing.assert_array_equal(there, here)


def test_figures_are_drawn_at_any_size():
    for size in [(1, 1), (1, 40), (200, 3)]:
        image, mask = data.shapes(2, size=size)[1]
        assert (image.shape, mask.shape) == ((*size, 3), size)


@pytest.mark.parametrize(
    "arguments",
    [
        {"length": 0},
        {"length": -1},
        {"length": 2.5},
        {"length": 3, "size": (0, 8)},
        {"length": 3, "size": 8},
        {"length": 3, "size": (8.5, 8)},
    ],
)
def test_nothing_to_draw_is_an_error(arguments):
    with pytest.raises(ValueError, match="positive `length` and a positive `size`"):
        data.shapes(**arguments)
