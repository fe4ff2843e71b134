"""Weights of SegFormer and of its encoders (MiT) from files of Hugging Face.

The names are those of the published files ("nvidia/segformer-b0-finetuned-ade-512-512",
"nvidia/mit-b0"). `transformers` 5 has other names in memory, which `torch.save` of a
`state_dict()` writes: these are made the published ones first.
"""

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_seg.models.weights.by_name import (
    Named,
    assign,
    layers_with_weights,
    listed,
)
from keras_seg.models.weights.torch_file import kernel, read_torch_file

#: Of files of Hugging Face that can be read.
ENDINGS = (".bin", ".pth")

#: Our layers, and what Hugging Face calls the place of their weights. I and K stand for
#: the numbers of a stage and a block, which begin at 0 there.
_PLACES = {
    r"stage(\d)_patch_conv": "segformer.encoder.patch_embeddings.I.proj",
    r"stage(\d)_patch_norm": "segformer.encoder.patch_embeddings.I.layer_norm",
    r"stage(\d)_norm": "segformer.encoder.layer_norm.I",
    r"p(\d)_linear": "decode_head.linear_c.I.proj",
    r"p(\d)_fuse": "decode_head.linear_fuse",
    r"fuse_norm": "decode_head.batch_norm",
    r"score": "decode_head.classifier",
} | {
    rf"stage(\d)_block(\d+)_{layer}": f"segformer.encoder.block.I.K.{place}"
    for layer, place in {
        "norm1": "layer_norm_1",
        "attention_query": "attention.self.query",
        "attention_key": "attention.self.key",
        "attention_value": "attention.self.value",
        "attention_reduce_conv": "attention.self.sr",
        "attention_reduce_norm": "attention.self.layer_norm",
        "attention_project": "attention.output.dense",
        "norm2": "layer_norm_2",
        "ffn_expand": "mlp.dense1",
        "ffn_conv": "mlp.dwconv.dwconv",
        "ffn_project": "mlp.dense2",
    }.items()
}
#: What transformers 5 has in memory, and what is published.
_RENAMED = {
    r"^(?=encoder\.|stages\.)": "segformer.",  # of a model without a head
    r"stages\.(\d+)\.patch_embeddings": r"encoder.patch_embeddings.\1",
    r"stages\.(\d+)\.blocks\.(\d+)": r"encoder.block.\1.\2",
    r"stages\.(\d+)\.layer_norm": r"encoder.layer_norm.\1",
    r"layernorm_before": "layer_norm_1",
    r"layernorm_after": "layer_norm_2",
    r"attention\.q_proj": "attention.self.query",
    r"attention\.k_proj": "attention.self.key",
    r"attention\.v_proj": "attention.self.value",
    r"attention\.o_proj": "attention.output.dense",
    r"attention\.sequence_reduction\.sequence_reduction": "attention.self.sr",
    r"attention\.sequence_reduction\.layer_norm": "attention.self.layer_norm",
    r"mlp\.fc(\d)": r"mlp.dense\1",
    r"decode_head\.linear_projections": "decode_head.linear_c",
}


def load_segformer(model: keras.Model, path: str) -> None:
    """Set all weights of a SegFormer from a file of Hugging Face.

    Args:
        model: A SegFormer on a MiT.
        path: A file of `SegformerForSemanticSegmentation`.

    Raises:
        ValueError: naming the file, if it is of another kind or of another net.
    """
    tensors = read_torch_file(path)
    assign(model, named_tensors(model, tensors, where=path), where=path)


def load_mit(encoder: keras.Model, path: str) -> None:
    """Set all weights of a MiT from a file of Hugging Face.

    Args:
        encoder: The MiT, or an encoder of it.
        path: A file of `SegformerModel`, or of a net with one: its head isn't used.

    Raises:
        ValueError: naming the file, if it is of another kind or of another net.
    """
    tensors = read_torch_file(path)
    tensors = {
        name: x
        for name, x in tensors.items()
        if not name.startswith(("decode_head.", "classifier."))
    }
    assign(encoder, named_tensors(encoder, tensors, where=path), where=path)


def named_tensors(
    model: keras.Model, tensors: Mapping[str, np.ndarray], *, where: str
) -> Named:
    """Weights by the names of a model's layers, as Keras has them.

    Args:
        model: A SegFormer on a MiT, or a MiT.
        tensors: Arrays by name, as Hugging Face has them.
        where: What errors call their origin.

    Raises:
        ValueError: naming the tensors that are missing or left over.
    """
    tensors = {_published(name): x for name, x in tensors.items()}
    named, wanted = {}, set()
    for name, layer in layers_with_weights(model):
        place, number = _place(name.rpartition("/")[2])
        parts = ["weight", "bias", "running_mean", "running_var"][: len(layer.weights)]
        names = [f"{place}.{part}" for part in parts]
        wanted.update(names)
        if tensors.keys() >= set(names):
            named[name] = [_in_keras(tensors[n], layer, number) for n in names]
    missing = sorted(wanted - tensors.keys())
    left = sorted(
        tensors.keys() - wanted - {"decode_head.batch_norm.num_batches_tracked"}
    )
    if missing or left:
        raise ValueError(
            f"{where}: Expected weights of {model.name!r}. Missing: {listed(missing)}. "
            f"Left over: {listed(left)}. Likely cause: another size (B0 to B5), or "
            "weights of an encoder, which are for `encoder_weights`."
        )
    return named


def _published(name: str) -> str:
    for pattern, replacement in _RENAMED.items():
        name = re.sub(pattern, replacement, name)
    return name


def _place(layer: str) -> tuple[str, int]:
    """What Hugging Face calls the place of a layer, and the number of its stage."""
    for pattern, place in _PLACES.items():
        if found := re.fullmatch(pattern, layer):
            stage, block = ([int(n) for n in found.groups()] + [1, 1])[:2]
            if layer.startswith("p"):  # levels begin with P2, stages with 1
                stage -= 1
            place = place.replace("I", str(stage - 1)).replace("K", str(block - 1))
            return place, stage
    raise ValueError(
        "Expected a SegFormer on a MiT for weights of Hugging Face. Received: a model "
        f"with the layer {layer!r}"
    )


def _in_keras(tensor: np.ndarray, layer: Any, stage: int) -> np.ndarray:
    """A weight as the layer has it."""
    if re.fullmatch(r"p\d_fuse", layer.name) and tensor.ndim == 4:
        # Its share of the kernel for all stages, of which the deepest comes first.
        return np.split(tensor[:, :, 0, 0].T, 4)[4 - stage]
    if tensor.ndim == 4:
        return kernel(tensor, depthwise=isinstance(layer, keras.layers.DepthwiseConv2D))
    return tensor.T
