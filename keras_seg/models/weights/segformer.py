"""Weights of SegFormer and of its encoders (MiT) from files of Hugging Face.

The published files ("nvidia/segformer-b0-finetuned-ade-512-512", "nvidia/mit-b0") have
the names of `transformers` 4. Version 5 writes these names too, but has others in
memory, which `torch.save` of a `state_dict()` writes. Both are read.
"""

import keras
import numpy as np

from keras_seg.models.weights.by_name import Named, assign
from keras_seg.models.weights.by_rule import Rule, Tensors, inside, named_by_rule
from keras_seg.models.weights.channels import fit_channels
from keras_seg.models.weights.tensors import read_tensors

#: In a block: modules of transformers 4 or 5, and our layers.
_BLOCK: Rule = [
    (r"(?:layer_norm_1|layernorm_before)", "norm1"),
    (r"attention\.(?:self\.query|q_proj)", "attention_query"),
    (r"attention\.(?:self\.key|k_proj)", "attention_key"),
    (r"attention\.(?:self\.value|v_proj)", "attention_value"),
    (
        r"attention\.(?:self\.sr|sequence_reduction\.sequence_reduction)",
        "attention_reduce_conv",
    ),
    (r"attention\.(?:self|sequence_reduction)\.layer_norm", "attention_reduce_norm"),
    (r"attention\.(?:output\.dense|o_proj)", "attention_project"),
    (r"(?:layer_norm_2|layernorm_after)", "norm2"),
    (r"mlp\.(?:dense1|fc1)", "ffn_expand"),
    (r"mlp\.dwconv\.dwconv", "ffn_conv"),
    (r"mlp\.(?:dense2|fc2)", "ffn_project"),
]
_IN_BLOCK = r"(?:encoder\.block|stages)\.(\d)\.(?:blocks\.)?(\d+)\."
#: transformers/models/segformer, class SegformerModel.
MIT: Rule = [
    (r"encoder\.patch_embeddings\.(\d)\.proj", r"stage\1_patch_conv"),
    (r"stages\.(\d)\.patch_embeddings\.proj", r"stage\1_patch_conv"),
    (r"encoder\.patch_embeddings\.(\d)\.layer_norm", r"stage\1_patch_norm"),
    (r"stages\.(\d)\.patch_embeddings\.layer_norm", r"stage\1_patch_norm"),
    *((_IN_BLOCK + module, rf"stage\1_block\2_{layer}") for module, layer in _BLOCK),
    (r"(?:encoder\.layer_norm\.(\d)|stages\.(\d)\.layer_norm)", r"stage\1\2_norm"),
]
#: Class SegformerDecodeHead, with the kernel of `linear_fuse` in four parts.
_HEAD: Rule = [
    *(
        (rf"decode_head\.linear_(?:c|projections)\.{k}\.proj", f"p{k + 2}_linear")
        for k in range(4)
    ),
    (r"decode_head\.linear_fuse\.(p\d)", r"\1_fuse"),
    (r"decode_head\.batch_norm", "fuse_norm"),
    (r"decode_head\.classifier", "score"),
]
_FUSE = "decode_head.linear_fuse.weight"
#: The layer that sees the image.
_FIRST = "stage0_patch_conv"


def segformer_by_name(model: keras.Model, tensors: Tensors, path: str) -> Named:
    """Weights of Hugging Face's `SegformerForSemanticSegmentation` by our names.

    Args:
        model: The SegFormer that they are for.
        tensors: What is in the file.
        path: What errors call the file.

    Raises:
        ValueError: if it is of another kind.
    """
    if _FUSE not in tensors:
        raise ValueError(
            f"{path}: Expected weights of a SegFormer of Hugging Face. There is no "
            f"{_FUSE}. Likely cause: weights of an encoder, for `encoder_weights`."
        )
    layers = model.get_layer("encoder").layers
    (mit,) = (layer for layer in layers if isinstance(layer, keras.Model))
    rule = [*inside(MIT, "segformer", f"encoder/{mit.name}"), *_HEAD]
    return named_by_rule(model, _split(tensors), rule, where=path)


def load_mit(model: keras.Model, path: str) -> None:
    """Set all weights of a MiT; what classifies or segments in the file is left out.

    Args:
        model: The MiT to change.
        path: A file of Hugging Face's `SegformerModel`, or of a net with one.

    Raises:
        ValueError: naming the file, if it is of another kind, or holds another net.
    """
    tensors = {
        name.removeprefix("segformer."): tensor
        for name, tensor in read_tensors(path).items()
        if not name.startswith(("decode_head.", "classifier."))
    }
    named = named_by_rule(model, tensors, MIT, where=path)
    if _FIRST in named:
        named[_FIRST] = fit_channels(model.get_layer(_FIRST), named[_FIRST])
    assign(model, named, where=path)


def _split(tensors: Tensors) -> Tensors:
    """Tensors with a kernel for each level, in place of one for all of them."""
    kernel = tensors[_FUSE]
    if kernel.ndim != 4:
        return tensors
    parts = np.array_split(kernel[:, :, 0, 0], 4, axis=1)  # the deepest level is first
    names = [_FUSE.replace("weight", f"p{level}.weight") for level in (5, 4, 3, 2)]
    others = {name: tensor for name, tensor in tensors.items() if name != _FUSE}
    return others | dict(zip(names, parts, strict=True))
