"""Options of `keras-seg train`, but for those that name the data set."""

import argparse
from pathlib import Path

from keras_seg.cli.option_types import (
    augmentation,
    factor,
    fraction,
    learning_rate,
    not_negative,
    positive,
    run_folder,
    scale,
    seed,
    side,
    widths,
)

#: Names of the functions that build models; a test compares them with those there are.
MODELS = (
    "unet",
    "attention_unet",
    "bisenet_v2",
    "fcn32s",
    "fcn16s",
    "fcn8s",
    "fcn",
    "deeplab_v3",
    "deeplab_v3_plus",
    "fpn",
    "linknet",
    "pspnet",
    "segformer",
    "unet_plus_plus",
    "upernet",
)

#: Rate of an encoder with trained weights, relative to the decoder's: docs/accuracy.md.
ENCODER_RATE = 0.03
#: Fewest steps of an epoch: a small set is passed several times, or a training of ten
#: epochs would end before the net has learned what is there.
FEWEST_STEPS = 50


def add_train_options(command: argparse.ArgumentParser) -> None:
    """Let a command have the options of a training."""
    _add_model_options(command)
    _add_training_options(command)
    _add_output_options(command)


def _add_model_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("model").add_argument
    add("--model", choices=MODELS, default="unet", help="architecture")
    add(
        "--widths",
        type=widths,
        metavar="N,N,...",
        help="filters per level, from full resolution down, for unet and others "
        "(default: 16,32,64,128; with --encoder 16,32,64,128,256)",
    )
    add(
        "--encoder",
        metavar="NAME",
        help="backbone: resnet18 to resnet101, efficientnet_lite0, mit_b0 to mit_b5, "
        "or one of keras.applications (default: none for unet, unet_plus_plus and "
        "attention_unet, mit_b0 for segformer, resnet50 for fcn and deeplab_v3, else "
        "resnet34)",
    )
    add(
        "--encoder-weights",
        metavar="W",
        help="initial weights of the encoder (fcn32s, fcn16s, fcn8s: of their VGG16): "
        "imagenet (not for mit_b0 to mit_b5), or a file",
    )
    add(
        "--weights",
        metavar="W",
        help="initial weights of the whole model: a file (.keras, or of another "
        "project: .pth, .safetensors, .caffemodel), the folder of a run, or coco_voc "
        "(fcn, deeplab_v3: those of torchvision)",
    )
    add(
        "--fresh-head",
        action="store_true",
        help="reinitialise the last convolution, where the file given to --weights has "
        "another number of classes",
    )
    add(
        "--auxiliary",
        type=factor,
        metavar="X",
        help="loss weight of an auxiliary head used only in training, for fcn and "
        "others (default: 0, no head)",
    )
    add(
        "--freeze-encoder",
        type=positive,
        nargs="?",
        const=True,
        metavar="EPOCHS",
        help="train only the decoder for EPOCHS epochs; the encoder is frozen "
        "meanwhile (default: all epochs)",
    )
    add(
        "--freeze-batch-norm",
        action=argparse.BooleanOptionalAction,
        help="freeze scale, shift and statistics of batch normalization in the "
        "encoder, even while its kernels are trained (default: with --encoder-weights)",
    )
    add(
        "--normalization",
        choices=("none", "batch", "group"),
        help="normalization layers, for unet and others (default: batch)",
    )
    add(
        "--upsampling",
        choices=("transpose", "bilinear", "nearest"),
        help="upsampling method of the decoder, for unet and others (default for unet: "
        "nearest with --encoder, else transpose)",
    )


