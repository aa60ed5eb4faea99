"""Measures Nexus Ops beside its peers and prints a table; see README.md, section Speed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import measures
from tests.bench.measures import Row

MEASURES = ("start-up", "first", "converged", "status", "deploy", "growth")
NODES = 10


def main() -> int:
    """Measure what was asked for. Returns 0 when all limits are kept, else 1."""
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"default: {', '.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender, of which the median counts (3)")
    parser.add_argument("--largest", type=int, default=40, help="hosts that the cluster grows to (40)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    if unknown := set(options.measures) - set(MEASURES):
        parser.error(f"there is no measure {', '.join(sorted(unknown))}; choose from {', '.join(MEASURES)}")
    if os.geteuid() != 0:
        parser.error("hosts in podman need root")
    chosen = options.measures or list(MEASURES)
    # The hosts are removed, whoever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = measure(chosen, options.rounds, options.largest)
    print(table(rows))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(document(rows, options.rounds), indent=2) + "\n")
    return 0 if all(row.kept is not False for row in rows) else 1


def measure(chosen: list[str], rounds: int, largest: int) -> list[Row]:
    """Return the rows of the measures that were chosen."""
    rows: list[Row] = []
    if "start-up" in chosen:
        rows += measures.start_up(rounds)
    if "first" in chosen:
        rows += measures.first(rounds, NODES)
    on_cluster: dict[str, Callable[[Any], list[Row]]] = {
        "converged": lambda cluster: measures.converged(cluster, rounds),
        "status": lambda cluster: measures.status(cluster, rounds),
        "deploy": lambda cluster: measures.deploy(cluster, rounds),
        "growth": lambda cluster: measures.growth(
            cluster, rounds, tuple(size for size in measures.SIZES if NODES <= size <= largest)
        ),
    }
    if any(name in chosen for name in on_cluster):
        with measures.cluster_of("bench", *measures.counts(NODES)) as cluster:
            measures.first_apply(cluster)
            for name, run in on_cluster.items():
                if name in chosen:
                    rows += run(cluster)
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    head = ("measure", "wall s", "CPU here s", "CPU elsewhere s", "ratio", "beside", "limit", "")
    lines = [head, ("---", *["---:"] * 4, "---", "---:", "---")]
    for row in rows:
        kept = {True: "kept", False: "**missed**", None: ""}[row.kept]
        numbers = (row.value, row.own, row.others, row.ratio)
        digits = 3 if row.value < 1 else 2
        cells = ["" if number is None else f"{number:.{digits}f}" for number in numbers]
        limit = "" if row.limit is None else f"{row.limit:g}"
        lines.append((row.measure, *cells, row.beside, limit, kept))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def document(rows: list[Row], rounds: int) -> dict[str, Any]:
    """Return the rows and what they were measured with."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("ansible-core", "mitogen", "pyinfra")},
        "rows": [{**vars(row), "kept": row.kept} for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main())
