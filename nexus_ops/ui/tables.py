"""Tables and consoles: the same text with colour on a terminal and without it elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nexus_ops.text import visible

PLAIN_WIDTH = 160
"""Columns where there is no terminal to ask: wide enough for a log, so that nothing is cut."""


def make_console(stream: TextIO | None = None) -> Console:
    """Return a console that writes to `stream` (default: stdout) and never interprets text as markup."""
    stream = stream or sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def make_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a borderless table; a cell is text or a rich renderable, columns of numbers are right-aligned."""
    rows = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(visible(str(cell))) for cell in row))
    return table
