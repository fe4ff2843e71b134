"""`--tiles`: large images as tiles, from `inspect` to `evaluate`."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from keras_seg.cli import main
from keras_seg.cli.data_options import data_source
from keras_seg.cli.options import parser
from keras_seg.data.tools import inspect_rules
from keras_seg.data.tools.inspect_facts import Findings
from keras_seg.training.callbacks import Validate

RNG = np.random.default_rng(0)


def write_scenes(root, count, size):
    """Scenes whose masks are 1 where red is even, and whose blue is the row."""
    height, width = size
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for k in range(count):
        scene = RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)
        scene[..., 2] = np.arange(height)[:, None]
        Image.fromarray(scene).save(root / f"images/s{k}.png")
        Image.fromarray(1 - scene[..., 0] % 2).save(root / f"masks/s{k}.png")
    folders = ["--images", f"{root}/images", "--masks", f"{root}/masks"]
    return ["--data", "folder", *folders, "--names", "odd,even"]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes") / "all", 5, (70, 90))


def opened(words, split):
    return data_source(vars(parser().parse_args(["train", *words])), split)


@pytest.mark.slow
def test_a_run_trains_on_tiles_and_keeps_them_for_later_commands(
    words, tiny, given_to_fit
):
    seen = given_to_fit(*words, *tiny, "--tiles", "40", "--tile-overlap", "0.5")
    # Of 70 x 90: 3 x 4 tiles a step of 20 apart; to validate, 2 x 3 without overlap.
    assert f"{4 * 12} images to train on, {6} to validate" in seen.said
    (validate,) = (x for x in seen.arguments["callbacks"] if isinstance(x, Validate))
    rows_columns = [name.split("/")[1] for name in validate.source.names]
    assert rows_columns == [f"r{r}-c{c}" for r in (0, 30) for c in (0, 40, 50)]
    images, _ = next(iter(seen.batches))
    assert images.shape == (2, 32, 32, 3)

    about = json.loads((seen.out / "run.json").read_text())
    assert (about["tiles"], about["tile_overlap"]) == (40, 0.5)
    again = given_to_fit("--like", str(seen.out))
    assert "48 images to train on, 6 to validate" in again.said
    other = given_to_fit("--like", str(seen.out), "--tiles", "70")
    assert f"{4 * 2} images to train on, {2} to validate" in other.said
    scored = data_source(about, "val")  # as `evaluate` opens it
    assert scored.names == validate.source.names


def test_a_run_that_goes_on_keeps_its_tiles(words, tiny, given_to_fit, capsys):
    seen = given_to_fit(*words, *tiny, "--tiles", "40")
    capsys.readouterr()
    assert main(["train", "--resume", str(seen.out), "--tiles", "50"]) == 1
    assert "--tiles" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 2])
def test_one_scene_is_held_out_by_its_lowest_fifth(tmp_path, count):
    words = write_scenes(tmp_path / "few", count, (103, 50))
    words += ["--tiles", "30", "--tile-overlap", "0.25"]
    rows = {}
    for split in ("train", "val"):
        source = opened(words, split)
        rows[split] = set()
        for k in range(len(source)):
            image, mask = source[k]
            assert source.size(k) == mask.shape
            np.testing.assert_array_equal(mask, 1 - image[..., 0] % 2)
            rows[split] |= set(image[..., 2].ravel().tolist())
    # A fifth of 103 rows is 20; the last strip is moved inside, to 83.
    assert rows == {"train": {*range(80)}, "val": {*range(83, 103)}}
    names = opened(words, "train").names
    assert {str(name).split("/")[0] for name in names} == {
        f"s{k}" for k in range(count)
    }


def test_scenes_that_cannot_be_held_out_are_named(tmp_path, capsys):
    words = write_scenes(tmp_path / "flat", 1, (4, 50))
    with pytest.raises(ValueError, match="s0: Expected five rows or more"):
        opened([*words, "--tiles", "30"], "train")
    with pytest.raises(ValueError, match="Expected --tiles with --tile-overlap"):
        opened([*words, "--tile-overlap", "0.5"], "train")


@pytest.mark.parametrize(("side", "is_large"), [(4096, False), (4097, True)])
def test_images_of_which_a_crop_shows_little_are_told(side, is_large):
    found = Findings(2, sizes=Counter({(60, 80): 1, (side, 4096): 1}))
    problems = inspect_rules.problems_of_sizes("train", found)
    assert [(p.kind, p.serious, p.arguments) for p in problems] == (
        [("large_images", False, {"tiles": 1024})] if is_large else []
    )


def test_inspect_proposes_tiles_and_looks_at_them(words, capsys, monkeypatch):
    monkeypatch.setattr(inspect_rules, "_LARGE", 70 * 90 - 1)
    assert main(["inspect", *words]) == 0
    said = capsys.readouterr().out
    assert "note   all: Images have up to 70 x 90 pixels." in said
    assert said.splitlines()[-1].endswith("--tiles 1024")
    assert main(["inspect", *words, "--tiles", "40"]) == 0
    said = capsys.readouterr().out
    assert f"all: {5 * 6} examples" in said
    assert "note " not in said
    assert said.splitlines()[-1].endswith("--names odd,even --tiles 40")
