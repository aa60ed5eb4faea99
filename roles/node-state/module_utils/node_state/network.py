"""Which interface has an address."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING

from ansible.module_utils.node_state.commands import checked
from ansible.module_utils.node_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping


def interfaces_of(addresses: Mapping[str, str]) -> dict[str, str]:
    """Return the same names with the interface in place of the address. Raises StateError when there is none."""
    links = json.loads(checked(["ip", "-json", "address"]))
    known = {
        ipaddress.ip_address(entry["local"]): link["ifname"]
        for link in links
        for entry in link.get("addr_info", [])
        if "local" in entry
    }
    missing = [address for address in addresses.values() if ipaddress.ip_address(address) not in known]
    if missing:
        raise StateError(f"no interface of this node has the address {', '.join(missing)}; correct it in nexus.yml")
    return {name: known[ipaddress.ip_address(address)] for name, address in addresses.items()}
