"""No hidden small cell can be computed from what is shown: every assignment that fits is tried. Statistics, 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.statistics.hiding import Cell, Line, hide_line, hide_nested


def assignments(line: Line[str], cells: Mapping[str, Cell], threshold: int, most: int = 40) -> Sequence[dict[str, int]]:
    """What the hidden cells could be for a reader who knows all rules, which cells are small, and the sum."""
    hidden = [key for key, value in line.cells.items() if value is None]
    shown = [value for value in line.cells.values() if value]
    ranges = []
    for key in hidden:
        if not cells[key].is_small(threshold):
            ranges.append(range(threshold, min(shown, default=most) + 1))
        else:
            ranges.append(range(1, threshold if cells[key].count < threshold else most))
    rest = None if line.total is None else line.total - sum(shown)
    return [
        dict(zip(hidden, values, strict=True)) for values in product(*ranges) if rest is None or sum(values) == rest
    ]


def check(line: Line[str], cells: Mapping[str, Cell], threshold: int) -> None:
    for key, value in line.cells.items():
        assert value is None or (value == cells[key].count and not cells[key].is_small(threshold))
    fitting = assignments(line, cells, threshold)
    for key, value in line.cells.items():
        if value is None and cells[key].is_small(threshold):
            could_be = {fit[key] for fit in fitting}
            assert cells[key].count in could_be
            assert len(could_be) >= min(3, threshold - 1)


small_lines = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(Cell, st.integers(0, 14), st.none() | st.integers(1, 9)),
    max_size=4,
)


@given(cells=small_lines, threshold=st.integers(2, 6))
def test_no_small_cell_can_be_computed(cells: dict[str, Cell], threshold: int) -> None:
    total = sum(cell.count for cell in cells.values())
    check(hide_line(cells, total, threshold=threshold), cells, threshold)


def test_a_single_small_cell_takes_the_next_smallest_with_it() -> None:
    line = hide_line({"a": Cell(2), "b": Cell(40), "c": Cell(300)}, 342, threshold=5)
    assert line == Line({"a": None, "b": None, "c": 300}, 342)


def test_two_cells_that_must_both_be_one_are_not_enough() -> None:
    line = hide_line({"a": Cell(1), "b": Cell(1), "c": Cell(30), "d": Cell(50)}, 82, threshold=5)
    assert line == Line({"a": None, "b": None, "c": None, "d": 50}, 82)


def test_with_nothing_left_to_hide_the_sum_goes() -> None:
    assert hide_line({"a": Cell(4), "b": Cell(4)}, 8, threshold=5) == Line({"a": None, "b": None}, None)


def test_zero_is_shown_and_needs_no_company() -> None:
    assert hide_line({"a": Cell(0), "b": Cell(9)}, 9, threshold=5) == Line({"a": 0, "b": 9}, 9)


def test_many_letters_of_few_people_are_hidden() -> None:
    line = hide_line({"rheumatology": Cell(300, 1), "cardiology": Cell(400, 9)}, 700, threshold=5)
    assert line.cells == {"rheumatology": None, "cardiology": None}


def test_a_threshold_of_one_hides_nothing() -> None:
    assert hide_line({"a": Cell(1), "b": Cell(2)}, 3, threshold=1) == Line({"a": 1, "b": 2}, 3)


nested = st.dictionaries(st.sampled_from("rs"), small_lines.filter(bool), min_size=1, max_size=2)


@example(groups={"r": {"a": Cell(1)}, "s": {"a": Cell(2)}}, threshold=2)
@given(groups=nested, threshold=st.integers(2, 5))
def test_a_regions_sum_gives_no_institution_away(groups: dict[str, dict[str, Cell]], threshold: int) -> None:
    plain = {key: {name: Cell(cell.count) for name, cell in cells.items()} for key, cells in groups.items()}
    totals = {key: sum(cell.count for cell in cells.values()) for key, cells in plain.items()}
    upper, lines = hide_nested(plain, totals, sum(totals.values()), threshold=threshold)
    for key, line in lines.items():
        # What a reader knows of the sum of a region: what is shown as its own, in the upper line.
        known = upper.cells[key]
        assert known is None or known == totals[key]
        check(Line(line.cells, known), plain[key], threshold)
        if known is None:
            assert all(not value for value in line.cells.values())
    hidden = [key for key, value in upper.cells.items() if value is None]
    # Below a threshold of two whatever is hidden is one, and no company could make it less so.
    assert threshold == 2 or len(hidden) != 1 or upper.total is None


@pytest.mark.parametrize("threshold", [2, 5, 50])
def test_large_lines_are_hidden_soon(threshold: int) -> None:
    cells = {str(at): Cell(at % 97) for at in range(2000)}
    line = hide_line(cells, sum(cell.count for cell in cells.values()), threshold=threshold)
    assert line.total is not None
    assert line.hidden >= sum(cell.is_small(threshold) for cell in cells.values())
