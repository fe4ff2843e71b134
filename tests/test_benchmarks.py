"""The harness of the benchmarks: who takes turns, and what becomes of their times."""

import importlib
import json

import psutil
import pytest

from benchmarks import harness
from benchmarks.__main__ import keep, kept, row, with_limits
from benchmarks.comparisons import MEMORY, PRODUCT, comparisons
from benchmarks.harness import (
    Comparison,
    Found,
    Side,
    amount_of,
    measure,
    share_of_limit,
    times_as_good,
)
from benchmarks.models import Row, in_markdown, section
from benchmarks.models import row as counted
from benchmarks.scaling import law, line, power
from benchmarks.subjects import tiles
from keras_seg.inference import sides as free
from keras_seg.inference.tiles import spans


def importing(name, statement):
    return Side(name, "importing", {"statement": statement})


@pytest.mark.slow
def test_sides_take_turns_and_are_timed():
    slow = importing("slow", "import time; time.sleep(0.3)")
    sides = [slow, importing("quick", "pass")]
    said = []
    found = measure(Comparison("nothing", "start", sides), 3, say=said.append)
    assert [each.side for each in found] == ["slow", "quick"]
    assert [len(each.values) for each in found] == [3, 3]
    assert min(found[0].values) >= 0.3
    assert min(found[1].values) > 0
    assert all(0.001 < each.peak_gib < 1 for each in found)
    assert said == ["nothing: slow gets ready", "nothing: quick gets ready"]


def test_a_side_is_stopped_while_others_work(monkeypatch):
    """Else a pipeline would go on and fill its buffers, in the others' time."""
    processes, states = [], []

    def start(module, side):
        processes.append(started(module, side))
        return processes[-1]

    def answer(process, side):
        values = answered(process, side)
        if "ready" not in values:
            others = [p for p in processes if p is not process]
            states.extend(psutil.Process(p.pid).status() for p in others)
        return values

    started, answered = harness._start, harness._answer
    monkeypatch.setattr(harness, "_start", start)
    monkeypatch.setattr(harness, "_answer", answer)
    sides = [importing("one", "pass"), importing("two", "pass")]
    measure(Comparison("x", "start", sides), 2, say=lambda _: None)
    assert states == [psutil.STATUS_STOPPED] * 4
    assert all(process.poll() is not None for process in processes)


def test_a_side_that_fails_is_named():
    comparison = Comparison("nothing", "start", [importing("broken", "1 / 0")])
    with pytest.raises(RuntimeError, match="broken ended with status 1"):
        measure(comparison, 1, say=lambda _: None)


def test_peers_are_left_out_where_there_are_none(monkeypatch):
    monkeypatch.delenv("KERAS_SEG_PEERS", raising=False)
    sides = [importing("ours", "pass"), Side("peer", "none", peer=True)]
    found = measure(Comparison("x", "start", sides), 1, say=lambda _: None)
    assert [each.side for each in found] == ["ours"]


def test_a_ratio_above_1_is_a_quicker_first_side():
    of_time, of_rate = (
        Comparison("x", "start", []),
        Comparison("x", "start", [], 8, "/s"),
    )
    two, four = Found("a", [1.0, 2.0, 9.0], 1), Found("b", [4.0], 1)
    assert times_as_good(of_time, two, four) == 2  # 2 s beside 4 s
    assert times_as_good(of_rate, two, four) == 0.5  # 2 beside 4 a second


def test_every_side_has_its_function():
    for comparison in comparisons("VOC2012"):
        module = importlib.import_module(f"benchmarks.subjects.{comparison.module}")
        assert not comparison.sides[0].peer, comparison.name
        for side in comparison.sides:
            assert callable(getattr(module, side.function)), side
        if amount := comparison.amount:
            module = importlib.import_module(f"benchmarks.subjects.{amount.module}")
            assert callable(getattr(module, amount.function))


def test_the_share_of_a_limit_is_a_rate_over_a_rate():
    """A turn of 6 GFLOP in 2 s is 3 GFLOP/s, half of what the machine can do."""
    limit, found = Found("limit", [6.0], 1), Found("ours", [2.0], 1)
    of_time = Comparison("x", "start", [])
    assert share_of_limit(of_time, found, 6.0, limit) == 0.5
    of_rate = Comparison("x", "start", [], work=8, unit="images/s")  # 8 images in 4 s
    assert share_of_limit(of_rate, found, 6.0, limit) == 0.25


def test_the_amount_of_a_loss_is_the_bytes_of_its_logits_and_their_gradient():
    (loss,) = [c for c in comparisons(None) if c.name == "loss: Dice"]
    assert amount_of(loss) == 2 * 8 * 512 * 512 * 21 * 4 / 1e9


def test_limits_are_measured_before_what_needs_them():
    every = comparisons(None)
    names = [each.name for each in with_limits(every, every)]
    assert names == [each.name for each in every]
    chosen = [each for each in every if each.name in ("step: unet", "metric: MeanIoU")]
    names = [each.name for each in with_limits(chosen, every)]
    assert names == [PRODUCT, MEMORY, "step: unet", "metric: MeanIoU"]


