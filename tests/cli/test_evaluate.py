"""`keras-seg evaluate`."""

import json
import shutil

from keras_seg.cli import main

TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]


def test_a_split_to_evaluate_is_that_of_the_set(voc_tree, tmp_path, capsys):
    root = tmp_path / "VOC2012"
    shutil.copytree(voc_tree, root)
    lists = root / "ImageSets/Segmentation"
    (lists / "few.txt").write_text("train_000000\n")
    arguments = ["train", "--data", "voc", "--root", str(root), "--train-split", "few"]
    out = str(tmp_path / "run")
    assert main([*arguments, "--out", out, *TINY]) == 0
    for options, images in (
        (["--split", "train"], 6),
        (["--split", "few"], 1),
        ([], 5),
    ):
        assert main(["evaluate", out, *options]) == 0
        scores = json.loads((tmp_path / "run/metrics.json").read_text())
        assert (scores["images"], scores["split"]) == (
            images,
            options[-1] if options else "val",
        )
