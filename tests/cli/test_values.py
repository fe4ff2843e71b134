"""Images of 16 bits on the command line: from --value-range to a mask."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli import main, train
from keras_seg.cli.data_options import data_source
from keras_seg.cli.options import parser
from keras_seg.cli.output import Output
from keras_seg.models.inputs import value_range_of
from keras_seg.training.callbacks import Validate


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Ten images of 12 bits in files of 16, which use 1000..1099."""
    root = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for k in range(10):
        image = rng.integers(1000, 1100, (36, 44)).astype(np.uint16)
        Image.fromarray(image).save(root / f"images/{k}.png")
        Image.fromarray((image > 1050).astype(np.uint8) * 255).save(
            root / f"masks/{k}.png"
        )
    return root


@pytest.fixture(scope="module")
def words(cells):
    paths = [f"{cells}/images", "--masks", f"{cells}/masks"]
    return ["--data", "folder", "--binary", "--images", *paths]


def test_a_measured_range_is_the_models_and_that_of_all_later_commands(
    words, tiny, given_to_fit, cells, tmp_path, monkeypatch
):
    measured = ["--value-range", "percentiles", "--bands", "0"]
    seen = given_to_fit(*words, *tiny, *measured)
    (low,), (high,) = value_range_of(seen.model)
    trained_on = data_source(vars(parser().parse_args(["train", *words])), "train")
    pixels = np.concatenate([image.ravel() for image, _ in trained_on])
    assert (low, high) == tuple(np.percentile(pixels, (0.5, 99.5)))
    images, _ = next(iter(seen.batches))
    assert images.dtype == np.uint16

    about = json.loads((seen.out / "run.json").read_text())
    assert about["value_range"] == "percentiles"
    assert about["image"] == {
        "channels": 1,
        "dtype": "uint16",
        "value_range": [[low], [high]],
    }
    assert data_source(about, "val").value_range == ((low,), (high,))
    assert main(["evaluate", str(seen.out)]) == 0
    out = tmp_path / "masks"
    image = cells / "images/3.png"
    assert main(["predict", str(seen.out), str(image), "--out", str(out)]) == 0
    expected = keras_seg.predict_mask(
        seen.model, np.asarray(Image.open(image))[..., None]
    )
    np.testing.assert_array_equal(np.asarray(Image.open(out / "3.png")), expected)

    (validate,) = (x for x in seen.arguments["callbacks"] if isinstance(x, Validate))
    assert validate.source.value_range == ((low,), (high,))
    exported = []
    monkeypatch.setattr(keras_seg, "export", lambda *_, **x: exported.append(x))
    assert main(["export", str(seen.out), "--out", str(tmp_path / "served")]) == 0
    scored = SimpleNamespace(scores=SimpleNamespace(images=10))
    source = validate.source
    train._finish(seen.out, source, source, scored, "val", Output(quiet=True))
    assert [given["dtype"] for given in exported] == ["uint16", "uint16"]
    assert [given["bands"] for given in exported] == [(0,), (0,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], (0, 65535)),
        (["--value-range", "0,4095"], (0, 4095)),
        (["--value-range=-10.5,2000"], (-10.5, 2000)),
    ],
)
def test_two_numbers_are_the_range(words, tiny, given_to_fit, given, expected):
    seen = given_to_fit(*words, *tiny, *given)
    assert value_range_of(seen.model) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("12 bits", "--value-range to be two numbers, black and white, as 0,4095, or"),
        ("5,1", "--value-range to be two numbers"),
        ("0,1000", "Expected images in 0..1000"),
    ],
)
def test_other_words_and_ranges_that_images_leave_are_errors(
    words, tiny, given, message, tmp_path, capsys
):
    out = ["--out", str(tmp_path / "run")]
    assert main(["train", *words, *tiny, "--value-range", given, *out]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_inspect_proposes_what_train_takes(words, capsys):
    assert main(["inspect", *words]) == 0
    said = capsys.readouterr().out
    assert "uint16, 1 channel, values 1000 to 1099 of 0..65535" in said
    assert "--binary --value-range percentiles" in said.splitlines()[-1]


def test_no_data_is_ignored_on_the_command_line(words, cells):
    options = vars(parser().parse_args(["train", *words, "--nodata", "1000"]))
    source = data_source(options, "all")
    image = np.asarray(Image.open(cells / "images/0.png"))
    np.testing.assert_array_equal(source[0][1] == 255, image == 1000)


@pytest.mark.slow
def test_numbers_with_a_sign_get_a_measured_range(tmp_path, tiny, given_to_fit, capsys):
    """Of 16 bits with a sign nobody can know what is black and what is white."""
    tifffile = pytest.importorskip("tifffile", reason="tifffile isn't installed")
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for k in range(5):
        image = rng.integers(-900, 2000, (20, 24)).astype(np.int16)
        tifffile.imwrite(tmp_path / f"images/{k}.tif", image)
        mask = Image.fromarray((image > 0).astype(np.uint8))
        mask.save(tmp_path / f"masks/{k}.png")
    words = ["--data", "folder", "--binary", "--images", str(tmp_path / "images")]
    words += ["--masks", str(tmp_path / "masks")]
    assert main(["inspect", *words]) == 1
    said = capsys.readouterr().err
    assert "int16. Say which range it has, or measure one: --value-range perc" in said
    assert said.splitlines()[-1].endswith(" --value-range percentiles")
    words += ["--value-range", "percentiles"]
    assert main(["inspect", *words]) == 0
    assert "float32, 1 channel, values -" in capsys.readouterr().out
    (low,), (high,) = value_range_of(given_to_fit(*words, *tiny).model)
    assert low < -850 < 1900 < high
