"""The Python of docs/models.md runs."""

import re
from pathlib import Path

import keras

from tests.models.backbones import tiny

PAGE = Path(__file__).parent.parent.parent / "docs" / "models.md"


def test_the_python_of_the_page_runs(monkeypatch):
    def stand_in(**_):
        return tiny()

    stand_in.__module__ = keras.applications.MobileNetV2.__module__
    monkeypatch.setattr(keras.applications, "MobileNetV2", stand_in)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert list(names["features"]) == ["P1", "P2", "P3", "P4", "P5"]
    fine = names["dilated"].compute_output_shape((1, 64, 64, 3))
    assert fine["P3"][1:3] == fine["P4"][1:3] == fine["P5"][1:3] == (8, 8)
