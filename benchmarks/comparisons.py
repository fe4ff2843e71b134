"""What is compared: a row of the table each."""

from typing import Any

from benchmarks.harness import Amount, Comparison, Side
from benchmarks.subjects.command import NETS as OF_COMMAND
from benchmarks.subjects.limits import FLOATS
from benchmarks.subjects.limits import SIDE as MATRIX
from benchmarks.subjects.nets import EVERY, IN_KERASHUB, NETS, VARIANTS

#: Of a training step, and of a prediction.
STEP: dict[str, Any] = {"images": 4, "side": 256}
PREDICTION: dict[str, Any] = {"images": 1, "side": 512}
#: Passes of a net: a training step has the gradients of maps and of kernels too.
PASSES = {"step": 3, "prediction": 1}
#: Whose memory is measured, whose steps also in half precision, and what is exported.
WEIGHED = ("unet", "unet, resnet34", "unet, efficientnet_lite0")
HALVED = ("unet", "unet, resnet34")
EXPORTED = ("unet", "unet, resnet34", "unet, efficientnet_lite0", "fcn8s")
#: What the names of sides that are exports in float32 begin with.
EXPORTED_IN = "keras_seg in "
#: Photos that `keras-seg predict` has to do: opening a model takes as long as some do.
PHOTOS = 446
#: Which formats have bytes too. LiteRT's converter takes minutes to see large nets.
IN_BYTES = {
    "unet": ("onnx",),
    "unet, resnet34": ("onnx",),
    "unet, efficientnet_lite0": ("onnx", "litert"),
    "fcn8s": ("onnx",),
}
#: Tiles fit into it without a rest: 3 times 5.
LARGE: dict[str, Any] = {"height": 1280, "width": 2048}

PRODUCT, MEMORY = "limit: matrix product", "limit: memory"


def comparisons(root: str | None) -> list[Comparison]:
    """All of them.

    Args:
        root: The folder VOCdevkit/VOC2012; without it there are none of the pipeline.
    """
    return [
        *limits(),
        *(pipeline(root) if root else []),
        *(command(root, net) for net in OF_COMMAND if root),
        *(of_net(net, "step", STEP) for net in NETS),
        *(half_precision(net) for net in HALVED),
        *(of_net(net, "prediction", PREDICTION) for net in NETS),
        *(export(net) for net in EXPORTED),
        tiles("unet, resnet34"),
        *(memory(net, "step", STEP) for net in WEIGHED),
        *(memory(net, "prediction", PREDICTION) for net in WEIGHED),
        *pixels(),
        *start(root),
        *(of_net(net, "step", STEP) for net in VARIANTS),
        *(of_net(net, "prediction", PREDICTION) for net in VARIANTS),
    ]


def limits() -> list[Comparison]:
    """What the machine can do at most."""
    product = [Side("TensorFlow", "matrix_product")]
    moves = [Side("NumPy, a thread a core", "memory")]
    return [
        Comparison(PRODUCT, "limits", product, 2 * MATRIX**3 / 1e9, "GFLOP/s"),
        Comparison(MEMORY, "limits", moves, 2 * 4 * FLOATS / 1e9, "GB/s"),
    ]


def pipeline(root: str) -> list[Comparison]:
    """Images per second of augmented batches."""
    at: dict[str, Any] = {"root": root}
    theirs = [
        Side("PyTorch, albumentations", "torch_loader", at, peer=True),
        Side("the same, int64 masks", "torch_loader", at | {"masks": "int64"}, True),
    ]
    decoding = Side("decoding alone", "decoding", at)
    kinds = {"prepared": "a prepared folder", "cached": "memory"}
    return [
        Comparison(
            "pipeline",
            "pipeline",
            [Side("keras_seg", "ours", at), *theirs, decoding],
            work=400,
            unit="images/s",
        ),
        *(
            Comparison(
                f"pipeline from {words}",
                "pipeline",
                [Side("keras_seg", "ours", at | {"kind": kind}), theirs[0]],
                work=400,
                unit="images/s",
            )
            for kind, words in kinds.items()
        ),
        Comparison(
            "pipeline, one pass, opened anew",
            "pipeline",
            [Side("keras_seg", "one_pass", at), Side("endless", "ours", at)],
            work=400,
            unit="images/s",
        ),
    ]


def command(root: str, net: str) -> Comparison:
    """Images per second of `keras-seg predict`, and of its model alone."""
    at: dict[str, Any] = {"root": root, "net": net, "images": PHOTOS}
    masks = at | {"words": ["--no-overlays"]}
    sides = [
        Side("keras-seg predict --no-overlays", "command", masks),
        Side("keras-seg predict", "command", at | {"words": []}),
        Side("its model, batches in memory", "bare", at),
    ]
    name = f"keras-seg predict: {net}"
    return Comparison(name, "command", sides, work=PHOTOS, unit="images/s")


