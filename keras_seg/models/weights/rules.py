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
