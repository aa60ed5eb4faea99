"""The two cells of the matrix that have most of what no other cluster here has; all of them: python -m tests.matrix."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cluster.cli import PROGRAM
from tests.matrix.__main__ import OK, run_cell
from tests.matrix.axes import Cell, representatives
from tests.matrix.controller import program


@pytest.mark.parametrize("cell", representatives(), ids=lambda cell: f"cell-{cell.number}")
def test_a_cell_of_the_matrix(cell: Cell, tmp_path: Path) -> None:
    nexus_ops = program(cell.python)
    if nexus_ops is None:
        print(f"no Python {cell.python} here, so that the controller has {sys.version.split()[0]}")  # noqa: T201
    result = run_cell(cell, tmp_path / "cell", nexus_ops or PROGRAM)
    assert result.result == OK, result.reason
