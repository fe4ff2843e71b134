"""The options that name a data set, for the commands that read one."""

import argparse

from keras_seg.cli.option_types import (
    area,
    bands,
    nodata,
    overlap,
    page_of_file,
    positive,
    side,
)

DATA = ("shapes", "voc", "coco", "folder")
#: Options that are paths.
PATHS = ("root", "sbd", "images", "annotations", "masks", "colors")


def add_dataset_options(command: argparse.ArgumentParser) -> None:
    """Let a command have the options that name a data set."""
    add = command.add_argument_group("data set").add_argument
    add("--data", choices=DATA, default="shapes", help="kind of data set")
    add(
        "--root",
        metavar="PATH",
        help="voc: the folder VOCdevkit/VOC2012; coco: the folder with annotations/",
    )
    add(
        "--classes",
        metavar="C",
        help="coco: voc (its 20 classes), coco (all of the file), or names: cat,dog "
        "(default: voc with --root, else coco)",
    )
    add(
        "--annotations",
        metavar="FILE",
        help="coco: JSON file that a tool exported, with --images in place of --root; "
        "{split} in a path stands for train and val",
    )
    add(
        "--crowd",
        choices=("ignore", "object"),
        help="coco: treat annotations with iscrowd=1 as ignored pixels (default), or "
        "as objects, as CVAT's masks need",
    )
    add(
        "--overlap",
        choices=("ignore", "smallest"),
        help="coco: ignore pixels covered by two objects (default), or give them to "
        "the smaller object",
    )
    add(
        "--boxes",
        choices=("error", "ignore"),
        help="coco: boxes without an outline are an error (default), or ignored pixels",
    )
    add(
        "--min-area",
        type=area,
        metavar="N",
        help="coco: leave out images whose objects cover N pixels or fewer in total",
    )
    add(
        "--sbd",
        metavar="PATH",
        help="voc: SBD's folder dataset/cls, for --train-split train_aug",
    )
    add(
        "--images",
        metavar="PATH",
        help="folder, coco: the images: a folder, or a pattern 'PATH/*_image.png'",
    )
    add(
        "--masks",
        metavar="PATH",
        help="folder: the masks, a folder or a pattern; {split} in a path stands for "
        "train and val",
    )
    add(
        "--names",
        metavar="N",
        help="folder: class names, comma-separated, or a text file with one a line",
    )
    add(
        "--ignore",
        metavar="IDS",
        help="folder: ids of pixels to ignore, as 0,255, or with --colors colours, as "
        "'#804000' (default: 255, unless --ids has it)",
    )
    add(
        "--ids",
        metavar="IDS",
        help="folder: ids of each class in the masks, as 0,255; several ids of one "
        "class: 0,1-255 or 0,1+7 (default: 0,1,...)",
    )
    add(
        "--colors",
        metavar="FILE",
        help="folder: text file with the colour of each id, 'R G B name' a line, for "
        "masks in RGB",
    )
    add(
        "--binary",
        action="store_true",
        default=None,  # as other options of one data set that aren't given
        help="folder: masks are 0 for background and anything else for objects, 255 "
        "say: two classes (--names background,object, unless given)",
    )
    add(
        "--instances",
        choices=("border", "touching"),
        help="folder: masks number each object: three classes, background, inside and "
        "border; touching: border between objects only",
    )
    add(
        "--border",
        type=positive,
        metavar="N",
        help="folder: with --instances, width of the border in pixels (default: 2)",
    )
    add(
        "--channels",
        type=positive,
        metavar="N",
        help="folder: number of channels that images are converted to (default: as in "
        "the first image); 3 makes grey images RGB and drops alpha",
    )
    add(
        "--bands",
        type=bands,
        metavar="N,N",
        help="folder: bands, that is channels of a file, to pick and their order, "
        "counted from 0, as 3,0,1 (default: all)",
    )
    add(
        "--page",
        type=page_of_file,
        metavar="N",
        help="folder: page to read of multi-page TIFFs, counted from 0, or all, which "
        "stacks the channels of all pages",
    )
    add(
        "--value-range",
        metavar="LOW,HIGH",
        help="folder: values of black and white in images, as 0,4095 for 12 bits; or "
        "measured on the training images: percentiles (the 0.5th and the 99.5th) or "
        "standardize (mean -+ standard deviation of each channel) (default: 0,255 for "
        "8 bits, 0,65535 for 16)",
    )
    add(
        "--nodata",
        type=nodata,
        metavar="VALUE",
        help="folder: value that marks image pixels without data; they are ignored. "
        "nan stands for NaN and infinity",
    )
    add(
        "--tiles",
        type=side,
        metavar="PIXELS",
        help="cut large images into tiles of this height and width; each tile is one "
        "example, and only its pixels are read (default: whole images)",
    )
    add(
        "--tile-overlap",
        type=overlap,
        metavar="F",
        help="with --tiles: fraction by which neighbouring training tiles overlap "
        "(default: 0)",
    )
    add(
        "--train-split",
        metavar="S",
        help="split to train on (default: train); folder: a text file of stems",
    )
    add(
        "--val-split",
        metavar="S",
        help="split to validate on (default: val; folder: a fifth of the examples); "
        "folder: a text file of stems",
    )
