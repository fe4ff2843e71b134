"""Arguments that name weights: checked before a net is built.

`encoder_weights` is where the encoder starts, `weights` where the whole net does.
"""

import os

from keras_seg.models.weights.by_order import ENDING

#: The model's file in the folder that `keras-seg train` writes.
_MODEL = "model.keras"


def check_weights(
    encoder_weights: str | os.PathLike | None,
    weights: str | os.PathLike | None,
    *,
    endings: tuple[str, ...] = (".keras", ENDING),
    encoder_endings: tuple[str, ...] = (".keras",),
    names: tuple[str, ...] = (),
) -> tuple[str | None, str | None]:
    """Return where the weights of an encoder and of a whole net are, if they are there.

    Args:
        encoder_weights: None, "imagenet" or a file.
        weights: None, a published name, a file, or the folder of a run of `keras-seg
            train`.
        endings: The names of files of weights end in one of these.
        encoder_endings: Likewise, for the encoder.
        names: The names of published weights of the whole net.

    Returns:
        The encoder's: None, "imagenet" or a path. The whole net's: None, a published
        name or a path.

    Raises:
        ValueError: if both are given, or a file has another ending.
        FileNotFoundError: if there is no such file, or no model in the folder.
    """
    if encoder_weights is not None and weights is not None:
        raise ValueError(
            "Expected `encoder_weights` or `weights`, not both: weights of a whole net "
            f"include its encoder's. Received: {encoder_weights!r} and {weights!r}"
        )
    if encoder_weights is not None and encoder_weights != "imagenet":
        encoder_weights = check_file(
            "encoder_weights", encoder_weights, encoder_endings, words="'imagenet', "
        )
    if weights == "imagenet":
        raise ValueError(
            "Expected `weights` to be those of a whole net, for segmentation. "
            "Received: 'imagenet', which are an encoder's: use "
            "encoder_weights='imagenet'."
        )
    if weights is not None and weights not in names:
        if os.path.isdir(weights):
            weights = _model_of_run(weights)
        words = "".join(f"{name!r}, " for name in names) + "the folder of a run, "
        weights = check_file("weights", weights, endings, words=words)
    return encoder_weights, weights


def check_file(
    argument: str, path: str | os.PathLike, endings: tuple[str, ...], *, words: str = ""
) -> str:
    """Return a path as a string, if it is of a known kind and there is such a file.

    Args:
        argument: What errors call the argument.
        path: The file.
        endings: The ends of the names of files that can be read.
        words: What else the argument can be, for errors.

    Raises:
        ValueError: for another ending.
        FileNotFoundError: if there is no such file.
    """
    path = os.fspath(path)
    if not path.endswith(endings):
        raise ValueError(
            f"Expected `{argument}` to be None, {words}or the path of a file "
            f"({', '.join(endings)}). Received: {path!r}"
        )
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"Expected a file of weights at {path}. There is no such file."
        )
    return path


def _model_of_run(folder: str | os.PathLike) -> str:
    path = os.path.join(folder, _MODEL)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"Expected a file of weights, or the folder of a run with {_MODEL}. "
            f"Received the folder {os.fspath(folder)}"
        )
    return path
