"""What is computed, counted in graphs: a guard of speed that doesn't depend on clocks.

Multiply-adds of nets are compared with sums written from their papers, the copies of
logits that losses and metrics make with what their formulas need, and the operations
of the input pipeline with a bound for each example.
"""

import collections

import keras
import pytest
import tensorflow as tf
from keras import layers

import keras_seg
from benchmarks.counts import of_operation, used
from keras_seg import data
from keras_seg.losses import WeightedCrossEntropy
from keras_seg.metrics import MeanIoU
from tests.models.backbones import tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="graphs are TensorFlow's"
    ),
]

BATCH, SIDE, CLASSES = 2, 64, 3
IMAGES = tf.TensorSpec((BATCH, SIDE, SIDE, 3))
MASKS = tf.TensorSpec((BATCH, SIDE, SIDE), tf.int32)
LOGITS = tf.TensorSpec((BATCH, SIDE, SIDE, CLASSES))


def graph_of(function, *specs):
    return tf.function(function, autograph=False).get_concrete_function(*specs)


# Multiply-adds


def multiply_adds(concrete):
    """Of all operations of a graph, for one example."""
    return sum(map(of_operation, used(concrete.graph))) / BATCH


def conv(side, kernel, inner, outer):
    """Multiply-adds of a convolution whose outputs are `side` x `side`."""
    return side**2 * kernel**2 * inner * outer


def double(side, inner, outer):
    return [conv(side, 3, inner, outer), conv(side, 3, outer, outer)]


