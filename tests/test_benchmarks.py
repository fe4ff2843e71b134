"""The harness of the benchmarks: who takes turns, and what becomes of their times."""

import importlib.metadata
import json
import re
import subprocess
import sys

import psutil
import pytest

from benchmarks import harness
from benchmarks.__main__ import (
    entry_of,
    keep,
    kept,
    machine,
    medians,
    rows,
    with_limits,
)
from benchmarks.comparisons import MEMORY, PRODUCT, comparisons
from benchmarks.harness import (
    Comparison,
    Found,
    Side,
    amount_of,
    measure,
    times_as_good,
)
from benchmarks.memory import peak_gib
from benchmarks.models import Row, in_markdown, section
from benchmarks.models import row as counted
from benchmarks.scaling import law, line, power
from benchmarks.subjects import start, tiles
from keras_seg.inference import sides as free
from keras_seg.inference.tiles import spans

GIT = (harness.ROOT / ".git").exists()


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
    assert said == ["nothing: slow gets ready", "nothing: quick gets ready"]


@pytest.mark.slow
def test_a_side_that_measures_nothing_is_timed_and_weighed():
    """Its 512 MiB of floats are more than all else."""
    (moves,) = measure(Comparison("x", "limits", [Side("moves", "memory")]), 2)
    assert 0.01 < min(moves.values)
    assert 0.5 < moves.peak_gib < 1


def test_a_side_that_measures_for_itself_has_no_memory():
    """That of the process which waits for the new one says nothing."""
    comparison = Comparison("x", "start", [importing("sleeps", "time.sleep(0.2)")])
    (found,) = measure(comparison, 1, say=lambda _: None)
    assert 0.2 <= found.median < 2
    assert found.peak_gib is None


def test_an_import_is_timed_after_what_it_needs():
    after = "import time; time.sleep(0.5)"
    seconds = start.importing("import this", after)()
    assert 0 < seconds < 0.5


def test_the_memory_of_children_counts():
    before = peak_gib()
    script = "x = bytearray(b'1' * 200 * 2**20); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = subprocess.Popen([sys.executable, "-c", script], **pipes)
    child.stdout.readline()
    more = peak_gib() - before
    child.communicate(b"\n")
    assert 200 / 1024 <= more < 230 / 1024
    assert peak_gib() - before < 0.1


def test_another_side_is_first_in_each_round(monkeypatch):
    turns = []
    answered = harness._answer

    def answer(process, side):
        values = answered(process, side)
        if "ready" not in values:
            turns.append(side.name)
        return values

    monkeypatch.setattr(harness, "_answer", answer)
    sides = [importing(name, "pass") for name in "abc"]
    found = measure(Comparison("x", "start", sides), 4, say=lambda _: None)
    assert "".join(turns) == "abcbcacababc"
    assert [each.side for each in found] == ["a", "b", "c"]


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


def cells(comparison, entry):
    """A table without its spaces: a list of cells for each line."""
    lines = rows(comparison, entry).splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_the_stamp_has_versions_of_what_is_installed(monkeypatch):
    """Of both Pythons, however a package spells its name, and of our own commit."""
    monkeypatch.setenv("KERAS_SEG_PEERS", sys.executable)
    names = ("no-such-package", "typing-extensions", "numpy")  # typing_extensions
    monkeypatch.setattr("benchmarks.__main__.OF_PEERS", names)
    stamp = machine()
    for name in names[1:]:
        assert f"{name} {importlib.metadata.version(name)}" in stamp
    assert "no-such-package" not in stamp
    assert re.search(r": keras_seg [0-9a-f]{7,}\+?, keras \d", stamp) or not GIT


def of_name(name):
    return next(each for each in comparisons(None) if each.name == name)


def test_a_page_says_what_a_share_of_a_limit_was_computed_of():
    """6 GFLOP in 2 s are 3 GFLOP/s, half of 6: the entry has all three."""
    found = [Found("keras_seg", [9.0, 2.0, 1.0], 1), Found("PyTorch", [4.0], 1)]
    entry = entry_of(found, "Monday", 6.0, Found("limit", [5.0, 6.0, 7.0], 1))
    first, second = cells(of_name("step: unet"), json.loads(json.dumps(entry)))
    assert first[5:7] == ["6.0 GFLOP", "50% of 6 GFLOP/s"]
    assert second[5:7] == ["", "25%"]
    entry = entry_of(found, "Monday", 0.5, Found("limit", [10.0], 1))
    first, _ = cells(of_name("loss: WeightedCrossEntropy"), entry)
    assert first[5:7] == ["0.500 GB", "2% of 10.0 GB/s"]


