"""Faults of a host, as they happen to machines: no power, no cable, no answer. Each has its remedy."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import Fault, podman
from nexus_ops.sandbox.hosts import Container


def apply(fault: Fault, container: Container) -> None:
    """Do `fault` to the host; nothing happens when it is in that state already. Raises NexusError."""
    match fault:
        case Fault.POWER_OFF:
            power_off(container)
        case Fault.POWER_ON:
            power_on(container)
        case Fault.CUT:
            set_link(container, up=False)
        case Fault.HEAL:
            set_link(container, up=True)
        case Fault.FREEZE:
            freeze(container)
        case Fault.THAW:
            thaw(container)


def power_off(container: Container) -> None:
    """Stop everything in the host at once, as a lost power supply does: nobody says goodbye."""
    if container.state == "paused":
        podman.call(["unpause", container.name])  # a frozen process does not die
    if container.state in {"running", "paused"}:
        podman.call(["kill", container.name])
        podman.call(["wait", container.name])


def power_on(container: Container) -> None:
    """Boot the host, with the disk and the addresses it had; its cable is plugged in. Returns before ssh answers."""
    if container.state != "paused":
        podman.call(["start", container.name])


def freeze(container: Container) -> None:
    """Stop scheduling the host: its kernel still answers on the network, no process does. Raises NexusError."""
    require_power(container)
    if container.state == "running":
        podman.call(["pause", container.name])


def thaw(container: Container) -> None:
    """Let a frozen host go on."""
    if container.state == "paused":
        podman.call(["unpause", container.name])


def set_link(container: Container, *, up: bool) -> None:
    """Plug the host's cable in or out; packets vanish without a reset. Raises NexusError when it has no power."""
    require_power(container)
    done = subprocess.run(
        ["ip", "link", "set", "dev", _bridge_port(container)["ifname"], "up" if up else "down"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NexusError(f"{container.host.name}: its link cannot be set: {podman.last_line(done.stderr)}")


def is_cut(container: Container) -> bool:
    """Return whether the host has power and its cable is unplugged."""
    return container.pid != 0 and "UP" not in _bridge_port(container)["flags"]


def _bridge_port(container: Container) -> dict[str, Any]:
    """Return the controller's end of the host's cable, as `ip -json link` describes it: the pair of the host's eth0."""
    inside = subprocess.run(
        ["nsenter", "--target", str(container.pid), "--net", "ip", "-json", "link", "show", "dev", "eth0"],
        capture_output=True,
        text=True,
        check=False,
    )
    if inside.returncode != 0:
        raise NexusError(f"{container.host.name}: no eth0 in it: {podman.last_line(inside.stderr)}")
    index = json.loads(inside.stdout)[0]["link_index"]
    links = subprocess.run(["ip", "-json", "link", "show"], capture_output=True, text=True, check=True).stdout
    for link in json.loads(links):
        if link["ifindex"] == index:
            return dict(link)
    raise NexusError(f"{container.host.name}: its cable has no end on this machine")


def require_power(container: Container) -> None:
    """Raise NexusError when the host is switched off."""
    if container.state not in {"running", "paused"}:
        raise NexusError(f"{container.host.name} is {container.state}", next_step=_remedy(container, Fault.POWER_ON))


def require_answers(container: Container) -> None:
    """Raise NexusError when the host is switched off or frozen."""
    require_power(container)
    if container.state == "paused":
        raise NexusError(f"{container.host.name} is frozen", next_step=_remedy(container, Fault.THAW))


def _remedy(container: Container, fault: Fault) -> str:
    return f"put it right: nexus-ops -e {container.sandbox} sandbox fault {container.host.name} {fault}"
