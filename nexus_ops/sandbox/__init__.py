"""The same cluster as containers that boot real systemd."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """What can be done to a host. Here, since the command line names the choices without the code that does it."""

    POWER_OFF = "power-off"
    POWER_ON = "power-on"
    CUT = "cut"
    HEAL = "heal"
    FREEZE = "freeze"
    THAW = "thaw"
