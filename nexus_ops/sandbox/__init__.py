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


class System(StrEnum):
    """What hosts run. Named as in `/etc/os-release`: ID and VERSION_ID."""

    DEBIAN_12 = "debian-12"
    DEBIAN_13 = "debian-13"


class NetworkMode(StrEnum):
    """Which addresses hosts have, and which of them nexus.yml names: in a dual stack the IPv4 ones."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    DUAL = "dual"
