"""Parameters and multiply-adds of docs/models.md: counted anew, and beside PyTorch's.

Nets are built without numbers and traced; nothing is computed.
"""

import functools
import json
import re
import subprocess
from pathlib import Path

import keras
import pytest

from benchmarks.counts import multiply_adds
from benchmarks.models import PAGE, SIDE, Row, in_markdown
from benchmarks.subjects.nets import CLASSES, EVERY, ours
from tests.models.shapes_only import learning, no_numbers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="graphs are TensorFlow's"
    ),
]

ROOT = Path(__file__).parent.parent

#: Multiply-adds of one image of 512 x 512 in the nets of PyTorch that docs/models.md
#: has beside ours, as `torch.utils.flop_counter` counts them.
PYTORCH = {
    "deeplab_v3, resnet50": 163_579_428_864,
    "deeplab_v3_plus, resnet50": 36_645_109_760,
    "fcn, resnet50": 138_367_991_808,
    "fcn8s": 111_306_461_184,
    "fpn, resnet34": 27_462_205_440,
    "linknet, resnet34": 20_287_848_448,
    "pspnet, resnet34": 9_737_281_536,
    "segformer, mit_b0": 7_846_756_352,
    "segformer, mit_b2": 25_138_561_024,
    "unet": 193_005_092_864,
    "unet, efficientnet_b0": 12_584_382_976,
    "unet, efficientnet_lite0": 12_281_765_888,
    "unet, mobilenet_v2": 14_135_033_856,
    "unet, resnet34": 32_010_928_128,
    "unet, resnet50": 43_285_217_280,
    "unet_plus_plus, resnet34": 74_289_512_448,
    "upernet, resnet34": 71_947_255_808,
}

COUNTED = """
import json, warnings

warnings.simplefilter("ignore")
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.subjects import peers
from benchmarks.subjects.nets import CLASSES, EVERY

counts = {}
for net, (_, peer) in EVERY.items():
    if peer:
        function, arguments = peer
        model = getattr(peers, function)(CLASSES, **arguments).eval().to("meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 512, 512, device="meta"))
        counts[net] = counter.get_total_flops() // 2
print(json.dumps(counts))
"""


@functools.cache
def counted(net):
    """Parameters and multiply-adds of one of ours."""
    with no_numbers():
        model = ours(net, input_shape=(SIDE, SIDE, 3))
        return learning(model), multiply_adds(model, (1, SIDE, SIDE, 3))


def cells(row):
    """Net, parameters and multiply-adds of a row of the table."""
    return [cell.strip() for cell in row.split("|")[1:4]]


def test_the_page_has_a_row_for_each_net():
    rows = re.findall(r"^\| `.* G \|.*$", PAGE.read_text(), re.MULTILINE)
    named = {cells(in_markdown(Row(net, 0, 0, [], [])))[0] for net in EVERY}
    assert {cells(row)[0] for row in rows} == named
    assert len(rows) == len(named)


@pytest.mark.parametrize("net", sorted(EVERY))
def test_a_net_costs_what_the_page_says(net):
    expected = cells(in_markdown(Row(net, *counted(net), [], [])))
    assert f"| {' | '.join(expected)} |" in PAGE.read_text()


def beyond_the_edges(side, inner, outer):
    """Products of the kernels of ASPP with padding, which ours leave out.

    Of the three taps of an axis two are beyond an edge, each at `rate` pixels.
    """
    shares = [(1 - 2 * rate / (3 * side)) ** 2 for rate in (12, 24, 36)]
    return round(sum(1 - share for share in shares) * side**2 * 9 * inner * outer)


def pooled(side, inner, outer):
    """A pyramid's means of cells, and their way back: ours are products of matrices."""
    grids = (1, 2, 3, 6)
    return (inner + outer) * sum(n * side**2 + n**2 * side for n in grids)


def enlarged(side, channels, factor):
    """Products with a matrix for the rows, then with one for the columns."""
    return (1 + factor) * factor * side**3 * channels


def segformer_head(widths, width, *, resized_first):
    """Xie et al., section 3.2. What is convolved before it is resized costs less."""
    pixels = [(SIDE // 4 // 2**k) ** 2 for k in range(4)]
    maps = sum(n * inner * width for n, inner in zip(pixels, widths, strict=True))
    joined = width**2 * (4 * pixels[0] if resized_first else sum(pixels))
    return maps + joined + pixels[0] * width * CLASSES


def segformer_heads(widths, ours, theirs):
    return segformer_head(widths, ours, resized_first=False) - segformer_head(
        widths, theirs, resized_first=True
    )


#: Where ours differ from PyTorch's, by how much.
DIFFERENCES = {
    "deeplab_v3, resnet50": -beyond_the_edges(SIDE // 8, 2048, 256),
    "deeplab_v3_plus, resnet50": enlarged(SIDE // 16, 256, 4),
    "pspnet, resnet34": pooled(SIDE // 8, 128, 32),
    "upernet, resnet34": pooled(SIDE // 32, 512, 256),
    "segformer, mit_b0": segformer_heads((32, 64, 160, 256), 256, 256),
    # smp's head has 256 channels for every encoder, the paper's 768 from B2 on.
    "segformer, mit_b2": segformer_heads((64, 128, 320, 512), 768, 256),
    # timm's features of level 1 have 16 channels, ours the 32 of the stem, as those of
    # EfficientNet-B0 have here and there: one 3 x 3 convolution to 32 takes them.
    "unet, efficientnet_lite0": (SIDE // 2) ** 2 * 9 * (32 - 16) * 32,
}


@pytest.mark.parametrize("net", sorted(PYTORCH))
def test_a_net_multiplies_as_often_as_in_pytorch(net):
    assert counted(net)[1] == PYTORCH[net] + DIFFERENCES.get(net, 0)


@pytest.mark.peers
def test_pytorch_counts_as_it_did(python_of_peers):
    command = [python_of_peers, "-c", COUNTED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert json.loads(done.stdout) == PYTORCH
