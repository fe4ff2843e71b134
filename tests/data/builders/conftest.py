"""Tiny trees in the layout of VOC and of COCO, to make sets of."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_seg import data
from keras_seg.data.builders import coco_segmentation

SIZES = [(20, 30), (17, 25), (24, 16), (12, 40), (31, 9)]


@pytest.fixture(scope="session")
def voc_folder(tmp_path_factory):
    """Folder with VOCdevkit/VOC2012: 3 images to train, 2 of val, 4 in train_aug."""
    folder = tmp_path_factory.mktemp("voc")
    write_voc_folder(folder)
    return folder


def write_voc_folder(folder):
    root = folder / "VOCdevkit/VOC2012"
    for seed, (split, count) in enumerate({"train": 3, "val": 2, "sbd": 1}.items()):
        rng = np.random.default_rng(seed)
        masks = [rng.choice([*range(21), 255], SIZES[i]) for i in range(count)]
        images = [rng.integers(0, 256, (*SIZES[i], 3), np.uint8) for i in range(count)]
        names = data.shapes(1).class_names
        names = [*names, *(f"class {i}" for i in range(len(names), 21))]
        data.write_voc(data.arrays(images, masks, class_names=names), root, split)
    lists = root / "ImageSets/Segmentation"
    stems = {s: (lists / f"{s}.txt").read_text() for s in ("train", "val", "sbd")}
    (lists / "sbd.txt").unlink()
    (lists / "trainval.txt").write_text(stems["train"] + stems["val"])
    (lists / "train_aug.txt").write_text(stems["train"] + stems["sbd"])
    (root / "SegmentationClassAug").mkdir()
    name = f"{stems['sbd'].strip()}.png"
    (root / "SegmentationClass" / name).rename(root / "SegmentationClassAug" / name)


@pytest.fixture(scope="session")
def coco_folder(tmp_path_factory):
    """Folder with COCO's: 3 images to train and 2 of val, objects and segments."""
    folder = tmp_path_factory.mktemp("coco")
    write_coco_folder(folder)
    return folder


def write_coco_folder(folder):
    things, stuff = coco_segmentation.THINGS, coco_segmentation.STUFF
    categories = [
        {"id": 2 * i + 1, "name": name, "isthing": int(i < len(things))}
        for i, name in enumerate((*things, *stuff))
    ]
    (folder / "annotations").mkdir(parents=True)
    for seed, (split, count) in enumerate({"train2017": 3, "val2017": 2}.items()):
        write_coco_split(folder, split, count, categories, len(things), seed)


def write_coco_split(folder, split, count, categories, things, seed):
    rng = np.random.default_rng(seed)
    pngs = folder / f"annotations/panoptic_{split}"
    pngs.mkdir()
    (folder / split).mkdir()
    images, objects, panoptic = [], [], []
    for index in range(count):
        height, width = SIZES[index]
        number = 100 * seed + 10 - index
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / split / f"{number:012}.jpg")
        images.append({"id": number, "height": height, "width": width})
        images[-1]["file_name"] = f"{number:012}.jpg"
        for k in range(4):
            left, top = rng.uniform(0, width / 2), rng.uniform(0, height / 2)
            right, bottom = left + width / 3, top + height / 3
            # Of VOC's classes (person, ...) and of others.
            category = categories[0] if k == 0 else categories[rng.integers(things)]
            polygon = [left, top, right, top, right, bottom, left, bottom]
            objects.append({"segmentation": [polygon], "iscrowd": 0, "area": 9})
            objects[-1] |= {"category_id": category["id"], "image_id": number}
            objects[-1]["id"] = len(objects)
        runs = {
            "size": [height, width],
            "counts": [height, 3, height * (width - 1) - 3],
        }
        objects.append({"segmentation": runs, "iscrowd": 1, "area": 3})
        objects[-1] |= {"category_id": categories[0]["id"], "image_id": number}
        objects[-1]["id"] = len(objects)

        ids = rng.choice(2**24 - 1, 4, replace=False) + 1
        segments = rng.choice([0, *ids], (height, width))
        colors = np.stack([segments & 255, segments >> 8 & 255, segments >> 16], -1)
        name = f"{number:012}.png"
        Image.fromarray(colors.astype(np.uint8)).save(pngs / name)
        # The first and the last class, any, and a crowd.
        of = [0, len(categories) - 1, *rng.integers(len(categories), size=2)]
        info = [
            {"id": int(i), "category_id": categories[c]["id"], "iscrowd": int(k == 3)}
            | {"area": 1, "bbox": [0, 0, 1, 1]}
            for k, (i, c) in enumerate(zip(ids, of, strict=True))
        ]
        panoptic.append({"image_id": number, "file_name": name, "segments_info": info})
    for kind, annotations, listed in (
        ("instances", objects, categories[:things]),
        ("panoptic", panoptic, categories),
    ):
        content = {"images": images, "annotations": annotations, "categories": listed}
        path = folder / f"annotations/{kind}_{split}.json"
        path.write_text(json.dumps(content))
