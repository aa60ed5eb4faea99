"""The cells of the matrix: all pairs, the same ones each time."""

from __future__ import annotations

from itertools import combinations, product

from tests.matrix.axes import AXES, RUN_ANYWAY, Cell, cells, is_possible, representatives
from tests.matrix.steps import sandbox_options, steps


def pairs(cell: Cell) -> set[tuple[tuple[str, str], ...]]:
    return set(combinations(cell.values.items(), 2))


def test_every_possible_pair_of_values_is_in_a_cell() -> None:
    wanted = {
        ((first, a), (second, b))
        for (first, values), (second, others) in combinations(AXES.items(), 2)
        for a, b in product(values, others)
        if is_possible({first: a, second: b})
    }
    assert wanted == set().union(*map(pairs, cells()))


def test_cells_are_the_same_each_time_and_possible() -> None:
    assert cells() == cells()
    assert all(is_possible(cell.values) for cell in cells())
    assert [cell.number for cell in cells()] == list(range(1, len(cells()) + 1))


def test_two_cells_have_most_of_what_no_other_cluster_has() -> None:
    rest = {(axis, value) for axis, values in AXES.items() for value in values} - RUN_ANYWAY
    first, second = representatives()
    assert first != second
    covered = rest & ({*first.values.items()} | {*second.values.items()})
    assert len(covered) >= len(rest) * 2 / 3, f"left out: {rest - covered}"


def test_what_a_cell_says_is_what_is_booted_and_done() -> None:
    for cell in cells():
        options = sandbox_options(cell)
        assert options[options.index("--network") + 1] == cell.network
        assert ("debian-13" in " ".join(options)) == (cell.system != "debian-12")
        needs_packages = cell.monitoring != "none" and cell.system != "debian-12"
        assert ("--client" in options) == (cell.tls == "acme" or needs_packages)
        names = [step.__name__ for step in steps(cell)]
        assert ("ask_dashboard" in names) == (cell.monitoring != "none")
