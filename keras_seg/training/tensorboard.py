"""TensorBoard: curves of all scores, those of each class, and pictures."""

import importlib.util
import os
import time
from typing import Any

import keras
import tensorflow as tf

from keras_seg.training.callbacks import Validate
from keras_seg.training.pictures import sample_sheet


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's TensorBoard callback, with scores of classes, and pictures.

    Epochs are counted from 1. When training continues from an earlier epoch
    (`initial_epoch` of `fit`), TensorBoard forgets what the folder has of the epochs
    that are repeated, so curves have no point twice.

    It belongs after `validate` among the callbacks.

    Args:
        log_dir: Folder for the event files.
        validate: The `Validate` among the callbacks: its scores of each class become
            curves "iou/NAME", and its examples pictures of image, truth and prediction.
        pictures: Number of examples in a picture, 0 for none.

    Raises:
        ImportError: if the package tensorboard isn't installed.

    Example:
        validate = Validate(val)
        model.fit(batches, callbacks=[validate, TensorBoard("logs", validate)])
    """

    def __init__(
        self,
        log_dir: str | os.PathLike = "logs",
        validate: Validate | None = None,
        *,
        pictures: int = 4,
    ):
        check_tensorboard()
        super().__init__(str(log_dir), write_graph=False)
        self.validate = validate
        self.pictures = pictures
        self._has_begun = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._has_begun = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if not self._has_begun and epoch > 0:
            for folder in (self._train_dir, self._val_dir):
                _forget_from(folder, epoch + 1)
        self._has_begun = True

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Not by steps as Keras does: validation has its curves by epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch + 1, logs)
        validated = any(name.startswith("val_") for name in logs or {})
        if not validated or self.validate is None or self.validate.scores is None:
            return
        with self._val_writer.as_default(step=epoch + 1):
            for name, value in self.validate.scores.iou.items():
                tf.summary.scalar(f"iou/{name}", value)
            if self.pictures:
                sheet = sample_sheet(self.model, self.validate.source, self.pictures)
                tf.summary.image("samples", sheet[None])
        self._val_writer.flush()
        self._train_writer.flush()


def check_tensorboard() -> None:
    """Raise unless the package tensorboard is installed.

    Raises:
        ImportError: saying how to install it.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ImportError(
            "Expected the package tensorboard. Received: an environment without it. To "
            "install it: pip install 'keras-seg[tensorboard]'"
        )


def _forget_from(folder: str, step: int) -> None:
    """Let TensorBoard forget the points of a folder that have this step or a later one.

    An event of its own says so, as when a session of TensorFlow 1 was restarted.
    """
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    if not os.path.isdir(folder):
        return
    restart = SessionLog(status=SessionLog.START)
    writer = EventFileWriter(folder)
    writer.add_event(Event(wall_time=time.time(), step=step, session_log=restart))
    writer.close()
