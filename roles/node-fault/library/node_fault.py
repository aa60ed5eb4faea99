#!/usr/bin/python
"""Ansible module: a fault of this node that ends by itself."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import uuid
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node_state import State, StateError
from ansible.module_utils.node_state.commands import checked, run

DOCUMENTATION = r"""
module: node_fault
short_description: A fault of this node that ends by itself
description:
  - The end is set before the fault begins, as a timer of systemd on the node. It needs neither network nor Ansible.
  - C(cut) needs nftables, and installs it where it is missing.
  - C(kill) has no end to set. systemd starts the service again, or does not.
options:
  kind:
    description: What is done. C(heal) ends now what earlier calls have begun.
    type: str
    required: true
    choices: [kill, stop, freeze, cut, heal]
  units:
    description: Units that are hit by C(kill), C(stop) and C(freeze). Those that the node does not have are left out.
    type: list
    elements: str
    default: []
  seconds:
    description: How long C(stop), C(freeze) and C(cut) last.
    type: float
    default: 10
author: Nexus Ops contributors
"""

RETURN = r"""
report:
  description: C(fault), with C(begins_in) and C(ends_in), seconds from the end of the module on; 0 for what is over.
  returned: always
  type: dict
"""

NFT = "/usr/sbin/nft"
TABLE = "nexus_fault"
UNIT = "nexus-fault"
LEAD = 1.0  # seconds until a node is cut off: the answer has to be out by then
LONGEST = 600.0

# Before everything else that the kernel does with packets, and after it: also what programs send past the firewall, as
# keepalived sends its ARP. Anything less, and a cut off load balancer would still draw the floating IP to itself.
AT_DEVICES = """table netdev {table} {{
    chain input {{
        type filter hook ingress devices = {{ {devices} }} priority -500; policy drop;
    }}
    chain output {{
        type filter hook egress devices = {{ {devices} }} priority -500; policy drop;
    }}
}}
"""
# Kernels before 5.16 have no egress hook.
IN_FIREWALL = """table inet {table} {{
    chain input {{
        type filter hook prerouting priority -400; policy drop;
        iifname "lo" accept
    }}
    chain output {{
        type filter hook output priority -400; policy drop;
        oifname "lo" accept
    }}
}}
table arp {table} {{
    chain input {{
        type filter hook input priority 0; policy drop;
    }}
    chain output {{
        type filter hook output priority 0; policy drop;
    }}
}}
"""


def present(units: list[str]) -> list[str]:
    """Return those of `units` that this node has. Raises StateError when there is none."""
    found = [
        unit
        for unit in units
        if checked(["systemctl", "show", "--property=LoadState", unit]).strip() == "LoadState=loaded"
    ]
    if not found:
        raise StateError(f"this node has none of {', '.join(units) or 'no units'}; nothing was done")
    return found


def later(name: str, seconds: float, command: list[str]) -> float:
    """Have systemd run `command` in `seconds`, in a unit of that `name`; return when, in monotonic seconds."""
    moment = time.monotonic() + seconds
    checked(
        [
            *("systemd-run", "--quiet", "--collect", f"--unit={UNIT}-{name}-{uuid.uuid4().hex[:8]}"),
            *(f"--on-active={seconds * 1000:.0f}ms", "--timer-property=AccuracySec=20ms", "--"),
            *command,
        ]
    )
    return moment


def kill(units: list[str], _: float) -> float:
    """Kill the main process of each unit; that is over at once."""
    for unit in present(units):
        pid = int(checked(["systemctl", "show", "--property=MainPID", "--value", unit]))
        if not pid:
            raise StateError(f"{unit} does not run on this node; nothing was done to it")
        os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def stop(units: list[str], seconds: float) -> float:
    """Stop units, and have them started again; return when."""
    found = present(units)
    ends = later("end", seconds, ["systemctl", "start", *found])
    checked(["systemctl", "stop", *found])
    return ends


def freeze(units: list[str], seconds: float) -> float:
    """Keep all processes of units from running, and have them go on; return when."""
    found = present(units)
    ends = later("end", seconds, ["systemctl", "kill", "--signal=SIGCONT", *found])
    checked(["systemctl", "kill", "--signal=SIGSTOP", *found])
    return ends


def cut(_: list[str], seconds: float) -> float:
    """Cut the node off in LEAD seconds, and have that ended; return when. Raises StateError."""
    State(UNIT, check_mode=False).packages(["nftables"])
    devices = sorted(
        path.name for path in Path("/sys/class/net").iterdir() if (path / "ifindex").exists() and path.name != "lo"
    )
    rules, tables = AT_DEVICES.format(table=TABLE, devices=", ".join(devices)), [["netdev", TABLE]]
    descriptor, path = tempfile.mkstemp(prefix="nexus-fault-", suffix=".nft", dir="/run")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(rules)
    if run([NFT, "--check", "--file", path]).returncode != 0:
        if run(["systemctl", "is-active", "--quiet", "keepalived.service"]).returncode == 0:
            Path(path).unlink()
            raise StateError(
                "this kernel cannot hold back what keepalived sends (it is older than 5.16); nothing was done"
            )
        Path(path).write_text(IN_FIREWALL.format(table=TABLE), encoding="utf-8")
        tables = [["inet", TABLE], ["arp", TABLE]]
        checked([NFT, "--check", "--file", path])
    remedy = "; ".join(["rm -f " + path, *(f"{NFT} delete table {' '.join(table)}" for table in tables)])
    ends = later("end", LEAD + seconds, ["/bin/sh", "-c", remedy])
    later("begin", LEAD, [NFT, "--file", path])
    return ends


def heal(_: list[str], __: float) -> float:
    """Do now what the timers would do later."""
    listing = checked(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=timer", f"{UNIT}-end-*"])
    for line in listing.splitlines():
        checked(["systemctl", "start", line.split()[0].removesuffix(".timer") + ".service"])
    return time.monotonic()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kind": {"type": "str", "required": True, "choices": ["kill", "stop", "freeze", "cut", "heal"]},
            "units": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    kind, units, seconds = module.params["kind"], module.params["units"], module.params["seconds"]
    if not 1 <= seconds <= LONGEST:
        module.fail_json(msg=f"a fault lasts 1 to {LONGEST:g} s, not {seconds:g}; nothing was done")
    ends = time.monotonic()
    try:
        if not module.check_mode:
            ends = {"kill": kill, "stop": stop, "freeze": freeze, "cut": cut, "heal": heal}[kind](units, seconds)
    except StateError as error:
        module.fail_json(msg=str(error))
    begins_in = LEAD if kind == "cut" else 0.0
    module.exit_json(
        changed=True,
        steps=[f"{kind} {' '.join(units)}".strip()],
        report={"fault": {"begins_in": begins_in, "ends_in": max(0.0, ends - time.monotonic())}},
    )


if __name__ == "__main__":
    main()
