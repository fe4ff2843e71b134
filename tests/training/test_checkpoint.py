"""A training that was interrupted and continued equals one that wasn't."""

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.training import Checkpoint, checkpoint

STEPS, EPOCHS = 3, 4
SOURCE = keras_seg.data.shapes(10, size=(16, 16))


def build(**optimizer):
    """A compiled net with dropout and batch normalization."""
    keras.utils.set_random_seed(0)
    model = keras_seg.unet(6, widths=(2, 4), normalization="batch", dropout=0.5)
    adam = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(0.01, STEPS * EPOCHS), **optimizer
    )
    model.compile(adam, keras_seg.losses.WeightedCrossEntropy())
    return model


def fit(model, callback, *others, epochs=EPOCHS):
    epoch = callback.restore(model)
    batches = SOURCE.batches(
        4,
        size=(16, 16),
        augment=keras_seg.data.standard_augmentation(),
        shuffle=True,
        repeat=True,
        first_step=epoch * STEPS,
    )
    return model.fit(
        batches,
        steps_per_epoch=STEPS,
        epochs=epochs,
        initial_epoch=epoch,
        callbacks=[*others, callback],
        shuffle=False,
        verbose=0,
    ).history


def state(model):
    return [
        np.array(keras.ops.convert_to_numpy(v))
        for v in [*model.variables, *model.optimizer.variables]
    ]


def assert_equal(model, other):
    for one, two in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(one, two)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class Copy(keras.callbacks.Callback):
    """Copies checkpoints after two epochs: what a training has that is killed then."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:  # the third checkpoint isn't written yet
            shutil.copytree(self.folder, self.folder.with_name("part"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nothing interrupts, and the folder of its checkpoints."""
    folder = tmp_path_factory.mktemp("trained") / "whole"
    model = build()
    history = fit(model, Checkpoint(folder), Copy(folder))
    return model, history, folder


@pytest.fixture
def part(whole, tmp_path):
    """The folder of checkpoints that it had after two epochs."""
    *_, folder = whole
    return shutil.copytree(folder.with_name("part"), tmp_path / "part")


def test_the_last_two_checkpoints_are_kept(whole):
    *_, folder = whole
    assert names(folder) == ["epoch-000003.checkpoint", "epoch-000004.checkpoint"]


def test_a_continued_training_equals_the_whole_one_bit_by_bit(whole, part):
    model, history, _ = whole
    other = build()
    continued = fit(other, Checkpoint(part))
    assert_equal(model, other)
    assert continued["loss"] == history["loss"][2:]


def test_dropout_goes_on_in_its_random_sequence(whole, part):
    model, *_ = whole
    other = build()
    folder = Checkpoint(part)
    folder.restore(other)
    seeds = [v for v in other.variables if "seed" in v.path]
    assert seeds
    for seed in seeds:  # as after a new start
        seed.assign(np.zeros(seed.shape, "uint32"))
    folder.restore = lambda model: 2
    fit(other, folder)
    differ = [
        not np.array_equal(a, b)
        for a, b in zip(state(model), state(other), strict=True)
    ]
    assert any(differ)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "options"),
    [
        (
            "float32",
            {"use_ema": True, "gradient_accumulation_steps": 2, "clipnorm": 0.1},
        ),
        ("mixed_float16", {}),
    ],
)
def test_averages_accumulated_gradients_and_loss_scales_continue(
    policy, options, tmp_path
):
    keras.config.set_dtype_policy(policy)  # and conftest.py resets it
    model, other = build(**options), build(**options)
    fit(model, Checkpoint(tmp_path / "whole"), epochs=2)
    fit(build(**options), Checkpoint(tmp_path / "part"), epochs=1)
    fit(other, Checkpoint(tmp_path / "part"), epochs=2)
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert_equal(model, other)


def damage(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut": content[:middle],
            "cut at the end": content[:-1],
            "a bit flipped": content[:middle]
            + bytes([content[middle] ^ 1])
            + content[middle + 1 :],
            "text": b"not a checkpoint",
        }[how]
    )


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(whole, tmp_path):
    *_, folder = whole
    model = build()
    for how in ("empty", "cut", "cut at the end", "a bit flipped", "text"):
        shutil.copytree(folder, tmp_path / how)
        one, two = names(tmp_path / how)
        damage(tmp_path / how / two, how)
        with pytest.warns(UserWarning, match=rf"{two} is damaged"):
            assert Checkpoint(tmp_path / how).restore(model) == 3, how
        damage(tmp_path / how / one, how)
        with (
            pytest.warns(UserWarning, match="is damaged"),
            pytest.raises(ValueError, match=rf"{one}, {two}, all damaged"),
        ):
            Checkpoint(tmp_path / how).restore(model)


