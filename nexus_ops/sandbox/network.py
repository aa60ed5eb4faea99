"""The network of a sandbox: a bridge with a private subnet that nothing else on this machine uses."""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING, Any

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import podman

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEFAULT_MTU = 1500
ATTEMPTS = 3


def network_name(sandbox: str) -> str:
    """Return the podman network's name of a sandbox."""
    return f"nexus-{sandbox}"


def candidates() -> Iterator[IPv4Network]:
    """Yield the private /24 networks to choose from, in order; rarely used ones first."""
    for number in range(1, 255):
        yield IPv4Network(f"10.77.{number}.0/24")
    for number in range(1, 255):
        yield IPv4Network(f"172.30.{number}.0/24")
    for number in range(100, 255):
        yield IPv4Network(f"192.168.{number}.0/24")


def choose_subnet(taken: Iterable[IPv4Network]) -> IPv4Network:
    """Return the first candidate that overlaps none of `taken`. Raises NexusError when there is none."""
    used = list(taken)
    for subnet in candidates():
        if not any(subnet.overlaps(other) for other in used):
            return subnet
    raise NexusError(
        "no private /24 network is free on this machine", next_step="remove networks: podman network prune"
    )


def routed_networks(routes: Iterable[dict[str, Any]]) -> list[IPv4Network]:
    """Return the IPv4 destinations of `ip -json route` entries; default routes, also in two halves, are left out."""
    found = []
    for route in routes:
        destination = route.get("dst", "default")
        if destination == "default" or route.get("type") == "broadcast":
            continue
        network = IPv4Network(destination, strict=False)
        if network.prefixlen > 1:
            found.append(network)
    return found


def taken_networks() -> list[IPv4Network]:
    """Return the networks that this machine routes to and those that podman has promised to others."""
    taken = routed_networks(json.loads(_ip("-json", "-4", "route", "show", "table", "all") or "[]"))
    for entry in podman.query(["network", "ls", "--format", "json"]):
        for subnet in entry.get("subnets") or []:
            network = ip_network(subnet["subnet"])
            if isinstance(network, IPv4Network):
                taken.append(network)
    return taken


def uplink_mtu() -> int:
    """Return the largest packet in bytes that this machine's way out takes; DEFAULT_MTU where there is none."""
    routes = json.loads(_ip("-json", "-4", "route", "show", "default") or "[]")
    devices = {route["dev"] for route in routes if "dev" in route}
    links = json.loads(_ip("-json", "link", "show") or "[]")
    return min([DEFAULT_MTU, *(int(link["mtu"]) for link in links if link["ifname"] in devices)])


def existing_subnet(sandbox: str) -> IPv4Network | None:
    """Return the subnet of the sandbox's network, None: it has no network. Raises PodmanError."""
    name = network_name(sandbox)
    for entry in podman.query(["network", "ls", "--filter", f"label={podman.LABEL}={sandbox}", "--format", "json"]):
        if entry["name"] == name:
            return IPv4Network(entry["subnets"][0]["subnet"])
    return None


def create_arguments(sandbox: str, subnet: IPv4Network, mtu: int) -> list[str]:
    """Return podman's arguments that make the network. Names are resolved by the controller's own servers."""
    label = f"{podman.LABEL}={sandbox}"
    options = ["--subnet", str(subnet), "--opt", f"mtu={mtu}", "--disable-dns", "--label", label]
    return ["network", "create", *options, network_name(sandbox)]


def ensure_network(sandbox: str, wanted: IPv4Network | None) -> IPv4Network:
    """Return the subnet of the sandbox's network, made unless it is there, as `wanted` or from what is free.

    Raises NexusError when `wanted` cannot be had.
    """
    existing = existing_subnet(sandbox)
    if existing is not None:
        if wanted is not None and existing != wanted:
            raise NexusError(
                f"the hosts of sandbox {sandbox!r} are on {existing}, its nexus.yml says {wanted}",
                next_step=f"start over: nexus-ops -e {sandbox} sandbox down",
            )
        return existing
    taken = taken_networks()
    if wanted is not None and any(wanted.overlaps(network) for network in taken):
        raise NexusError(
            f"{wanted}, which the nexus.yml of sandbox {sandbox!r} uses, is taken on this machine by now",
            next_step=f"make it anew: nexus-ops -e {sandbox} sandbox down --purge",
        )
    if wanted is not None:
        return _create(sandbox, wanted)
    for _ in range(ATTEMPTS):
        try:
            return _create(sandbox, choose_subnet(taken))
        except podman.PodmanError:
            taken = taken_networks()  # another sandbox that comes up at this moment may have been quicker
    return _create(sandbox, choose_subnet(taken))


def _create(sandbox: str, subnet: IPv4Network) -> IPv4Network:
    podman.call(create_arguments(sandbox, subnet, uplink_mtu()))
    return subnet


def remove_network(sandbox: str) -> None:
    """Remove the sandbox's network, if it has one. Raises PodmanError when hosts of others are still on it."""
    if existing_subnet(sandbox) is not None:
        podman.call(["network", "rm", network_name(sandbox)])


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout
