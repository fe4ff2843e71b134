"""Models that version 0.1.0 saved, before files and layers moved, still load.

`files/logits.npz` has an image and the logits that each gave for it then.
"""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_seg  # noqa: F401 - it registers the layers

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize("name", ["unet", "unet_encoder", "fcn8s"])
def test_a_model_of_version_0_1_0_gives_the_logits_that_it_gave(name):
    model = keras.models.load_model(FILES / f"{name}.keras")
    stored = np.load(FILES / "logits.npz")
    # Only unet is unpadded, and wants its size.
    image = stored["image"] if name == "unet" else stored["image"][:, :20, :17]
    np.testing.assert_allclose(model(image), stored[name], rtol=1e-4, atol=1e-4)
