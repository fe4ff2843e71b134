"""The picture of docs/models.md: how features go through each architecture.

    python docs/images/architectures.py

Each dot is a map: across, how many layers came before it; down, how much smaller it is.
A larger dot has more channels. Lines go to the maps that are made of it.
"""

import math
from pathlib import Path

import keras
import matplotlib.pyplot as plt
from keras import layers

import keras_seg

SIDE = 256
PICTURE = Path(__file__).with_name("architectures.png")
NETS = {
    "unet": {},
    "unet_plus_plus": {},
    "attention_unet": {},
    "unet (encoder)": {"encoder": "resnet18"},
    "linknet": {"encoder": "resnet18"},
    "fpn": {"encoder": "resnet18"},
    "upernet": {"encoder": "resnet18"},
    "pspnet": {"encoder": "resnet18", "level": "P5"},
    "fcn8s": {},
    "fcn": {"encoder": "resnet18"},
    "deeplab_v3": {"encoder": "resnet18"},
    "deeplab_v3_plus": {"encoder": "resnet18"},
    "segformer": {},
    "bisenet_v2": {},
}
#: Layers whose outputs are drawn; others are passed through.
DRAWN = (
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.DepthwiseConv2D,
    layers.Add,
    layers.Multiply,
    layers.Concatenate,
    layers.MaxPooling2D,
)


def maps(net):
    """Maps of a net: {name: (depth, level, channels, names of what it is made of)}."""
    made = {id(net.input): []}  # tensors, and names of the maps that they come from
    found, levels = {}, {}
    for layer in net.layers:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = [x for x in inputs if hasattr(x, "shape")]
        outputs = layer.output
        if isinstance(outputs, dict):  # an encoder: each level is a map
            for k, (level, x) in enumerate(outputs.items()):
                found[level] = (k + 1, *of(x), [*levels.values()][-1:])
                levels[x.shape] = level
            continue
        # What no layer of this net has made is the encoder's.
        sources = [s for x in inputs for s in made.get(id(x), [levels.get(x.shape)])]
        sources = [*dict.fromkeys(s for s in sources if s in found)]
        if isinstance(layer, DRAWN) and outputs.shape[1] is not None:
            depth = 1 + max((found[s][0] for s in sources), default=0)
            found[layer.name] = (depth, *of(outputs), sources)
            sources = [layer.name]
        made[id(outputs)] = sources
    return found


def of(x):
    """Level and channels of a map."""
    return math.log2(SIDE / max(1, x.shape[1])), x.shape[-1]


def draw(axes, name, found):
    """Draw the maps of a net."""
    for depth, level, channels, sources in found.values():
        for source in sources:
            x, y, *_ = found[source]
            axes.plot([x, depth], [y, level], color="0.6", linewidth=0.7, zorder=1)
        size = 4 + 1.5 * math.log2(channels) ** 1.3
        axes.scatter(depth, level, s=size, color=plt.cm.viridis(level / 8), zorder=2)
    axes.set_title(name, fontsize=10)
    axes.set_yticks(range(9), [f"1/{2**k}" for k in range(9)], fontsize=7)
    axes.set_xticks([])
    axes.set_ylim(8.5, -0.5)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def main():
    """Draw all of them."""
    figure, rows = plt.subplots(5, 3, figsize=(11, 13), layout="constrained")
    for axes, (name, options) in zip(rows.flat, NETS.items(), strict=False):
        build = getattr(keras_seg, name.split()[0])
        draw(axes, name, maps(build(21, input_shape=(SIDE, SIDE, 3), **options)))
        keras.utils.clear_session()
    for axes in list(rows.flat)[len(NETS) :]:
        axes.axis("off")
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
