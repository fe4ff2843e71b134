"""Which layer of ours each module of other projects' nets is.

A rule is a list of patterns of whole names of modules, and our names of their layers.
"""

from keras_seg.models.weights.by_rule import Rule

#: torchvision/models/resnet.py: our layers have its names, with "_" for ".".
RESNET: Rule = [
    (r"(conv1|bn1)", r"\1"),
    (r"layer(\d)\.(\d+)\.(conv\d|bn\d)", r"layer\1_\2_\3"),
    (r"layer(\d)\.(\d+)\.downsample\.(\d)", r"layer\1_\2_downsample_\3"),
]

#: torchvision/models/segmentation/fcn.py, class FCNHead, as the auxiliary head.
_AUXILIARY: Rule = [
    (r"aux_classifier\.0", "auxiliary_conv"),
    (r"aux_classifier\.1", "auxiliary_norm"),
    (r"aux_classifier\.4", "auxiliary_score"),
]

#: torchvision/models/segmentation/fcn.py, without the backbone.
FCN: Rule = [
    (r"classifier\.0", "head_conv"),
    (r"classifier\.1", "head_norm"),
    (r"classifier\.4", "score"),
    *_AUXILIARY,
]

#: torchvision/models/segmentation/deeplabv3.py, without the backbone.
DEEPLAB_V3: Rule = [
    (r"classifier\.0\.convs\.([0-3])\.0", r"aspp_conv\1"),
    (r"classifier\.0\.convs\.([0-3])\.1", r"aspp_norm\1"),
    (r"classifier\.0\.convs\.4\.1", "aspp_pool_conv"),
    (r"classifier\.0\.convs\.4\.2", "aspp_pool_norm"),
    (r"classifier\.0\.project\.0", "aspp_project_conv"),
    (r"classifier\.0\.project\.1", "aspp_project_norm"),
    (r"classifier\.1", "head_conv"),
    (r"classifier\.2", "head_norm"),
    (r"classifier\.4", "score"),
    *_AUXILIARY,
]

# segmentation_models_pytorch 0.6, decoders/*/decoder.py, without the encoder. Its
# decoders count from the deepest level up.

#: class UnetDecoder.
UNET: Rule = [
    (rf"decoder\.blocks\.{k}\.conv(\d)\.{part}", rf"up{5 - k}_{kind}\1")
    for k in range(5)
    for part, kind in enumerate(("conv", "norm"))
] + [(r"segmentation_head\.0", "score")]

#: class UnetPlusPlusDecoder: its x_d_k is our X(4 - k, k - d + 1).
UNET_PLUS_PLUS: Rule = [
    (
        rf"decoder\.blocks\.x_{d}_{k}\.conv(\d)\.{part}",
        rf"x{4 - k}_{k - d + 1}_{kind}\1",
    )
    for k in range(5)
    for d in range(k + 1)
    for part, kind in enumerate(("conv", "norm"))
] + [(r"segmentation_head\.0", "score")]

#: class FPNDecoder.
FPN: Rule = [
    (r"decoder\.p5", "p5_lateral"),
    (r"decoder\.p(\d)\.skip_conv", r"p\1_lateral"),
    *(
        (
            rf"decoder\.seg_blocks\.{5 - k}\.block\.{n}\.block\.{part}",
            f"p{k}_{kind}{n + 1}",
        )
        for k in (5, 4, 3, 2)
        for n in range(max(1, k - 2))
        for part, kind in enumerate(("conv", "norm"))
    ),
    (r"segmentation_head\.0", "score"),
]

#: class LinknetDecoder.
LINKNET: Rule = [
    (rf"decoder\.blocks\.{k}\.block\.{n}\.{part}", f"up{5 - k}_{kind}{n + 1}")
    for k in range(5)
    for n, kinds in enumerate(
        (("conv", "norm"), ("transpose", "norm"), ("conv", "norm"))
    )
    for part, kind in enumerate(kinds)
] + [(r"segmentation_head\.0", "score")]

#: class PSPDecoder.
PSPNET: Rule = [
    *(
        (rf"decoder\.psp\.blocks\.{k}\.pool\.1\.{part}", f"pool{cells}_{kind}")
        for k, cells in enumerate((1, 2, 3, 6))
        for part, kind in enumerate(("conv", "norm"))
    ),
    (r"decoder\.conv\.0", "head_conv"),
    (r"decoder\.conv\.1", "head_norm"),
    (r"segmentation_head\.0", "score"),
]

#: class DeepLabV3PlusDecoder.
DEEPLAB_V3_PLUS: Rule = [
    (r"decoder\.aspp\.0\.convs\.0\.0", "aspp_conv0"),
    (r"decoder\.aspp\.0\.convs\.([1-3])\.0\.0", r"aspp_depthwise\1"),
    (r"decoder\.aspp\.0\.convs\.([1-3])\.0\.1", r"aspp_conv\1"),
    (r"decoder\.aspp\.0\.convs\.([0-3])\.1", r"aspp_norm\1"),
    (r"decoder\.aspp\.0\.convs\.4\.1", "aspp_pool_conv"),
    (r"decoder\.aspp\.0\.convs\.4\.2", "aspp_pool_norm"),
    (r"decoder\.aspp\.0\.project\.0", "aspp_project_conv"),
    (r"decoder\.aspp\.0\.project\.1", "aspp_project_norm"),
    (r"decoder\.aspp\.1\.0", "deep_depthwise"),
    (r"decoder\.aspp\.1\.1", "deep_conv"),
    (r"decoder\.aspp\.2", "deep_norm"),
    (r"decoder\.block1\.0", "skip_conv"),
    (r"decoder\.block1\.1", "skip_norm"),
    (r"decoder\.block2\.0\.0", "head_depthwise"),
    (r"decoder\.block2\.0\.1", "head_conv"),
    (r"decoder\.block2\.1", "head_norm"),
    (r"segmentation_head\.0", "score"),
]

#: class UPerNetDecoder.
UPERNET: Rule = [
    *((rf"decoder\.feature_norms\.{k - 2}", f"p{k}_layernorm") for k in (2, 3, 4, 5)),
    *(
        (pattern, f"{name}_{kind}")
        for module, name in [
            *(
                (rf"psp\.blocks\.{k}\.1", f"pool{n}")
                for k, n in enumerate((1, 2, 3, 6))
            ),
            (r"psp\.out_conv", "pool"),
            *(
                (rf"fpn_lateral_blocks\.{4 - k}\.conv_norm_relu", f"p{k}_lateral")
                for k in (4, 3, 2)
            ),
            *((rf"fpn_conv_blocks\.{4 - k}", f"p{k}") for k in (4, 3, 2)),
            (r"fusion_block", "head"),
        ]
        for part, kind in enumerate(("conv", "norm"))
        for pattern in [rf"decoder\.{module}\.{part}"]
    ),
    (r"segmentation_head\.0", "score"),
]

#: By the names of our builders.
RULES: dict[str, Rule] = {
    "fcn": FCN,
    "deeplab_v3": DEEPLAB_V3,
    "unet": UNET,
    "unet_plus_plus": UNET_PLUS_PLUS,
    "fpn": FPN,
    "linknet": LINKNET,
    "pspnet": PSPNET,
    "deeplab_v3_plus": DEEPLAB_V3_PLUS,
    "upernet": UPERNET,
}