def test_what_computes_in_bytes_has_no_share_of_a_limit_in_float32():
    sides = ["keras_seg in ONNX Runtime", "int8 in ONNX Runtime", "PyTorch"]
    found = [Found(side, [2.0], 1) for side in sides]
    entry = entry_of(found, "Monday", 6.0, Found("limit", [6.0], 1))
    shares = [line[6] for line in cells(of_name("export: unet, resnet34"), entry)]
    assert shares == ["50% of 6 GFLOP/s", "", "50%", ""]


def test_the_best_export_in_float32_is_compared_with_pytorch():
    seconds = {
        "keras_seg in ONNX Runtime": 2.0,
        "keras_seg in LiteRT": 1.0,
        "int8 in ONNX Runtime": 0.1,
        "PyTorch": 3.0,
    }
    found = [Found(side, [value], 1) for side, value in seconds.items()]
    *_, last = cells(of_name("export: unet"), entry_of(found, "Monday", None, None))
    assert last[1] == "PyTorch beside the best of float32, keras_seg in LiteRT"
    assert last[4] == "3.00"
    assert seconds.keys() <= {side.name for side in of_name("export: unet").sides}


def test_losses_have_the_same_loss_beside_them():
    """A cross-entropy is quicker than a sort of all pixels, whoever wrote them."""
    others = {
        each.name: [side.name for side in each.sides[1:]]
        for each in comparisons(None)
        if each.name.startswith("loss: ")
    }
    alike = ("Focal", "Dice", "Jaccard", "Tversky", "Lovasz")
    assert others == {
        "loss: WeightedCrossEntropy": [
            "Keras's cross-entropy",
            "PyTorch's cross-entropy",
        ],
        **{f"loss: {name}": [f"smp's {name}Loss"] for name in alike},
        "loss: BoundaryF1": [],
    }


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
    one, two = Found("ours", [1.0], None), Found("other", [2.0], 2.5)
    assert times_as_good(of_memory, one, two) == 2
    first, second = cells(of_memory, entry_of([one, two], "Monday", None, None))
    assert first == ["x", "ours", "1.00 GiB", "1.00 to 1.00", "", "", "", ""]
    assert second[1:] == ["other", "2.00 GiB", "2.00 to 2.00", "2.00", "", "", "2.5"]


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
    for name, seconds, stamp in (
        ("first batch", 7.0, "Monday"),
        ("step: unet", 5.0, "Monday"),
        ("step: unet", 2.0, "Tuesday"),
    ):
        found = [Found("keras_seg", [1.0, seconds, 9.0], 1)]
        keep(name, entry_of(found, stamp, None, None))
    assert medians(kept()["step: unet"]) == {"keras_seg": 2}
    assert kept()["step: unet"]["sides"][0]["values"] == [1, 2, 9]
    page = (tmp_path / "RESULTS.md").read_text()
    assert "5.000" not in page
    order = ["Measured on Tuesday", "2.000", "Measured on Monday", "7.000"]
    places = [page.index(words) for words in order]
    assert places == sorted(places)


@pytest.mark.slow
def test_a_net_has_the_times_that_were_measured_last(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.KEPT", tmp_path / "results.json")
    seconds = {"keras_seg": 0.5, "KerasHub": 3.0, "PyTorch": 1.5}
    found = [Found(side, [value], 1) for side, value in seconds.items()]
    results = {"step: bisenet_v2": entry_of(found, "Monday", None, None)}
    (tmp_path / "results.json").write_text(json.dumps(results))
    found = counted("bisenet_v2")
    assert (found.step, found.prediction) == ([0.5, 1.5], [])


@pytest.mark.slow
def test_a_net_is_counted_as_pytorch_counts_it():
    """By `parameters()` and by torch.utils.flop_counter, of `peers.paper_unet`."""
    found = counted("unet")
    assert found.parameters == 31_033_045
    assert round(found.multiply_adds / 1e9, 3) == 193.005
