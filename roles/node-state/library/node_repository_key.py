#!/usr/bin/python
"""Ansible module: the key of an apt repository, taken only when it is one of those that are expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node_state import State, StateError
from ansible.module_utils.node_state.packages import at_least, installed
from ansible.module_utils.node_state.repository import offered
from ansible.module_utils.node_state.repository_key import fetch
from ansible.module_utils.node_state.snapshot import Snapshot

DOCUMENTATION = r"""
module: node_repository_key
short_description: Fetch the key of an apt repository
description:
  - The key is fetched where O(path) is missing, by the node. Another address or other fingerprints want another path.
  - With O(package) that is not installed, the repository is asked for it first, in check mode as well.
  - In check mode nothing is written.
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
  package:
    description: A package whose C(version) is to be told. O(uri) and O(suites) say where it comes from.
    type: str
  minimum:
    description: The oldest version of it that is good enough, where it is not installed.
    type: str
  uri:
    description: The repository.
    type: str
  suites:
    description: Its suites.
    type: str
  components:
    description: Its components, where it has some.
    type: str
  examine:
    description: In check mode, say in C(report) that the key or the package cannot be had, in place of failing.
    type: bool
  advice:
    description: What to do when the key or the package cannot be had, for the message.
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
version:
  description: The version of O(package) that is installed, else that which the repository offers.
  type: str
  returned: where a package is given
"""


TEXTS = ("package", "minimum", "uri", "suites", "components", "advice")


def version_of(params: dict[str, Any], key: bytes | None) -> str:
    """Return the version of the package that is installed or will be. Raises StateError where it is too old."""
    package, minimum = params["package"], params["minimum"]
    present = installed([package]).get(package)
    if present:
        return present
    key = key or Path(params["path"]).read_bytes()
    version = offered(package, key, params["uri"], params["suites"], params["components"])
    if minimum and not at_least(version, minimum):
        raise StateError(
            f"{params['uri']} ({params['suites']}) has {package} {version}; it has to be {minimum} or newer"
        )
    return version


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "fingerprints": {"type": "list", "elements": "str", "default": []},
            "examine": {"type": "bool", "default": False},
            **{name: {"type": "str", "default": ""} for name in TEXTS},
        },
        supports_check_mode=True,
    )
    state = State("repository-key", check_mode=module.check_mode)
    params = module.params
    path, key, answer = Path(params["path"]), None, {}
    try:
        if not path.exists():
            state.note(f"fetch the key {params['url']}")
            if not module.check_mode or params["package"]:
                key = fetch(params["url"], params["fingerprints"])
        if params["package"]:
            answer["version"] = version_of(params, key)
        if key is not None and not module.check_mode:
            path.parent.mkdir(exist_ok=True)
            Snapshot(key, mode=0o644).put(path)
            for other in path.parent.glob(f"{path.name.partition('.')[0]}.*"):
                if other != path:
                    other.unlink()
    except (StateError, OSError) as error:
        if params["examine"]:
            module.exit_json(changed=False, report={"repository": {"what": str(error), "remedy": params["advice"]}})
        module.fail_json(msg=f"{error}{'; ' if params['advice'] else ''}{params['advice']}")
    module.exit_json(**state.result(), **answer)


if __name__ == "__main__":
    main()
