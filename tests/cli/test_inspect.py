"""`keras-seg inspect`."""

import json
import re
import shlex
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from keras_seg.cli import main

TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]


def folder_options(root):
    options = ["--images", str(root / "images"), "--masks", f"{root}/masks/*_mask.png"]
    options += ["--names", "land, water", "--ids", "0,255"]
    return ["--data", "folder", *options]


def test_inspect_reports_a_healthy_set_and_writes_no_picture_unasked(
    voc_tree, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "--data", "voc", "--root", str(voc_tree)]) == 0
    said = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert f"To train: keras-seg train --data voc --root {voc_tree}\n" in said
    assert "train: 6 examples" in said
    assert "val: 5 examples" in said
    assert "Nothing that would make training go wrong." in said


def test_inspect_of_a_sick_set_goes_on_and_exits_with_1(own_folders, tmp_path, capsys):
    root = tmp_path / "own"
    shutil.copytree(own_folders, root)
    (root / "images/tile3.png").unlink()
    (root / "masks/tile4_mask.png").write_bytes(b"")
    options = [*folder_options(root), "--sheet", str(tmp_path / "sheet.png")]
    assert main(["inspect", *options]) == 1
    said = capsys.readouterr().out
    assert Image.open(tmp_path / "sheet.png").size[0] > 500
    assert re.search(r"WRONG .*tile3.*has no image", said)
    assert re.search(r"WRONG .*tile4.*an empty file", said)
    assert "19 examples" in said

    assert main(["inspect", *options, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["serious"]
    wrong = {p["example"]: p["kind"] for p in report["problems"] if p["serious"]}
    assert wrong == {"tile3": "no_image", "tile4": "unreadable"}
    assert report["splits"]["all"]["classes"]["water"]["images"] > 0


def test_training_does_not_begin_with_what_inspect_finds_at_a_glance(
    own_folders, tmp_path, capsys
):
    options = ["--images", f"{own_folders}/images", "--names", "land,water"]
    options += ["--masks", f"{own_folders}/masks/*_mask.png", "--data", "folder"]
    assert main(["train", *options, "--out", str(tmp_path / "run"), *TINY]) == 1
    error = capsys.readouterr().err
    assert ": --binary." in error
    assert error.strip().endswith(" --binary")  # the command to try
    assert not (tmp_path / "run").exists()


def test_an_image_in_both_lists_is_found_before_training(voc_tree, tmp_path, capsys):
    options = ["--data", "voc", "--root", str(voc_tree), "--train-split", "val"]
    assert main(["train", *options, "--out", str(tmp_path / "run"), *TINY]) == 1
    assert "says nothing" in capsys.readouterr().err


def write_pairs(root, masks, image="images/{}.png", mask="masks/{}.png", channels=3):
    """Images of noise and the masks given, as numbered files."""
    rng = np.random.default_rng(0)
    for k, pixels in enumerate(masks):
        shape = (*pixels.shape[:2], channels)
        photo = rng.integers(0, 256, shape).astype(np.uint8).squeeze()
        for path, array in ((image, photo), (mask, pixels)):
            path = root / path.format(k)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)


def stripes(*ids):
    return np.repeat(np.array(ids, np.uint8)[:, None], 40, axis=1).repeat(9, axis=0)


class Sheet:
    """What the command draws, in place of the drawing."""

    def __init__(self, monkeypatch):
        self.module = sys.modules["keras_seg.cli.inspect"]
        monkeypatch.setattr(self.module, "contact_sheet", self.draw)
        self.pictures = []

    def draw(self, pictures, palette, class_names):
        self.pictures, self.palette, self.class_names = pictures, palette, class_names
        return np.zeros((10, 10, 3), np.uint8)


def test_the_contact_sheet_shows_the_examples_that_it_names_and_every_class(
    tmp_path, monkeypatch
):
    """Class 2 is in one mask, class 3 in another, late in the folder."""
    masks = [stripes(0, 1)] * 30
    masks[17], masks[23] = stripes(0, 2), stripes(1, 3)
    write_pairs(tmp_path, masks)
    import keras_seg.cli.inspect  # noqa: F401 - the command imports it when it runs

    sheet = Sheet(monkeypatch)
    options = ["--images", f"{tmp_path}/images", "--masks", f"{tmp_path}/masks"]
    options += ["--data", "folder", "--names", "a,b,c,d"]
    assert main(["inspect", *options, "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").exists()
    titles = [title for title, _, _ in sheet.pictures]
    assert len(titles) == len({*titles}) <= 8
    for title, image, mask in sheet.pictures:
        name = title.removeprefix("all: ")
        with Image.open(tmp_path / f"images/{name}.png") as file:
            np.testing.assert_array_equal(image, file)
        with Image.open(tmp_path / f"masks/{name}.png") as file:
            np.testing.assert_array_equal(mask, file)
    shown = {int(i) for _, _, mask in sheet.pictures for i in np.unique(mask)}
    assert shown == {0, 1, 2, 3}
    assert {"all: 17", "all: 23"} <= {*titles}
    assert sheet.class_names == ("a", "b", "c", "d")


def test_the_contact_sheet_shows_both_splits(tmp_path, monkeypatch):
    write_pairs(tmp_path / "train", [stripes(0, 1)] * 2)
    write_pairs(tmp_path / "val", [stripes(1, 0)] * 3)
    import keras_seg.cli.inspect  # noqa: F401 - the command imports it when it runs

    sheet = Sheet(monkeypatch)
    options = ["--images", f"{tmp_path}/{{split}}/images", "--data", "folder"]
    options += ["--masks", f"{tmp_path}/{{split}}/masks", "--names", "a,b"]
    main(["inspect", *options, "--sheet", str(tmp_path / "sheet.png")])
    assert {title.split(":")[0] for title, _, _ in sheet.pictures} == {"train", "val"}
    for title, _, mask in sheet.pictures:
        assert mask[0, 0] == title.startswith("val")


def test_a_sheet_that_cannot_be_written_is_no_fault_of_the_data(
    voc_tree, tmp_path, capsys
):
    (tmp_path / "file").write_text("")
    options = ["--data", "voc", "--root", str(voc_tree)]
    sheet = str(tmp_path / "file" / "sheet.png")
    assert main(["inspect", *options, "--sheet", sheet]) == 0
    printed = capsys.readouterr()
    assert "sheet.png wasn't written" in printed.err
    assert "train: 6 examples" in printed.out


@pytest.mark.parametrize("sheet", ["x.txt", "sheet", "x.png.gz"])
def test_a_sheet_that_is_no_picture_is_refused_before_reading(sheet, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "--data", "voc", "--root", "/nowhere", "--sheet", sheet])
    assert ended.value.code == 2
    assert "ends in .png or .jpg" in capsys.readouterr().err


def test_one_missing_mask_is_named(tmp_path, capsys):
    write_pairs(tmp_path, [stripes(0, 1)] * 5)
    (tmp_path / "masks/3.png").unlink()
    options = ["--images", f"{tmp_path}/images", "--masks", f"{tmp_path}/masks"]
    options += ["--data", "folder", "--names", "a,b"]
    assert main(["inspect", *options]) == 1
    assert re.search(r"WRONG +all: 3: It has no mask", capsys.readouterr().out)


class TrainingError(Exception):
    """Raised where a model would be built: the data are accepted."""


def follow(command, capsys, most=6):
    """Type what the command says to try until training would begin."""
    commands = [command]
    while len(commands) <= most:
        words = shlex.split(commands[-1])[1:]
        status = main(words)
        printed = capsys.readouterr()
        if "TrainingError" in printed.err:
            return commands
        hints = re.findall(
            r"^(?:Try|To train): (keras-seg .*)$", printed.out + printed.err, re.M
        )
        assert len(hints) == 1, printed.out + printed.err
        assert (status == 0) == (hints[0].split()[1] != words[0])
        commands.append(hints[0])
    raise AssertionError(commands)


def void_masks(rng, n=12):
    return [stripes(*rng.permutation(12)[:8]) for _ in range(n)]


COLORS = np.array([(0, 0, 0), (128, 64, 128), (64, 0, 128), (192, 192, 0)], np.uint8)
#: Layouts whose steps others have too.
SLOW = ("colours", "folders of train and val", "numbered objects")
LAYOUTS = {
    "numbered objects": (
        lambda rng: [stripes(*range(2 + k % 4)) for k in range(12)],
        {"mask": "masks/{}_mask.png"},
        "",
        ["'{root}/masks/*_mask.png'", "--ids 0,1-255"],
    ),
    "0 and 255, grey": (
        lambda rng: [stripes(0, 255)] * 12,
        {"channels": 1},
        "",
        ["--binary"],
    ),
    "void": (
        void_masks,
        {},
        "--names sky,building,pole,road,pavement,tree,sign,fence,car,person,bicycle",
        ["--ignore 11"],
    ),
    "colours": (
        lambda rng: [COLORS[stripes(*rng.permutation(4))] for _ in range(12)],
        {"mask": "masks/{}_L.png"},
        "",
        ["'{root}/masks/*_L.png'", "--colors {root}/label_colors.txt"],
    ),
    "folders of train and val": (
        lambda rng: [stripes(0, 1)] * 6,
        {"image": "train/{}.png", "mask": "trainannot/{}.png"},
        "--names a,b",
        ["'{root}/{{split}}'", "'{root}/{{split}}annot'"],
    ),
}


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in LAYOUTS
    ],
)
def test_what_is_printed_leads_from_two_folders_to_a_training(
    tmp_path, layout, capsys, monkeypatch
):
    from keras_seg.cli import train

    def build(*_, **__):
        raise TrainingError

    monkeypatch.setattr(train, "build_model", build)
    masks, files, options, needed = LAYOUTS[layout]
    write_pairs(tmp_path, masks(np.random.default_rng(1)), **files)
    image = files.get("image", "images/").split("/")[0]
    mask = files.get("mask", "masks/").split("/")[0]
    if layout == "colours":
        names = ["Void", "Road", "Car", "Pole"]
        lines = [
            f"{r} {g} {b}\t{n}\n" for (r, g, b), n in zip(COLORS, names, strict=True)
        ]
        (tmp_path / "label_colors.txt").write_text("".join(lines))
    if layout == "folders of train and val":
        write_pairs(tmp_path, [stripes(1, 0, 1)] * 3, "val/v{}.png", "valannot/v{}.png")
    commands = follow(
        f"keras-seg inspect --data folder --images {tmp_path}/{image} "
        f"--masks {tmp_path}/{mask} {options}",
        capsys,
    )
    for words in needed:
        assert words.format(root=tmp_path) in commands[-1]