def _add_training_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("training").add_argument
    add(
        "--size",
        type=side,
        metavar="PIXELS",
        help="height and width of the training crops (default: 64 for shapes, else "
        "256, or less where all images are smaller)",
    )
    add(
        "--scale",
        type=scale,
        metavar="LOW,HIGH",
        help="range of the random scale factor applied before cropping "
        "(default: 0.8,1.25 for shapes, else 0.5,2)",
    )
    add(
        "--batch-size",
        type=positive,
        metavar="N",
        help="crops per step (default: 16 for shapes, else 8)",
    )
    add(
        "--devices",
        type=positive,
        default=1,
        metavar="N",
        help="number of GPUs that share each batch; without a GPU the CPU is split, to "
        "try it out",
    )
    add("--epochs", type=positive, default=10, metavar="N", help="number of epochs")
    add(
        "--steps-per-epoch",
        type=positive,
        metavar="N",
        help="training steps per epoch (default: number of images / batch size, at "
        f"least {FEWEST_STEPS})",
    )
    add(
        "--validate-every",
        type=positive,
        default=1,
        metavar="N",
        help="validate every N epochs, and after the last one",
    )
    add(
        "--val-images",
        type=positive,
        metavar="N",
        help="validate on N images, spread over the split and the same in each epoch "
        "(default: all); final scores always use all",
    )
    add(
        "--loss",
        default="dice+cross_entropy",
        metavar="L",
        help="cross_entropy, focal, top_k, dice, jaccard, tversky, lovasz, "
        "boundary_f1, or a sum with factors, as 0.5*lovasz+cross_entropy",
    )
    add(
        "--class-weights",
        choices=("none", "median", "inverse", "enet"),
        default="none",
        help="class weights in cross_entropy, focal and top_k, computed from class "
        "frequencies",
    )
    add(
        "--learning-rate",
        type=learning_rate,
        metavar="X",
        help="highest learning rate (default: 0.003 for shapes, else 0.001)",
    )
    add(
        "--optimizer",
        choices=("adamw", "adam", "sgd"),
        default="adamw",
        help="optimizer",
    )
    add(
        "--schedule",
        choices=("poly", "cosine", "constant"),
        help="learning rate schedule (default: poly with --encoder, else cosine)",
    )
    add(
        "--warmup",
        type=not_negative,
        metavar="STEPS",
        help="warm-up steps of the learning rate (default: a tenth of all steps, at "
        "most 100)",
    )
    add(
        "--weight-decay",
        type=factor,
        default=1e-4,
        metavar="X",
        help="decoupled weight decay of convolution kernels",
    )
    add(
        "--encoder-rate",
        type=factor,
        metavar="X",
        help="learning rate of the encoder, as a share of the decoder's (default: "
        f"{ENCODER_RATE} with --encoder-weights, else 1)",
    )
    add(
        "--ema",
        type=fraction,
        metavar="MOMENTUM",
        help="validate and keep an exponential moving average of the weights, as 0.999",
    )
    add(
        "--accumulate",
        type=positive,
        default=1,
        metavar="N",
        help="average the gradients of N steps before each weight update",
    )
    add(
        "--clip",
        type=learning_rate,
        metavar="NORM",
        help="clip gradients to this global norm",
    )
    add(
        "--augment",
        type=augmentation,
        metavar="A",
        help="augmentation besides scaling and cropping: color=0.3 (brightness, "
        "contrast, saturation), rotation=DEGREES or quarter, elastic=PIXELS, "
        "flip=both|yes|no, comma-separated; or none (default: color=0.3,flip=yes)",
    )
    add(
        "--early-stop",
        type=positive,
        metavar="N",
        help="stop after N validations without a better mIoU",
    )
    add(
        "--cache",
        action="store_true",
        help="keep the decoded images in memory",
    )
    add(
        "--deterministic",
        action="store_true",
        help="use only deterministic TensorFlow operations, on GPUs too",
    )
    add("--seed", type=seed, default=0, metavar="N", help="random seed")
    add(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="Keras dtype policy",
    )


def _add_output_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("output").add_argument
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the model, its scores and pictures (default: "
        "runs/DATA-MODEL, with a number if it exists)",
    )
    add("--overwrite", action="store_true", help="replace an earlier run in --out")
    add(
        "--resume",
        type=run_folder,
        metavar="RUN",
        help="continue an interrupted run with its options, after its last complete "
        "epoch",
    )
    add(
        "--extend",
        action="store_true",
        help="with --resume: allow more --epochs than the run had; the learning rate "
        "schedule is stretched",
    )
    add(
        "--like",
        type=run_folder,
        metavar="RUN",
        help="start a new run with the options of RUN; options given here override "
        "them",
    )
    add(
        "--tensorboard",
        action="store_true",
        help="write curves, scores of each class and pictures of predictions for "
        "TensorBoard to the run's folder",
    )
    one_of = command.add_argument_group("printing").add_mutually_exclusive_group()
    one_of.add_argument("--quiet", action="store_true", help="print only the result")
    one_of.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object per epoch, and one of the result, each on a line",
    )
