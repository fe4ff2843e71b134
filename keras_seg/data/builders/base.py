"""What the builders share: a Source's examples, one after the other or by Beam."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from keras_seg.data.source import Source


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to open a Source: small, so that Beam can send it to its workers.

    Args:
        reader: Function that returns a Source, at the top of a module.
        arguments: Its arguments, by name.
    """

    reader: Callable[..., Source]
    arguments: tuple[tuple[str, Any], ...]

    def source(self) -> Source:
        """Open the Source; a process does so once."""
        return _open(self)


@functools.lru_cache(maxsize=2)
def _open(recipe: Recipe) -> Source:
    return recipe.reader(**dict(recipe.arguments))


def example(recipe: Recipe, index: int) -> tuple[str, dict[str, Any]]:
    """Example `index` as TFDS wants it: its key, and the files' bytes.

    The image is decoded too, so that no damaged one gets in.
    """
    source = recipe.source()
    _, mask = source[index]
    path = source.image_file(index)
    with tf.io.gfile.GFile(path, "rb") as file:
        image = file.read()
    name = source.names[index]
    # Grey, not palette, for TFDS reads the indices of a palette as luminance.
    png = tf.io.encode_png(tf.cast(mask[..., None], tf.uint8)).numpy()
    return name, {"image": image, "segmentation_mask": png, "file_name": name}


class SegmentationBuilder(tfds.core.GeneratorBasedBuilder):
    """A builder whose splits are Sources.

    Apache Beam makes the examples where the download config has options or a runner
    for it; without it, this process does.
    """

    _by_beam = False

    def describe(
        self, class_names: Sequence[str], **kwargs: Any
    ) -> tfds.core.DatasetInfo:
        """Info of a set of JPEGs, PNGs of ids, and names."""
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "segmentation_mask": tfds.features.LabeledImage(
                labels=list(class_names),
                encoding_format="png",
                doc="Class ids; 255 where a pixel is ignored.",
            ),
            "file_name": tfds.features.Text(doc="Of the image, without its suffix."),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "segmentation_mask"),
            **kwargs,
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
        self._by_beam = bool(
            download_config.beam_options or download_config.beam_runner
        )
        super()._download_and_prepare(dl_manager, download_config)

    def _generate_examples(self, recipe: Recipe) -> Any:
        source = recipe.source()
        names = self.info.features["segmentation_mask"].names
        if list(source.class_names) != names:
            raise ValueError(
                f"Expected the {len(names)} classes of {self.info.full_name}. Received "
                f"{source.num_classes}: {', '.join(source.class_names)}."
            )
        indices = range(len(source))
        if not self._by_beam:
            return (example(recipe, index) for index in indices)
        beam = tfds.core.lazy_imports.apache_beam
        return beam.Create(indices) | beam.Map(functools.partial(example, recipe))


def manual_folder(dl_manager: Any, inside: str, places: Sequence[str]) -> str | None:
    """The folder that the user has put files in, or None where there is no such.

    Args:
        dl_manager: TFDS's download manager.
        inside: What must be in the folder.
        places: Where the folder may lie in the manual folder.
    """
    try:
        root = dl_manager.manual_dir
    except AssertionError:  # empty, or not there
        return None
    for place in places:
        if (root / place / inside).exists():
            return str(root / place)
    return None
