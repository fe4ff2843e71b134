"""The harness of the benchmarks: who takes turns, and what becomes of their times."""

import importlib

import pytest

from benchmarks.comparisons import comparisons
from benchmarks.harness import Comparison, Found, Side, measure, times_as_fast


def importing(name, statement):
    return Side(name, "importing", {"statement": statement})


def test_sides_take_turns_and_are_timed():
    slow = importing("slow", "import time; time.sleep(0.3)")
    sides = [slow, importing("quick", "pass")]
    said = []
    found = measure(Comparison("nothing", "start", sides), 3, say=said.append)
    assert [each.side for each in found] == ["slow", "quick"]
    assert [len(each.values) for each in found] == [3, 3]
    assert min(found[0].values) >= 0.3
    assert min(found[1].values) > 0
    assert all(each.peak_mib > 1 for each in found)
    assert said == ["nothing: slow gets ready", "nothing: quick gets ready"]


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
    assert times_as_fast(of_time, two, four) == 2  # 2 s beside 4 s
    assert times_as_fast(of_rate, two, four) == 0.5  # 2 beside 4 a second


def test_every_side_has_its_function():
    for comparison in comparisons("VOC2012"):
        module = importlib.import_module(f"benchmarks.subjects.{comparison.module}")
        assert not comparison.sides[0].peer, comparison.name
        for side in comparison.sides:
            assert callable(getattr(module, side.function)), side