def of_net(net: str, kind: str, arguments: dict[str, Any]) -> Comparison:
    """Seconds of a step or a prediction."""
    given = {"net": net, **arguments}
    sides = [Side("keras_seg", f"our_{kind}", given)]
    if EVERY[net][1]:
        sides.append(Side("PyTorch", f"their_{kind}", given, peer=True))
    if net in IN_KERASHUB:
        sides.append(Side("KerasHub", f"hub_{kind}", given, needs="keras_hub"))
    of_turn = Amount(PRODUCT, "nets", "gflop", given | {"passes": PASSES[kind]})
    return Comparison(f"{kind}: {net}", "nets", sides, amount=of_turn)


def half_precision(net: str) -> Comparison:
    """Seconds of a step in bfloat16 where it is safe."""
    given = {"net": net, **STEP, "policy": "mixed_bfloat16"}
    sides = [
        Side("keras_seg", "our_step", given),
        Side("PyTorch, autocast", "their_step", given, peer=True),
    ]
    return Comparison(f"step in bfloat16: {net}", "nets", sides)


def export(net: str) -> Comparison:
    """Seconds of a prediction in the runtimes of the exports."""
    given = {"net": net, **PREDICTION}
    runtimes = {
        "onnx": "ONNX Runtime",
        "saved_model": "SavedModel",
        "litert": "LiteRT",
    }
    sides = [
        Side(EXPORTED_IN + name, "exported", given | {"format": format})
        for format, name in runtimes.items()
    ]
    sides += [
        Side(f"int8 in {runtimes[format]}", "exported", of_bytes, limited=False)
        for format in IN_BYTES.get(net, ())
        for of_bytes in [given | {"format": format, "quantize": "int8"}]
    ]
    sides.append(Side("PyTorch", "eager", given, peer=True))
    of_turn = Amount(PRODUCT, "nets", "gflop", given)
    return Comparison(f"export: {net}", "exports", sides, amount=of_turn)


def tiles(net: str) -> Comparison:
    """Seconds of the mask of a large image."""
    given = {"net": net, **LARGE}
    sides = [
        Side("keras_seg", "our_tiles", given),
        Side("the whole image at once", "whole", given),
        Side("PyTorch", "their_tiles", given, peer=True),
    ]
    return Comparison(f"tiles: {net}", "tiles", sides)


def memory(net: str, kind: str, arguments: dict[str, Any]) -> Comparison:
    """The largest memory of a process that does nothing but a step or a prediction."""
    given = {"net": net, **arguments}
    sides = [
        Side("keras_seg", "peak", given | {"function": f"our_{kind}"}),
        Side("PyTorch", "peak", given | {"function": f"their_{kind}"}, peer=True),
    ]
    return Comparison(f"memory of a {kind}: {net}", "nets", sides, unit="GiB")


def pixels() -> list[Comparison]:
    """Seconds of losses and metrics."""
    peers: dict[str, list[Side]] = {
        "WeightedCrossEntropy": [
            Side("Keras's cross-entropy", "loss_of_keras"),
            Side("PyTorch's cross-entropy", "loss_of_torch", peer=True),
        ],
        **{
            name: [Side(f"smp's {name}Loss", "loss_of_smp", {"name": name}, peer=True)]
            for name in ("Focal", "Dice", "Jaccard", "Tversky", "Lovasz")
        },
        "BoundaryF1": [],
    }
    losses = [
        Comparison(
            f"loss: {name}",
            "pixels",
            [Side("keras_seg", "our_loss", {"name": name}), *others],
            amount=Amount(MEMORY, "pixels", "gigabytes", {"times": 2}),
        )
        for name, others in peers.items()
    ]
    metrics = [
        Comparison(
            f"metric: {name}",
            "pixels",
            [
                Side("keras_seg", "our_metric", {"name": name}),
                Side("argmax alone", "argmax"),
                Side("Keras's MeanIoU", "metric_of_keras"),
                Side("torchmetrics", "metric_of_torch", peer=True),
            ],
            amount=Amount(MEMORY, "pixels", "gigabytes", {"times": 1}),
        )
        for name in ("MeanIoU", "SegmentationScores")
    ]
    return losses + metrics


def start(root: str | None) -> list[Comparison]:
    """Seconds until a program is there."""
    ours = {"statement": "import keras_seg", "after": "import tensorflow, keras"}
    after = Side("keras_seg, after TensorFlow and Keras", "importing", ours)
    imports = Comparison("import", "start", [after])
    if root is None:
        return [imports]
    first = Side("keras_seg", "first_batch", {"root": root})
    return [imports, Comparison("first batch", "start", [first])]