def test_a_pattern_is_proposed_for_all_splits(tmp_path, capsys):
    for split in ("train", "val"):
        write_pairs(tmp_path / split, [stripes(0, 1)] * 3, "im/{}.png", "gt/{}_m.png")
    options = ["--images", f"{tmp_path}/{{split}}/im", "--data", "folder"]
    options += ["--masks", f"{tmp_path}/{{split}}/gt", "--names", "a,b"]
    assert main(["inspect", *options]) == 1
    pattern = f"--masks '{tmp_path}/{{split}}/gt/*_m.png'"
    assert capsys.readouterr().err.count(pattern) == 2


def test_messages_name_options_and_no_arguments(tmp_path, capsys):
    write_pairs(tmp_path, [stripes(0, 1)] * 3)
    folders = ["--images", f"{tmp_path}/images", "--masks", f"{tmp_path}/masks"]
    wrong = (
        ["--names", "a,b", "--ids", "0,1,2"],
        ["--names", "a,b", "--ignore", "1"],
        ["--names", "a,b", "--ids", "0,1+0"],
        ["--names", "a,b", "--channels", "5"],
        ["--names", "a,b", "--channels", "4"],
        [],
    )
    for options in wrong:
        assert main(["inspect", "--data", "folder", *folders, *options]) == 1
        printed = capsys.readouterr()
        for word in ("`ids", "`ignore", "`class_names", "`channels", "data.folder"):
            assert word not in printed.out + printed.err
        flags = [word for word in options[2:] if word.startswith("--")] or ["--names"]
        assert flags[0] in printed.out + printed.err.split("Try:")[0]


