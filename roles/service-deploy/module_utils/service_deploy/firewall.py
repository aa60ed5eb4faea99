"""Who may reach the services' ports: a table of our own, so that nobody else's rules are touched."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node_state import StateError
from ansible.module_utils.node_state.commands import checked, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible.module_utils.node_state import State

TABLE = "nexus_services"
RULES = Path("/etc/nexus-ops/services.nft")
UNIT = "nexus-services-firewall.service"
NFT = "/usr/sbin/nft"

# Like Debian's nftables.service: in force before there is a network. After that one, and again whenever it restarts,
# since its file usually begins with `flush ruleset`. Stopping the unit opens nothing: the table stays.
UNIT_TEXT = f"""[Unit]
Description=Nexus Ops: the services' ports answer the load balancers only
Documentation=file:{RULES}
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target nftables.service
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
PartOf=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={NFT} -f {RULES}
ExecReload={NFT} -f {RULES}

[Install]
WantedBy=sysinit.target
"""


def former(allowed: Iterable[str]) -> list[str]:
    """Return the addresses that the rules on this node still admit and that are not in `allowed`."""
    try:
        text = RULES.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    admitted = {address for addresses in re.findall(r"saddr \{ (.*) \}", text) for address in addresses.split(", ")}
    return sorted(admitted - {str(ipaddress.ip_address(address)) for address in allowed})


def rules_text(ports: Iterable[int], allowed: Iterable[str]) -> str:
    """Return the nftables file. Read as a whole it replaces the table in one step. Raises StateError.

    `allowed` are addresses without prefix. The mark in the last rule's comment tells which text is in force.
    """
    addresses = set()
    for text in allowed:
        try:
            addresses.add(ipaddress.ip_address(text))
        except ValueError:
            raise StateError(
                f"service_deploy_allowed_addresses: {text!r} is no IP address; write 192.0.2.21 or 2001:db8::21"
            ) from None
    rules = ["ct state established,related accept", 'iifname "lo" accept']
    for version, family in ((4, "ip"), (6, "ip6")):
        those = ", ".join(str(address) for address in sorted(a for a in addresses if a.version == version))
        rules.extend([f"{family} saddr {{ {those} }} accept"] if those else [])
    # Answered like a port where nothing listens: who should not be here learns nothing, and nobody waits in vain.
    body = [
        f"tcp dport != {{ {', '.join(str(port) for port in sorted(set(ports)))} }} accept",
        *rules,
        'reject with tcp reset comment "nexus @DIGEST@"',
    ]
    text = (
        "# Written by Nexus Ops: the services' ports on this node answer the load balancers and the node itself.\n"
        f"table inet {TABLE}\n"
        f"delete table inet {TABLE}\n"
        f"table inet {TABLE} {{\n"
        "    chain input {\n"
        "        type filter hook input priority filter; policy accept;\n"
        + "".join(f"        {line}\n" for line in body)
        + "    }\n}\n"
    )
    return text.replace("@DIGEST@", hashlib.sha256(text.encode()).hexdigest()[:16])


def is_in_force(text: str) -> bool:
    """Return whether the kernel holds the rules of `text`."""
    mark = text.rpartition('comment "')[2].partition('"')[0]
    try:
        return mark in run([NFT, "list", "table", "inet", TABLE]).stdout
    except StateError:
        return False  # nft is not installed yet


def enforce(state: State, ports: Iterable[int], allowed: Iterable[str]) -> None:
    """Have the ports guarded now and after every boot, or nothing of it left when there are no ports."""
    ports = set(ports)
    if not ports:
        _remove(state)
        return
    text = rules_text(ports, allowed)
    state.files(
        [
            {"path": str(RULES), "content": text, "validate": f"{NFT} -c -f %s"},
            {"path": f"/etc/systemd/system/{UNIT}", "content": UNIT_TEXT},
        ]
    )
    if not is_in_force(text):
        state.note("guard the services' ports")
        if not state.check_mode:
            checked([NFT, "-f", str(RULES)])
    state.start([{"name": UNIT, "enabled": True, "state": "started"}])


def _remove(state: State) -> None:
    state.stop([{"name": UNIT, "state": "absent"}])
    state.absent([str(RULES)])
    try:
        there = run([NFT, "list", "table", "inet", TABLE]).returncode == 0
    except StateError:
        return  # no nft, no table
    if there:
        state.note("stop guarding ports")
        if not state.check_mode:
            checked([NFT, "delete", "table", "inet", TABLE])
