"""The README's Python runs, on a small tree and with a small net."""

import re
from pathlib import Path

import keras_seg

README = Path(__file__).parent.parent / "README.md"


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val"):
        source = keras_seg.data.shapes(2, size=(40, 48))
        keras_seg.data.write_voc(source, "VOCdevkit/VOC2012", split)

    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 2
    code = "\n".join(blocks)
    for large, small in (
        ("unet(num_classes=21)", "unet(num_classes=21, widths=(4, 8))"),
        ("epochs=50", "epochs=1"),
        ("(320, 320)", "(32, 32)"),
    ):
        assert large in code
        code = code.replace(large, small)

    names: dict = {}
    exec(code, names)
    assert names["prediction"].shape == (40, 48)
    assert names["mask"].shape == (1, 375, 500)


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)]+)\)", README.read_text())
    assert links
    for link in links:
        assert (README.parent / link).exists(), link