def unet():
    """Ronneberger et al., figure 1, with padded convolutions and three levels."""
    a, b, c = 4, 6, 8
    s = SIDE
    down = [*double(s, 3, a), *double(s // 2, a, b), *double(s // 4, b, c)]
    # 2 x 2 transposed convolutions: each pixel of what they take, times the kernel.
    up = [conv(s // 4, 2, b, c), *double(s // 2, 2 * b, b)]
    up += [conv(s // 2, 2, a, b), *double(s, 2 * a, a)]
    return [*down, *up, conv(s, 1, a, CLASSES)]


def unet_with_encoder():
    """Five convolutions of stride 2; a decoder as in segmentation_models_pytorch."""
    widths = (4, 6, 8, 10, 12)
    inner = (3, *widths[:-1])
    sides = [SIDE // 2**level for level in range(6)]
    down = [
        conv(sides[k + 1], 3, i, o)
        for k, (i, o) in enumerate(zip(inner, widths, strict=True))
    ]
    up, below = [], widths[-1]
    for level, width in zip((4, 3, 2, 1, 0), (6, 6, 4, 4, 4), strict=True):
        skip = widths[level - 1] if level else 0
        up += double(sides[level], below + skip, width)
        below = width
    return [*down, *up, conv(SIDE, 3, below, CLASSES)]


def fcn8s():
    """Long et al., section 4.1: VGG16, and scores of three strides, summed."""
    total, inner = [], 3
    blocks = zip((2, 2, 3, 3, 3), (2, 4, 4, 6, 6), strict=True)
    for level, (count, width) in enumerate(blocks):
        for _ in range(count):
            total.append(conv(SIDE >> level, 3, inner, width))
            inner = width
    s8, s16, s32 = SIDE // 8, SIDE // 16, SIDE // 32
    total += [conv(s32, 7, inner, 4), conv(s32, 1, 4, 4)]  # fc6, fc7
    scores = [conv(s32, 1, 4, CLASSES), conv(s16, 1, 6, CLASSES)]
    scores += [conv(s8, 1, 4, CLASSES)]
    # Transposed convolutions whose kernels are twice their stride.
    steps = [(s32, 4), (s16, 4), (s8, 16)]
    return total + scores + [conv(s, k, CLASSES, CLASSES) for s, k in steps]


THIN = {"widths": (2, 4, 4, 6, 6), "head_width": 4}
NETS = {
    "unet": (unet, {"widths": (4, 6, 8)}),
    "unet, encoder": (unet_with_encoder, {"widths": (4, 4, 4, 6, 6)}),
    "fcn8s": (fcn8s, THIN),
}


@pytest.fixture(params=NETS)
def net(request):
    """A net, and the multiply-adds of each of its convolutions, the first one first."""
    formula, arguments = NETS[request.param]
    builder, _, encoder = request.param.partition(", ")
    if encoder:
        arguments = arguments | {"encoder": tiny()}
    model = getattr(keras_seg, builder)(
        CLASSES, input_shape=(SIDE, SIDE, 3), **arguments
    )
    return model, formula()


def test_a_net_has_the_multiply_adds_of_its_paper(net):
    """And a training step three times as many, but for the image's own gradient."""
    model, expected = net
    predict = graph_of(lambda images: model(images, training=False), IMAGES)
    assert multiply_adds(predict) == sum(expected)
    model.compile("sgd", WeightedCrossEntropy(), metrics=[MeanIoU(CLASSES)])
    model.optimizer.build(model.trainable_variables)
    step = graph_of(lambda x, y: model.train_step((x, y)), IMAGES, MASKS)
    assert multiply_adds(step) == 3 * sum(expected) - expected[0]


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        # A 3 x 3 kernel for each of 5 channels; maps of 4 x 3.
        (layers.DepthwiseConv2D(3, strides=2, padding="same"), (7, 6, 5), 12 * 9 * 5),
        # What is transposed is as large as what it takes: 7 x 6 pixels.
        (layers.Conv2DTranspose(8, 4, strides=2), (7, 6, 5), 42 * 16 * 5 * 8),
        (
            layers.Conv2D(8, 3, dilation_rate=4, padding="same"),
            (7, 6, 5),
            42 * 9 * 5 * 8,
        ),
        # Keras has XLA compile it, as a function of its own.
        (layers.Conv2D(10, 3, groups=5, padding="same"), (7, 6, 5), 42 * 9 * 10),
        (layers.Dense(8), (7, 6, 5), 42 * 5 * 8),
        (lambda x: tf.matmul(x, x, transpose_a=True), (7, 6, 5), 7 * 6 * 5 * 5),
        (lambda x: tf.einsum("nhwc,nhvc->nhwv", x, x), (7, 6, 5), 7 * 6 * 6 * 5),
    ],
)
def test_multiply_adds_are_those_of_the_formula(function, shape, expected):
    spec = tf.TensorSpec((BATCH, *shape))
    assert multiply_adds(graph_of(lambda x: function(x), spec)) == expected


def test_an_auxiliary_head_costs_the_training_one_pass_of_the_net():
    """The graph with the heads is run, and not also the one without them."""
    model = keras_seg.fcn(
        CLASSES, input_shape=(SIDE, SIDE, 3), encoder=tiny(), auxiliary=0.4
    )
    model.compile("sgd", WeightedCrossEntropy())
    model.optimizer.build(model.trainable_variables)
    step = graph_of(lambda x, y: model.train_step((x, y)), IMAGES, MASKS)
    forward = [op for op in used(step.graph) if op.type == "Conv2D"]
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    assert len(forward) == len(kernels)


# Copies of logits


def copies_of_logits(function):
    """Operations that write as many floats as there are logits, by type."""
    concrete = graph_of(function, MASKS, LOGITS)
    given = ("Placeholder", "Reshape", "Identity")  # nothing is written
    return collections.Counter(
        operation.type
        for operation in used(concrete.graph)
        for tensor in operation.outputs
        if tensor.dtype.is_floating
        and tensor.shape.num_elements() == LOGITS.shape.num_elements()
        and operation.type not in given
    )


WEIGHTED = WeightedCrossEntropy([1.0, 2.0, 3.0])


def test_the_loss_writes_its_slope_and_no_other_copy_of_the_logits():
    """d loss / d z = (softmax(z) - one_hot(y)) w: one map, and one times the weight."""

    def slope(masks, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = WEIGHTED(masks, logits)
        return tape.gradient(loss, logits)

    assert copies_of_logits(WEIGHTED).total() <= 1
    assert copies_of_logits(slope).total() <= 2


def test_the_metric_writes_no_copy_of_the_logits():
    """An argmax and a sum read them. (Where a sum isn't finite, it looks at each.)"""
    metric = MeanIoU(CLASSES)
    assert not copies_of_logits(lambda y, z: metric.update_state(y, z))


def test_a_copy_of_the_logits_would_be_seen():
    found = copies_of_logits(lambda y, z: tf.reduce_sum(tf.nn.softmax(z) * 2.0))
    assert found == {"Softmax": 1, "Mul": 1}


# The input pipeline


@pytest.fixture(scope="module")
def operations_of_an_example(tmp_path_factory):
    """By function of the pipeline's graph: how many there are of each type."""
    folder = tmp_path_factory.mktemp("voc")
    data.write_voc(data.shapes(2, size=(40, 48)), folder, split="train")
    batches = data.voc(folder, "train").batches(
        2,
        size=(32, 32),
        augment=data.standard_augmentation(),
        shuffle=True,
        repeat=True,
    )
    written = tf.raw_ops.DatasetToGraphV2(
        input_dataset=batches._variant_tensor, external_state_policy=1
    )
    library = tf.compat.v1.GraphDef.FromString(written.numpy()).library
    return {
        function.signature.name: collections.Counter(
            node.op for node in function.node_def
        )
        for function in library.function
    }


def test_an_example_takes_few_operations(operations_of_an_example):
    """Each costs a microsecond or two to start, whatever the size of the image."""
    no_work = ("Const", "Identity", "NoOp")
    of_example = sum(
        count
        for operations in operations_of_an_example.values()
        for operation, count in operations.items()
        if operation not in no_work
    )
    assert of_example <= 240  # they are 229: room for a check, not for another pass


@pytest.mark.parametrize(
    ("operation", "most"),
    [
        ("ReadFile", 2),  # an image, a mask
        ("DecodeAndCropJpeg", 1),  # the window that is needed, and not the image
        ("DecodeJpeg", 0),
        ("DecodePng", 3),  # of 8 bits, 16, or fewer: one of them
        ("ResizeBilinear", 2),  # before the colours or after: one of them
        ("MatMul", 2),  # one map for all changes of colour
        ("AdjustContrastv2", 0),
        ("AdjustSaturation", 0),
        ("PyFunc", 0),
        ("EagerPyFunc", 1),  # explains an example that couldn't be read
    ],
)
def test_an_example_is_read_resized_and_coloured_once(
    operation, most, operations_of_an_example
):
    found = sum(each[operation] for each in operations_of_an_example.values())
    assert found <= most


def test_python_runs_only_to_explain_an_error(operations_of_an_example):
    (where,) = [
        name for name, each in operations_of_an_example.items() if each["EagerPyFunc"]
    ]
    assert operations_of_an_example[where]["Assert"] == 1
