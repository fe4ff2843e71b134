"""How often XLA compiles a training: once for each shape, and not once for each image.

XLA writes what it compiles into a folder, a file for each module. That is asked for
before TensorFlow or JAX is imported, so trainings run in processes of their own.
"""

import collections
import json
import os
import re
import subprocess
import sys

import pytest

#: Height and width of images to validate on: no two alike, three pairs of sides that
#: are multiples of 32.
SIZES = [(20, 30), (32, 32), (33, 21), (40, 24), (31, 31), (18, 44)]

TRAINING = """
import json, sys, keras, keras_seg

sizes, options = json.loads(sys.argv[1])
shapes = keras_seg.data.shapes
val = shapes(1, size=sizes[0])
for seed, size in enumerate(sizes[1:]):
    val += shapes(1, size=size, seed=seed)
model = keras_seg.unet(6, widths=(2, 3))
loss, metric = keras_seg.losses.WeightedCrossEntropy(), keras_seg.metrics.MeanIoU(6)
model.compile("sgd", loss, metrics=[metric], jit_compile=True)
batches = shapes(5, size=(40, 50)).batches(
    2, size=(32, 32), augment=keras_seg.data.standard_augmentation(), shuffle=True
)
model.fit(
    batches,
    validation_data=val.whole_images(**options),
    epochs=2,
    shuffle=False,
    verbose=0,
)
"""


def compilations(folder, backend, **options):
    """How often XLA compiled each step of two epochs, by the name of the step."""
    environment = os.environ | {
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": f"--xla_dump_to={folder} --xla_dump_hlo_as_text",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    words = json.dumps([SIZES, options])
    subprocess.run([sys.executable, "-c", TRAINING, words], check=True, env=environment)
    names = (
        re.match(r"module_\d+\.(.*)\.before_optimizations\.txt", path.name)
        for path in folder.iterdir()
    )
    modules = collections.Counter(name[1] for name in names if name)
    steps = ("one_step_on_data", "train_step", "test_step")
    return {
        name: count
        for name, count in modules.items()
        if any(step in name for step in steps)
    }


SCORING = """
import json, os, sys, keras_seg

folder, how, sizes = sys.argv[1:]
model = keras_seg.unet(6, widths=(2, 3))
if how == "compiled":
    model.compile("sgd", keras_seg.losses.Dice() + keras_seg.losses.Jaccard())
for size in json.loads(sizes):
    keras_seg.evaluate(model, keras_seg.data.shapes(2, size=size))
    print(sum(name.endswith("before_optimizations.txt") for name in os.listdir(folder)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("compiled", ["compiled", "not compiled"])
def test_scoring_on_jax_compiles_three_programs_for_a_size(compiled, tmp_path):
    """The prediction, the counts and the loss, also where sizes come again."""
    pytest.importorskip("jax", reason="JAX isn't installed")
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    sizes = [*SIZES[:3], *SIZES[:2]]
    words = [str(tmp_path), compiled, json.dumps(sizes)]
    ran = subprocess.run(
        [sys.executable, "-c", SCORING, *words],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    first, *rest = map(int, ran.stdout.split())
    assert [number - first for number in rest] == [3, 6, 6, 6]


def few_sizes(multiple):
    return {(-(-height // multiple), -(-width // multiple)) for height, width in SIZES}


BACKENDS = [
    pytest.param("tensorflow", marks=pytest.mark.slow),
    pytest.param("jax", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_is_compiled_once_for_each_shape_of_its_batches(backend, tmp_path):
    """Two shapes to train on, a full batch and a partial one, in both epochs."""
    if backend == "jax":
        pytest.importorskip("jax", reason="JAX isn't installed")
    found = compilations(tmp_path, backend, multiple_of=32)
    assert len(few_sizes(32)) == 3
    assert sorted(found.values()) == [2, 3], found


@pytest.mark.slow
def test_without_a_multiple_each_size_of_image_is_compiled(tmp_path):
    assert sorted(compilations(tmp_path, "tensorflow").values()) == [2, 6]
