"""Train a U-Net on several hosts with JAX, one process on each, all started alike.

On Slurm and on TPU pods JAX finds out itself which hosts there are; so it does in an
indexed Job of Kubernetes, with `pip install "jax[k8s]"`:

    srun --kill-on-bad-exit python examples/train_multihost.py VOC2012 runs/hosts

Elsewhere say it, here for host 1 of 2; host 0 listens at the coordinator's address:

    python examples/train_multihost.py VOC2012 runs/hosts \
        --coordinator 10.0.0.1:1234 --hosts 2 --host 1

Each host reads its own share of every batch and of the images to validate on, and all
take the same step. Host 0 writes model, history and checkpoints; only it needs to see
the folder. Started again with the same words, all hosts go on after the last whole
epoch. If one host fails, the others end within a minute.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported

import jax
import keras
import numpy as np
import tensorflow as tf
from jax.experimental import multihost_utils

import keras_seg
from keras_seg.inference import Scores
from keras_seg.training.callbacks import BestModel, CSVHistory


def main() -> None:
    """Read the command line, join the other hosts, and train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", help="folder VOC2012")
    parser.add_argument("out", type=Path, help="folder to write to, on host 0")
    parser.add_argument("--coordinator", help="address of host 0, as 10.0.0.1:1234")
    parser.add_argument("--hosts", type=int, help="number of hosts")
    parser.add_argument("--host", type=int, help="number of this host, from 0")
    parser.add_argument("--size", type=int, default=256, help="side of the crops")
    parser.add_argument("--batch-size", type=int, default=32, help="of all hosts")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--steps-per-epoch", type=int, default=100)
    parser.add_argument("--widths", default="16,32,64,128,256", help="of the U-Net")
    options = parser.parse_args()

    tf.config.set_visible_devices([], "GPU")  # TensorFlow only reads the images
    jax.distributed.initialize(
        options.coordinator,
        options.hosts,
        options.host,
        heartbeat_timeout_seconds=30,  # a host that is silent for so long has failed
    )
    try:
        train(options)
    except BaseException:
        traceback.print_exc()
        print(
            f"\nHost {jax.process_index()} of {jax.process_count()} has stopped, for "
            "the error above. If that is a connection that was lost, or that timed "
            "out, another host stopped first: look there. To go on after the last "
            "whole epoch, start all hosts again with the same command.",
            file=sys.stderr,
            flush=True,
        )
        # At once: Python's usual end waits for the other hosts, which wait for this.
        os._exit(1)


def train(options: argparse.Namespace) -> None:
    """Train on this host's share of the data, in step with the other hosts."""
    host, hosts = jax.process_index(), jax.process_count()
    if options.batch_size % jax.device_count():
        raise ValueError(
            f"Expected a batch size that {jax.device_count()} devices can share "
            f"equally. Received: {options.batch_size}"
        )
    keras.utils.set_random_seed(0)  # the same weights on all hosts
    # Batches come in shares already, so Keras isn't to share them out once more.
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(auto_shard_dataset=False)
    )

    voc_train = keras_seg.data.voc(options.root, "train")
    voc_val = keras_seg.data.voc(options.root, "val")
    model = keras_seg.unet(
        voc_train.num_classes,
        widths=tuple(map(int, options.widths.split(","))),
        normalization="batch",  # statistics are those of the batch of all hosts
    )
    steps = options.epochs * options.steps_per_epoch
    adamw = keras_seg.training.optimizer(
        model, 1e-3, steps=steps, encoder_rate=1, warmup=min(100, steps // 10)
    )
    model.compile(adamw, keras_seg.losses.WeightedCrossEntropy())

    folder: Path = options.out / "checkpoints"
    settings = {"batch size": options.batch_size, "epochs": options.epochs}
    checkpoint = keras_seg.training.Checkpoint(folder, settings=settings)
    if host > 0:
        checkpoint.folder = Path(tempfile.mkdtemp())
    copy_from_host_0(folder, checkpoint.folder)
    epoch = checkpoint.restore(model)  # 0 when there is nothing to go on from

    batches = voc_train.batches(
        options.batch_size // hosts,
        size=(options.size, options.size),
        augment=keras_seg.data.standard_augmentation(),
        shuffle=True,
        repeat=True,
        first_step=epoch * options.steps_per_epoch,
        shard=(host, hosts),
    )
    callbacks: list[keras.callbacks.Callback] = [
        keras_seg.training.StopOnNaN(),
        Validate(voc_val[host::hosts]),
    ]
    if host == 0:
        options.out.mkdir(parents=True, exist_ok=True)
        history = CSVHistory(options.out / "history.csv", keep_epochs=epoch)
        callbacks += [BestModel(options.out / "model.keras"), history, checkpoint]
    model.fit(
        batches,
        epochs=options.epochs,
        initial_epoch=epoch,
        steps_per_epoch=options.steps_per_epoch,
        callbacks=callbacks,
        shuffle=False,  # the batches are shuffled already
        verbose=2 if host == 0 else 0,
    )


class Validate(keras.callbacks.Callback):
    """Score whole images: each host its share, and all get the scores of all images."""

    def __init__(self, share: keras_seg.data.Source):
        super().__init__()
        self.share = share

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        scores = of_all_hosts(keras_seg.evaluate(self.model, self.share))
        values = scores.as_dict().items()
        (logs or {}).update({f"val_{name}": value for name, value in values})


def of_all_hosts(scores: Scores) -> Scores:
    """The scores of all images, from those of each host's share."""
    loss = (scores.loss or 0.0) * scores.images
    counts = [scores.ignored_pixels, scores.invalid_pixels, scores.images]
    (loss,) = sum_over_hosts(np.array([loss]))
    ignored, invalid, images = sum_over_hosts(np.array(counts))
    return dataclasses.replace(
        scores,
        confusion_matrix=sum_over_hosts(scores.confusion_matrix),
        ignored_pixels=int(ignored),
        invalid_pixels=int(invalid),
        images=int(images),
        loss=loss / images,
    )


def sum_over_hosts(x: np.ndarray) -> np.ndarray:
    """The sum of the arrays of all hosts, on each of them."""
    # As bytes, since JAX makes 32 bits of 64.
    gathered = multihost_utils.process_allgather(x.reshape(-1).view(np.uint8))
    return np.asarray(gathered).view(x.dtype).reshape(-1, *x.shape).sum(axis=0)


def copy_from_host_0(folder: Path, copy: Path) -> None:
    """Copy the checkpoints that host 0 has in `folder` to `copy` on each other host."""
    names = [path.name for path in folder.glob("epoch-*.checkpoint")]
    for name in bytes_of_host_0("\n".join(names).encode()).decode().split():
        path = folder / name
        here = jax.process_index() == 0
        content = bytes_of_host_0(path.read_bytes() if here else b"")
        if not here:
            (copy / name).write_bytes(content)


def bytes_of_host_0(content: bytes) -> bytes:
    """What host 0 gives to this function, on every host."""
    size = np.array(divmod(len(content), 2**20))
    megabytes, rest = multihost_utils.broadcast_one_to_all(size)
    array = np.zeros(int(megabytes) * 2**20 + int(rest), np.uint8)
    if jax.process_index() == 0:
        array[:] = np.frombuffer(content, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(array)).tobytes()


if __name__ == "__main__":
    main()
