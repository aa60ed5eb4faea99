"""Runs the cells of the matrix, and prints a table of them.

Needs root, podman and what `tests/run cluster` has installed. To call it:
. .cache/tests-venv/bin/activate; python -m tests.matrix
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.matrix.axes import AXES, Cell, cells
from tests.matrix.controller import program
from tests.matrix.steps import booted, steps

OK, FAILED, NOT_RUN = "ok", "FAILED", "not run"


@dataclass
class Result:
    """What became of a cell; `seconds` is for each step that was run."""

    cell: int
    result: str = OK
    reason: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


def run_cell(cell: Cell, folder: Path, python: str | None = None) -> Result:
    """Run a cell to its first step that fails. `folder` is new and stays."""
    result = Result(cell.number)
    nexus_ops = python or program(cell.python)
    if nexus_ops is None:
        return Result(cell.number, NOT_RUN, f"there is no Python {cell.python} here")
    name, started = "boot", time.monotonic()
    try:
        with booted(cell, nexus_ops, folder) as run:
            result.seconds[name] = round(time.monotonic() - started, 1)
            for step in steps(cell):
                name, started = step.__name__, time.monotonic()
                print(f"cell {cell.number}: {name}", file=sys.stderr, flush=True)
                step(run)
                result.seconds[name] = round(time.monotonic() - started, 1)
            name = "removal of the hosts"
    except Exception as error:
        traceback.print_exc()
        result.result, result.reason = FAILED, f"{name}: {str(error) or type(error).__name__}"
    return result


def in_process(cell: Cell, folder: Path) -> Result:
    """Run a cell in a process of its own, whose output goes to a file in `folder`."""
    answer, log = folder / f"{cell.number}.json", folder / f"{cell.number}.log"
    command = [sys.executable, "-m", "tests.matrix", "--cell", str(cell.number), "--json", str(answer)]
    with log.open("w") as output:
        subprocess.run(
            [*command, "--keep", str(folder / f"cell{cell.number}")],
            check=False,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    if not answer.exists():
        return Result(cell.number, FAILED, f"it ended without an answer, see {log}")
    return Result(**json.loads(answer.read_text())[0])


def table(chosen: list[Cell], results: list[Result]) -> str:
    """Return the table of the cells and their results."""
    rows = [["cell", *AXES, "result", "seconds"]]
    for cell, result in zip(chosen, results, strict=True):
        values = cell.values.values()
        rows.append([str(cell.number), *values, result.result, f"{sum(result.seconds.values()):.0f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    reasons = [f"cell {result.cell}: {result.reason.partition(chr(10))[0]}" for result in results if result.reason]
    return "\n".join([*lines, *reasons])


def main() -> int:
    """Run what was asked for. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the cells and run none")
    parser.add_argument("--cell", type=int, action="append", help="run this cell only; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time; faults are measured best with one")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--keep", type=Path, help="keep logs and environments in this new folder")
    given = parser.parse_args()
    known = cells()
    unknown = sorted(set(given.cell or []) - {cell.number for cell in known})
    if unknown or given.jobs < 1:
        parser.error(f"no cell {unknown[0]}: there are 1 to {len(known)}" if unknown else "--jobs: at least 1")
    chosen = [cell for cell in known if not given.cell or cell.number in given.cell]
    if given.list:
        print(*chosen, sep="\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the hosts are removed
    folder = given.keep or Path(tempfile.mkdtemp(prefix="matrix-"))
    folder.mkdir(exist_ok=True)
    try:
        if len(chosen) == 1:
            results = [run_cell(chosen[0], folder / "cell")]
        else:
            with ThreadPoolExecutor(max_workers=given.jobs) as pool:
                results = list(pool.map(lambda cell: in_process(cell, folder), chosen))
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(chosen, results))
    if given.json:
        given.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
    return int(any(result.result != OK for result in results))


if __name__ == "__main__":
    sys.exit(main())
