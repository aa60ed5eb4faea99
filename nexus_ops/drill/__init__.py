"""Measured availability: one node after the other has a fault under load, and what that costs is counted."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """What happens to a node. Here, since the command line names the choices without the code that does it."""

    KILL = "kill"
    STOP = "stop"
    CUT = "cut"
    FREEZE = "freeze"
    POWER_OFF = "power-off"


MAX_RATE = 200
"""Requests a second and service; more would measure this program rather than the cluster."""
