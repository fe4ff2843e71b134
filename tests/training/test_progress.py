"""What a training says on the terminal."""

import time

from keras_seg.training.progress import EpochLines


def test_a_long_epochs_time_is_apart_from_its_number(capsys, monkeypatch):
    lines = EpochLines()
    lines.set_params({"epochs": 2})
    lines.on_epoch_begin(1)
    monkeypatch.setattr(lines, "_started", time.monotonic() - 158)
    lines.on_epoch_end(1, {"loss": 2.9695})
    assert capsys.readouterr().out.split()[:2] == ["2/2", "2"]
