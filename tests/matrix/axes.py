"""The ways to have a cluster, and the cells: few clusters in which every two of the ways meet at least once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

# In this order the library finds a cell for every pair; in others the rule below leads it into dead ends.
AXES: dict[str, list[str]] = {
    "roles": ["six", "three", "two"],
    "ssh": ["root", "sudo", "sudo password", "jump host"],
    "umask": ["022", "077"],
    "system": ["debian-12", "debian-13", "mixed"],
    "network": ["ipv4", "ipv6", "dual"],
    "service": ["own", "flask", "node", "static"],
    "source": ["path", "git", "archive", "image"],
    "floating_ip": ["yes", "no"],
    "monitoring": ["none", "one parent", "two parents"],
    "python": ["3.11", "3.12", "3.13"],
    "tls": ["off", "internal", "acme"],
}

# What the clusters of tests/cluster are: the cells that `tests/run` adds are those with most of the rest.
RUN_ANYWAY = {
    ("roles", "six"),
    ("roles", "three"),
    ("system", "debian-12"),
    ("system", "mixed"),
    ("tls", "off"),
    ("tls", "internal"),
    ("floating_ip", "yes"),
    ("network", "ipv4"),
    ("network", "ipv6"),
    ("ssh", "root"),
    ("ssh", "sudo"),
    ("umask", "022"),
    ("monitoring", "none"),
    ("monitoring", "two parents"),
    ("source", "path"),
    ("service", "own"),
    ("python", "3.11"),
}


@dataclass(frozen=True)
class Cell:
    """One cluster: a value of each axis."""

    number: int
    roles: str
    ssh: str
    umask: str
    system: str
    network: str
    service: str
    source: str
    floating_ip: str
    monitoring: str
    python: str
    tls: str

    @property
    def values(self) -> dict[str, str]:
        """Return the value of each axis."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "number"}

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.number:2}: {', '.join(f'{axis} {value}' for axis, value in self.values.items())}"


def is_possible(values: dict[str, str]) -> bool:
    """Return whether the values that are given can go together; axes may be missing.

    An image is made for the static program alone: without a registry there is no base for the others.
    """
    return values.get("source") != "image" or values.get("service", "static") == "static"


def cells() -> list[Cell]:
    """Return the cells, the same ones each time: every possible pair of values of two axes is in one of them."""
    from allpairspy import AllPairs

    def fits(row: list[str]) -> bool:
        return is_possible(dict(zip(AXES, row, strict=False)))

    rows: Any = AllPairs(list(AXES.values()), filter_func=fits)
    return [Cell(number, *row) for number, row in enumerate(rows, start=1)]


def representatives(count: int = 2) -> list[Cell]:
    """Return the cells that together have most of the values that no other cluster of the tests has."""
    chosen: list[Cell] = []
    known = set(RUN_ANYWAY)
    for _ in range(count):
        best = max(cells(), key=lambda cell: (len(set(cell.values.items()) - known), -cell.number))
        known |= set(best.values.items())
        chosen.append(best)
    return chosen
