"""UNet++: the authors' net, and what is nested in both of them."""

import functools

import keras
import numpy as np
import pytest

from keras_seg import unet_plus_plus
from keras_seg.losses import WeightedCrossEntropy
from tests.models.backbones import patches, tiny
from tests.models.shapes_only import learning, no_numbers

WIDTHS = (4, 6, 8, 10)
ENCODED = functools.partial(unet_plus_plus, 3, widths=(4, 5, 7, 9, 11))


@functools.cache
def shared():
    """The authors' net, narrow, with deep supervision, that tests leave as it is."""
    keras.utils.set_random_seed(0)
    return unet_plus_plus(3, widths=WIDTHS, auxiliary=1.0)


@pytest.mark.parametrize(("auxiliary", "of_authors"), [(0, 9_042_837), (1, 9_044_916)])
def test_parameters_are_those_of_the_authors(auxiliary, of_authors):
    # Of helper_functions.py in MrGiovanni/UNetPlusPlus for 3 channels and 21 classes,
    # whose comment says 9,041,601 for 1 and 1; deep supervision has three scores more.
    with no_numbers():
        model = unet_plus_plus(21, auxiliary=auxiliary)
        assert learning(model) == of_authors


def joined(model, name):
    """The layers whose outputs are side by side before a node's convolutions."""
    makers = {id(layer.output): layer.name for layer in model.layers}
    return [makers[id(x)] for x in model.get_layer(f"{name}_join").input]


def test_each_node_joins_all_to_its_left_and_what_comes_up():
    # Figure 1 of the paper, newest first.
    model = shared()
    for i, j in [(2, 1), (1, 1), (1, 2), (0, 1), (0, 2), (0, 3)]:
        left = [f"x{i}_{k}_dropout2" for k in reversed(range(j))]
        up = f"x{i}_{j}_crop"
        assert joined(model, f"x{i}_{j}") == [up, *left]
        below = model.get_layer(up).input[0]
        assert below is model.get_layer(f"x{i}_{j}_transpose").output
        under = model.get_layer(f"x{i + 1}_{j - 1}_dropout2").output
        assert model.get_layer(f"x{i}_{j}_transpose").input is under
        filters = [model.get_layer(f"x{i}_{j}_conv{k}").filters for k in (1, 2)]
        assert filters == [WIDTHS[i]] * 2
    assert model.get_layer("score").input is model.get_layer("x0_3_dropout2").output


def test_with_an_encoder_inner_nodes_have_its_channels_and_last_ones_the_widths():
    # smp: x_0_k is the last node of a level. The backbone has 4, 6, 8, 10, 12 channels.
    model = ENCODED(encoder=tiny())
    filters = {
        (i, j): model.get_layer(f"x{i}_{j}_conv2").filters
        for i in range(5)
        for j in range(1, 6 - i)
        if i > 0 or j == 5
    }
    last = {(4, 1): 11, (3, 2): 9, (2, 3): 7, (1, 4): 5, (0, 5): 4}
    inner = {(3, 1): 8, (2, 1): 6, (2, 2): 6, (1, 1): 4, (1, 2): 4, (1, 3): 4}
    assert filters == last | inner
    names = [layer.name for layer in model.layers]
    assert not [n for n in names if n.startswith(("x0_1_", "x0_4_"))]


def test_levels_that_the_encoder_lacks_have_one_node_without_a_join():
    names = [layer.name for layer in ENCODED(encoder=patches()).layers]
    assert "x1_4_conv1" in names
    assert not [n for n in names if n in ("x1_4_join", "x1_1_conv1", "x0_5_join")]


@pytest.mark.slow
def test_deep_supervision_adds_the_losses_of_all_columns():
    model = shared()
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (2, 17, 30, 3), np.uint8)
    y = rng.integers(0, 3, (2, 17, 30))
    y[:, :5] = 255
    found = model.trained(x, training=True)
    assert list(found) == ["logits", "auxiliary_1", "auxiliary_2"]
    losses = [float(WeightedCrossEntropy()(y, logits)) for logits in found.values()]
    assert len({round(loss, 4) for loss in losses}) == 3
    model.compile(keras.optimizers.SGD(0.0), WeightedCrossEntropy())
    history = model.fit(x, y, verbose=0).history
    np.testing.assert_allclose(history["loss"], sum(losses), rtol=1e-4)
    # Each is scored where its column ends.
    for j in (1, 2):
        scored = model.trained.get_layer(f"auxiliary_{j}_score").input
        assert scored is model.get_layer(f"x0_{j}_dropout2").output


def test_dropout_is_after_each_convolution():
    model = unet_plus_plus(3, widths=(4, 6), dropout=0.5)
    rates = [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]
    assert rates == [0.5] * 6
    assert model.get_layer("x0_1_dropout1").input is (
        model.get_layer("x0_1_conv1").output
    )


def test_the_authors_net_has_no_weights_of_an_encoder():
    with pytest.raises(ValueError, match="Expected an `encoder` with `encoder_w"):
        unet_plus_plus(3, encoder_weights="imagenet")
