"""COCO-Stuff's 171 classes, and the values that they have in its pixel maps.

Caesar, Uijlings and Ferrari, "COCO-Stuff: Thing and Stuff Classes in Context", CVPR
2018, https://arxiv.org/abs/1612.03716. In `stuffthingmaps_trainval2017` a pixel has the
number of its class in the authors' list, less one, and 255 where it has none. Of the
182 numbers 11 occur nowhere.
"""

from keras_seg.data.readers.coco.classes import THINGS

# Numbers from 1 on, as the authors count, that were taken out of COCO again.
_UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}

_STUFF = (
    *("banner", "blanket", "branch", "bridge", "building-other", "bush", "cabinet"),
    *("cage", "cardboard", "carpet", "ceiling-other", "ceiling-tile", "cloth"),
    *("clothes", "clouds", "counter", "cupboard", "curtain", "desk-stuff", "dirt"),
    *("door-stuff", "fence", "floor-marble", "floor-other", "floor-stone"),
    *("floor-tile", "floor-wood", "flower", "fog", "food-other", "fruit"),
    *("furniture-other", "grass", "gravel", "ground-other", "hill", "house", "leaves"),
    *("light", "mat", "metal", "mirror-stuff", "moss", "mountain", "mud", "napkin"),
    *("net", "paper", "pavement", "pillow", "plant-other", "plastic", "platform"),
    *("playingfield", "railing", "railroad", "river", "road", "rock", "roof", "rug"),
    *("salad", "sand", "sea", "shelf", "sky-other", "skyscraper", "snow"),
    *("solid-other", "stairs", "stone", "straw", "structural-other", "table", "tent"),
    *("textile-other", "towel", "tree", "vegetable", "wall-brick", "wall-concrete"),
    *("wall-other", "wall-panel", "wall-stone", "wall-tile", "wall-wood"),
    *("water-other", "waterdrops", "window-blind", "window-other", "wood"),
)

#: Values in the pixel maps by name: `folder(images, maps, class_names=list(COCO_STUFF),
#: ids=list(COCO_STUFF.values()))` reads them.
COCO_STUFF: dict[str, int] = dict(
    zip(
        (*THINGS, *_STUFF),
        (number - 1 for number in range(1, 183) if number not in _UNUSED),
        strict=True,
    )
)
