"""What the page of the demo is told about a photo."""

import base64
import io
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from keras_seg.data.decode.bands import check_bands_for
from keras_seg.data.values import Values, check_nodata, missing
from keras_seg.inference.image import predict_mask
from keras_seg.inference.nets import Net
from keras_seg.inference.opened import Model, as_net
from keras_seg.labels import IGNORE, shown_range
from keras_seg.palette import color_map

# Pixels of the longer side that the page shows; larger photos are predicted whole.
_SHOWN = 2048
# Quality of the photo on the page.
_QUALITY = 92


class Answers:
    """A model as a function from a photo to what `viewer.js` shows.

    Args:
        model: A Keras model, or the path of what `keras_seg.export` wrote.
        class_names: A name per class. None means those that an export holds, else
            "class 0" and so on.
        palette: A colour (red, green, blue) per class. None means that of an export,
            else VOC's.
        bands: Channels that the model takes of a photo, by number: 0 to 2 for red,
            green and blue. None means those of an export, else all.
        nodata: The value of pixels without data, as of `data.Source`: in masks they are
            255, "ignored". None for none.

    Attributes:
        channels: Of the photos: 1 for a model of grey images, else 3.

    Raises:
        ValueError: for a model of images that a page can't show, or as many names or
            colours as it hasn't classes.
    """

    def __init__(
        self,
        model: Model,
        class_names: Sequence[str] | None = None,
        palette: Any = None,
        *,
        bands: Sequence[int] | None = None,
        nodata: float | None = None,
    ):
        net = as_net(model)
        # A net of a Keras model lives as long as that; a file is opened once.
        self._model: Any = model if isinstance(model, keras.Model) else net
        count = net.num_classes
        about = getattr(net, "metadata", {})
        names = class_names or about.get("class_names")
        colors = about.get("palette") if palette is None else palette
        self.class_names = [*names] if names else [f"class {k}" for k in range(count)]
        self.palette = np.array(color_map(count) if colors is None else colors)
        if len(self.class_names) != count or self.palette.shape != (count, 3):
            raise ValueError(
                f"Expected {count} class names and colours, one per class. Received: "
                f"{len(self.class_names)} names, and colours {self.palette.shape}"
            )
        _check_takes_bytes(net)
        channels = net.input_shape[-1]
        self._bands = net.bands
        if bands is not None:
            self._bands = check_bands_for(bands, channels)
        if self._bands is not None:
            if max(self._bands) > 2:
                numbers = ", ".join(map(str, self._bands))
                raise ValueError(
                    "Expected a model of red, green and blue, the channels 0 to 2 of a "
                    f"photo. Received: one of channels {numbers}, which a page can't "
                    "show. Try: keras-seg predict."
                )
            channels = 3
        if channels not in (1, 3):
            raise ValueError(
                "Expected a model of colour or grey images, of 3 channels or 1. "
                f"Received: one of {channels} channels, which a page can't show. Try: "
                "keras-seg predict."
            )
        self.channels = channels
        self._nodata = check_nodata(nodata)
        self._values = Values(tf.uint8, *net.value_range)

    def __call__(self, photo: np.ndarray) -> dict[str, Any]:
        """Predict the mask of a photo.

        Args:
            photo: uint8 `[height, width, 3]`, or `[height, width]` for a model of grey
                images; of any size that the model takes.

        Returns:
            What fits into JSON: `photo` and `mask`, URLs that hold the pictures, the
            mask a grey PNG of ids; `names` and `colors` per class; `size`, width and
            height of the photo; `seconds` that predicting took.
        """
        image = photo if photo.ndim == 3 else photo[..., None]
        if self._bands is not None:
            image = image[..., list(self._bands)]
        gaps = np.zeros(image.shape[:2], bool)
        if self._nodata is not None:
            gaps = missing(tf.constant(image), self._nodata, self._values).numpy()
            black = np.asarray(self._values.low, image.dtype)
            image = np.where(gaps[..., None], black, image)  # as in training
        begin = time.perf_counter()
        mask = predict_mask(self._model, image)
        mask[gaps] = IGNORE
        seconds = time.perf_counter() - begin
        height, width = mask.shape
        pictures = [Image.fromarray(photo), Image.fromarray(mask)]
        if max(mask.shape) > _SHOWN:
            factor = _SHOWN / max(mask.shape)
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            ways = (Image.Resampling.BOX, Image.Resampling.NEAREST)
            pictures = [p.resize(size, w) for p, w in zip(pictures, ways, strict=True)]
        return {
            "photo": _url(pictures[0], "jpeg", quality=_QUALITY),
            "mask": _url(pictures[1], "png"),
            "names": self.class_names,
            "colors": self.palette.tolist(),
            "size": [width, height],
            "seconds": round(seconds, 3),
        }


def _check_takes_bytes(net: Net) -> None:
    """Raise for a model of images that aren't of 8 bits, as photos on a page are."""
    if not 1 < np.max(net.value_range[1]) < 1020:  # as `check_range` refuses bytes
        raise ValueError(
            "Expected a model of images of 8 bits. Received: one of images in "
            f"{shown_range(net.value_range)}, which a page can't show. Try: keras-seg "
            "predict."
        )


def _url(picture: Image.Image, kind: str, **options: Any) -> str:
    """A URL that holds a picture."""
    content = io.BytesIO()
    picture.save(content, format=kind, **options)
    text = base64.b64encode(content.getvalue()).decode()
    return f"data:image/{kind};base64,{text}"
