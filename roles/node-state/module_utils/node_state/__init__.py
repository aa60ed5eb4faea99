"""The wanted state of a node, checked and set in one module run (a module run is what a play costs).

For modules of other roles:

    from ansible.module_utils.node_state import State, StateError

    state = State("service-deploy", check_mode=module.check_mode, secrets={"KEY": "..."})
    try:
        state.packages(["nftables"])                       # or {"name": "caddy", "minimum": "2.11.4"}
        state.users([{"name": "web", "home": "/var/lib/web"}])
        state.directories([{"path": "/var/lib/web", "owner": "web", "group": "web", "mode": "0750"}])
        state.files([{"path": "/etc/x", "content": "key=@@KEY@@", "activates": "x.service", "by": "restart"}])
        state.stop([{"name": "old.service", "state": "absent"}])
        state.packages_absent([{"name": "old", "state": "absent"}])  # or "purged"
        state.absent(["/etc/old"])                         # or {"path": ..., "activates": ..., "by": ...}
        state.start([{"name": "x.service", "enabled": True, "state": "started"}])
    except StateError as error:
        module.fail_json(msg=str(error), **state.result())
    module.exit_json(**state.result())

Every entry has the keys, and every key the default, of the module node_state (library/node_state.py). Each method
does only what is missing and records it; in check mode it records without doing. `result()` is `changed`, `diff`,
`steps` (sentences) and `due` (unit to `reload` or `restart`: to be done by node_activate, or by
`activate(name, unit)` of this package). A unit that is started by the call is not due.
`state.units` is what systemd said of every unit asked so far; `state.note("do x")` records a step of the caller's;
`state.interfaces({"NAME": "192.0.2.1"})` lets `@@NAME@@` in files stand for the interface with that address.
Further functions: `commands.run` and `commands.checked` for programs, `units.show/start/stop/restart`,
`files.land` for files that change all together.
"""

from __future__ import annotations

from ansible.module_utils.node_state.activation import activate
from ansible.module_utils.node_state.errors import StateError
from ansible.module_utils.node_state.state import State

__all__ = ["State", "StateError", "activate"]