def test_ten_problems_of_one_kind_are_ten_in_json_and_one_line_of_the_page(
    tmp_path, capsys
):
    write_pairs(tmp_path, [stripes(0, 1, 9)] * 10)
    options = ["--images", f"{tmp_path}/images", "--masks", f"{tmp_path}/masks"]
    options += ["--data", "folder", "--names", "a,b"]
    assert main(["inspect", *options]) == 1
    assert capsys.readouterr().out.count("WRONG") == 1
    assert main(["inspect", *options, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [p["kind"] for p in report["problems"]] == ["unknown_ids"] * 10
    assert report["problems"][0]["arguments"] == {"ignore": "9"}
    assert "--ignore 9" in report["problems"][0]["message"]


def test_a_training_names_the_mask_of_an_unknown_id_with_one_diagnosis(
    tmp_path, capsys
):
    write_pairs(tmp_path, [stripes(0, 1, 2)] * 16)
    options = ["--images", f"{tmp_path}/images", "--masks", f"{tmp_path}/masks"]
    options += ["--data", "folder", "--names", "a,b", "--out", f"{tmp_path}/run"]
    assert main(["train", *options]) == 1
    said, suggestion = capsys.readouterr().err.strip().splitlines()
    assert said.count("Expected") == said.count("Received: 2") == 1
    assert f"{tmp_path}/masks/" in said
    assert "--ignore 2" in suggestion
