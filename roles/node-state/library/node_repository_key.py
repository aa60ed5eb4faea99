#!/usr/bin/python
"""Ansible module: the key of an apt repository, taken only when it is one of those that are expected."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node_state import State, StateError
from ansible.module_utils.node_state.repository_key import fetch
from ansible.module_utils.node_state.snapshot import Snapshot

DOCUMENTATION = r"""
module: node_repository_key
short_description: Fetch the key of an apt repository
description:
  - The key is fetched where O(path) is missing, by the node. Another address or other fingerprints want another path.
  - In check mode nothing is fetched.
options:
  url:
    description: Where the armored key is, over https (or C(file://) on the node).
    required: true
    type: str
  path:
    description: The file to make. Files beside it whose names differ after the first dot are keys that it replaces.
    required: true
    type: path
  fingerprints:
    description: Fingerprints of the primary keys that are accepted. Without any, every key is.
    type: list
    elements: str
  advice:
    description: What to do when the key cannot be had, for the message.
    type: str
author: Nexus Ops contributors
"""

EXAMPLES = r"""
- name: Fetch the repository's key
  node_repository_key:
    url: https://packages.example.com/key.asc
    path: /etc/apt/keyrings/example.1f2e3d4c.asc
    fingerprints: [0123456789ABCDEF0123456789ABCDEF01234567]
"""

RETURN = r"""
steps:
  description: What was done, or would be.
  type: list
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "fingerprints": {"type": "list", "elements": "str", "default": []},
            "advice": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    state = State("repository-key", check_mode=module.check_mode)
    url, path = module.params["url"], Path(module.params["path"])
    try:
        if not path.exists():
            state.note(f"fetch the key {url}")
            if not module.check_mode:
                key = fetch(url, module.params["fingerprints"])
                path.parent.mkdir(exist_ok=True)
                Snapshot(key, mode=0o644).put(path)
                for other in path.parent.glob(f"{path.name.partition('.')[0]}.*"):
                    if other != path:
                        other.unlink()
    except (StateError, OSError) as error:
        module.fail_json(msg=f"{error}{'; ' if module.params['advice'] else ''}{module.params['advice']}")
    module.exit_json(**state.result())


if __name__ == "__main__":
    main()