def test_without_a_checkpoint_training_begins_at_0(tmp_path):
    (tmp_path / ".epoch-000001.writing.checkpoint").write_bytes(b"half a one")
    (tmp_path / "notes.txt").write_text("mine")
    assert Checkpoint(tmp_path).restore(build()) == 0
    assert Checkpoint(tmp_path / "nowhere").restore(build()) == 0


def test_a_setting_that_changed_is_refused_by_name(whole, tmp_path):
    model, *_ = whole
    kept = Checkpoint(tmp_path, settings={"seed": 0, "data": "voc"})
    kept.set_model(model)
    kept.on_epoch_end(0)
    for settings, named in (
        ({"seed": 1, "data": "voc"}, "seed is 1, was 0"),
        ({"seed": 0}, "data is None, was 'voc'"),
        ({"seed": 0, "data": "voc", "more": 3}, "more is 3, was None"),
    ):
        with pytest.raises(ValueError, match=f"Expected the settings of .*{named}"):
            Checkpoint(tmp_path, settings=settings).restore(model)
    assert Checkpoint(tmp_path, settings=kept.settings).restore(model) == 1


def test_another_model_or_optimizer_is_refused(whole):
    *_, folder = whole
    wider = keras_seg.unet(6, widths=(2, 6), normalization="batch", dropout=0.5)
    wider.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"Received: .*kernel, float32 \[3, 3, 2, 6\]"):
        Checkpoint(folder).restore(wider)
    sgd = build()
    sgd.compile("sgd", "mse")
    with pytest.raises(ValueError, match="variables of this checkpoint"):
        Checkpoint(folder).restore(sgd)
    with pytest.raises(ValueError, match="Expected a compiled model"):
        Checkpoint(folder).restore(keras_seg.unet(6, widths=(2, 4)))


class Scores(keras.callbacks.Callback):
    """Puts a number into the logs of each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = [0.5, 0.7, 0.6, 0.6][epoch]


@pytest.mark.slow
def test_other_callbacks_go_on_counting(tmp_path):
    def stop():
        return keras.callbacks.EarlyStopping("score", mode="max", patience=2)

    one = stop()
    fit(build(), Checkpoint(tmp_path, callbacks=[one]), Scores(), one, epochs=3)
    assert (one.best, one.wait) == (0.7, 1)
    two = stop()
    history = fit(build(), Checkpoint(tmp_path, callbacks=[two]), Scores(), two)
    assert (two.best, two.wait, two.stopped_epoch) == (0.7, 2, 3)
    assert len(history["loss"]) == 1


def test_on_a_full_disk_the_checkpoint_before_is_kept(whole, tmp_path, monkeypatch):
    model, *_ = whole
    kept = Checkpoint(tmp_path)
    kept.set_model(model)
    kept.on_epoch_end(0)

    def full(path, *_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write", full)
    with pytest.raises(OSError, match=r"No space .* needs .* MiB; .* MiB are free"):
        kept.on_epoch_end(1)
    assert names(tmp_path) == ["epoch-000001.checkpoint"]
    assert Checkpoint(tmp_path).restore(build()) == 1


TRAINING = """
import sys
import keras
sys.path.insert(0, {tests!r})
from test_checkpoint import Checkpoint, build, fit, state
import numpy as np

model = build()
fit(model, Checkpoint({folder!r}))
np.savez({out!r}, *state(model))
"""


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_ends_as_the_whole_one(
    whole, tmp_path
):
    model, *_ = whole
    code = TRAINING.format(
        tests=os.path.dirname(__file__),
        folder=str(tmp_path / "states"),
        out=str(tmp_path / "state.npz"),
    )
    # As soon as each checkpoint is there, or while the next one is written.
    for number in itertools.count(1):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
        wanted = tmp_path / "states" / f"epoch-{number:06}.checkpoint"
        while process.poll() is None and not wanted.exists() and number < EPOCHS:
            pass
        if number == EPOCHS:
            assert process.wait(timeout=300) == 0
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
    with np.load(tmp_path / "state.npz") as arrays:
        for name, expected in zip(arrays.files, state(model), strict=True):
            np.testing.assert_array_equal(arrays[name], expected)
