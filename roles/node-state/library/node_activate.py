#!/usr/bin/python
"""Ansible module: does the reload or restart that node_state found due, and takes it back when it fails."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node_state import StateError, activate

DOCUMENTATION = r"""
module: node_activate
short_description: Do the reload or restart that node_state found due
description:
  - Nothing happens when nothing is due.
  - When the unit refuses its new files, the previous ones are put back, and the module fails with the unit's log.
options:
  name:
    description: The name that was given to node_state.
    required: true
    type: str
  unit:
    description: The systemd unit.
    required: true
    type: str
author: Nexus Ops contributors
"""

EXAMPLES = r"""
- name: Web server uses its new configuration
  node_activate: {name: web, unit: nginx.service}
"""

RETURN = r"""
activated:
  description: What was done, C(reload) or C(restart), empty when nothing was due.
  type: str
  returned: success
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "unit": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True, activated="")
    try:
        done = activate(module.params["name"], module.params["unit"])
    except (StateError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(done), activated=done)


if __name__ == "__main__":
    main()
