"""What is compared: a row of the table each."""

from typing import Any

from benchmarks.harness import Comparison, Side
from benchmarks.subjects.nets import NETS

#: Of a training step, and of a prediction.
STEP: dict[str, Any] = {"images": 4, "side": 256}
PREDICTION: dict[str, Any] = {"images": 1, "side": 512}


def comparisons(root: str | None) -> list[Comparison]:
    """All of them.

    Args:
        root: The folder VOCdevkit/VOC2012; without it there are none of the pipeline.
    """
    return [
        *(pipeline(root) if root else []),
        *(of_net(net, "step", STEP) for net in NETS),
        *(of_net(net, "prediction", PREDICTION) for net in NETS),
        *pixels(),
        *start(root),
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


def of_net(net: str, kind: str, arguments: dict[str, Any]) -> Comparison:
    """Seconds of a step or a prediction."""
    given = {"net": net, **arguments}
    sides = [Side("keras_seg", f"our_{kind}", given)]
    if NETS[net][1]:
        sides.append(Side("PyTorch", f"their_{kind}", given, peer=True))
    return Comparison(f"{kind}: {net}", "nets", sides)


def pixels() -> list[Comparison]:
    """Seconds of losses and metrics."""
    names = ["WeightedCrossEntropy", "Focal", "Dice", "Lovasz", "BoundaryF1"]
    losses = [
        Comparison(
            f"loss: {name}",
            "pixels",
            [
                Side("keras_seg", "our_loss", {"name": name}),
                Side("Keras's cross-entropy", "loss_of_keras"),
                Side("PyTorch's cross-entropy", "loss_of_torch", peer=True),
            ],
        )
        for name in names
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
        )
        for name in ("MeanIoU", "SegmentationScores")
    ]
    return losses + metrics


def start(root: str | None) -> list[Comparison]:
    """Seconds until a program is there."""
    ours = {"statement": "import tensorflow, keras, keras_seg"}
    imports = Comparison(
        "import",
        "start",
        [
            Side("keras_seg", "importing", ours),
            Side(
                "TensorFlow and Keras",
                "importing",
                {"statement": "import tensorflow, keras"},
            ),
        ],
    )
    if root is None:
        return [imports]
    first = Side("keras_seg", "first_batch", {"root": root})
    return [imports, Comparison("first batch", "start", [first])]