def test_memory_counts_less_as_better_and_is_what_a_side_says():
    of_memory = Comparison("x", "start", [], unit="GiB")
    one, two = Found("ours", [1.0], 1), Found("other", [2.0], 2)
    assert times_as_good(of_memory, one, two) == 2
    first, second = row(of_memory, [one, two], None).splitlines()
    assert first == "| x | ours | 1.00 GiB | 1.00 to 1.00 |  |  | 1.0 |"
    assert second == "|  | other | 2.00 GiB | 2.00 to 2.00 | 2.00 |  | 2.0 |"


def test_a_side_whose_package_is_missing_is_left_out():
    sides = [importing("ours", "pass"), Side("x", "none", needs="no_such_package")]
    found = measure(Comparison("x", "start", sides), 1, say=lambda _: None)
    assert [each.side for each in found] == ["ours"]


@pytest.mark.parametrize("side", [100, 512, 1280, 2048])
def test_both_sides_of_tiles_have_the_same_tiles(side):
    starts = tiles.starts(side)
    ours = spans(side, free.Side(), tiles.TILE, 1 - tiles.STEP / tiles.TILE)
    assert ours == [(start, min(start + tiles.TILE, side)) for start in starts]


def test_laws_are_found_in_points_that_follow_them():
    x = [1, 10, 100, 1000]
    assert power(x, [3 * v**2 for v in x]) == pytest.approx((3, 2))
    assert line(x, [2 + 5 * v for v in x]) == pytest.approx((2, 5))
    assert law(x, [3.0 * v**2 for v in x]) == "3 x^2.00, +-0%"
    assert law(x, [2.0 + 5 * v for v in x]) == "2 + 5 x, +-0%"
    assert law(x, [float("nan"), *(v**0.5 for v in x[1:])]) == "1 x^0.50, +-0%"
    assert law(x, [float("nan")] * 4) == ""


def test_a_line_fits_small_points_as_well_as_large_ones():
    """Relative errors: 10 % of the smallest weighs as much as 10 % of the largest."""
    a, b = line([1, 1000], [1.0, 1000.0])
    assert (a, b) == pytest.approx((0, 1), abs=1e-9)
    off = line([1, 500, 1000], [1.1, 500, 1000])
    assert off[0] + off[1] == pytest.approx(1.1, rel=0.02)


def test_a_row_of_docs_models_has_pytorch_s_times_where_it_has_the_net():
    both = Row("unet, resnet34", 24_439_269, 32_010_000_000, [0.5, 1.5], [0.1, 0.2])
    expected = (
        '| `unet(encoder="resnet34")` | 24,439,269 | 32.0 G | 500 | 1,500 | 100 | 200 |'
    )
    assert in_markdown(both) == expected
    ours = Row("bisenet_v2", 3_358_883, 12_300_000_000, [0.5], [0.1])
    assert (
        in_markdown(ours) == "| `bisenet_v2` | 3,358,883 | 12.3 G | 500 |  | 100 |  |"
    )
    page = section([in_markdown(both)], ["one machine", "another"])
    assert expected in page
    assert "took turns, on one machine and on another." in page.replace("\n", " ")


def test_rows_measured_by_name_take_the_place_of_what_was_before(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.KEPT", tmp_path / "results.json")
    monkeypatch.setattr("benchmarks.__main__.PAGE", tmp_path / "RESULTS.md")
    every = {each.name: each for each in comparisons(None)}
    first, second = every["step: unet"], every["import"]
    found = [Found("keras_seg", [1.0, 2.0, 3.0], 1)]
    for comparison, text, stamp in (
        (second, "| second |", "Monday"),
        (first, "| old |", "Monday"),
        (first, "| new |", "Tuesday"),
    ):
        keep(comparison, found, text, stamp)
    assert kept()["step: unet"]["medians"] == {"keras_seg": 2}
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| old |" not in page
    order = ["Measured on Tuesday", "| new |", "Measured on Monday", "| second |"]
    places = [page.index(words) for words in order]
    assert places == sorted(places)


@pytest.mark.slow
def test_a_net_has_the_times_that_were_measured_last(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.KEPT", tmp_path / "results.json")
    medians = {"keras_seg": 0.5, "KerasHub": 3.0, "PyTorch": 1.5}
    results = {"step: bisenet_v2": {"medians": medians}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    found = counted("bisenet_v2")
    assert (found.step, found.prediction) == ([0.5, 1.5], [])


@pytest.mark.slow
def test_a_net_is_counted_as_pytorch_counts_it():
    """By `parameters()` and by torch.utils.flop_counter, of `peers.paper_unet`."""
    found = counted("unet")
    assert found.parameters == 31_033_045
    assert round(found.multiply_adds / 1e9, 3) == 193.005
