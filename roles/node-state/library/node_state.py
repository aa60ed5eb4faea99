#!/usr/bin/python
"""Ansible module: many resources of a node checked and set in one round trip."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node_state import State, StateError
from ansible.module_utils.node_state.errors import words_of
from ansible.module_utils.node_state.needs import unmet

DOCUMENTATION = r"""
module: node_state
short_description: Packages, users, folders, files and units of a node in one round trip
description:
  - Checks everything in one run and changes only what differs. Check mode and diff are complete.
  - Files are validated before they land, and land all together or not at all.
  - Units that run already are not reloaded here; they are reported as C(due), for the module node_activate.
options:
  name:
    description: Keeps this role's markers below /run/nexus-ops apart from those of other roles.
    required: true
    type: str
  needs:
    description:
      - Files that something else puts there (keys C(path), C(sha256), the latter may be empty).
      - While one is missing or differs, only users and directories are done, and it is in C(unmet).
    type: list
    elements: dict
  packages:
    description:
      - Debian packages, by name, or as C(name) and C(minimum) version, or as C(name) and C(state) (absent, purged).
      - C(only_if) names a path; packages to be removed are left alone without it.
    type: list
    elements: raw
  users:
    description: System users with a group of their own.
    type: list
    elements: dict
  directories:
    description:
      - Folders with C(path), C(owner), C(group), C(mode).
      - One that is C(kept) is made where it is missing, and else left as it is.
    type: list
    elements: dict
  files:
    description:
      - Files with C(path), C(content) (or C(link)), C(owner), C(group), C(mode).
      - C(validate) is a command with %s for the file, run as C(validate_user).
      - C(activates) names the unit that is to be told, C(by) reload or restart.
      - Files below /etc/apt, and those with C(early), are written before packages are installed.
    type: list
    elements: dict
  absent:
    description: >-
      Paths to remove, the last part of which may be a pattern with C(*); as C(path) and C(only_if), only while another
      path is there.
    type: list
    elements: raw
  units:
    description:
      - systemd units with C(enabled) and C(state) (started, stopped, absent).
      - C(only_if) names a path; units to be stopped are left alone without it.
    type: list
    elements: dict
  interfaces:
    description: Names to addresses; C(@@NAME@@) in file contents stands for the interface that has the address.
    type: dict
  secrets:
    description: Values for C(@@NAME@@) in file contents. They are never shown.
    type: dict
author: Nexus Ops contributors
"""

EXAMPLES = r"""
- name: Web server runs with its configuration
  node_state:
    name: web
    packages: [nginx]
    files:
      - {path: /etc/nginx/conf.d/site.conf, content: "{{ site }}", activates: nginx.service}
    units:
      - {name: nginx.service, enabled: true, state: started}
"""

RETURN = r"""
due:
  description: Units that have to be told of their new files, with how (reload or restart).
  type: dict
  returned: always
steps:
  description: What was done, or would be.
  type: list
  returned: always
unmet:
  description: Paths of C(needs) that are missing or differ.
  type: list
  returned: always
"""

ACTIVATES = {"activates": {"type": "str"}, "by": {"type": "str", "choices": ["reload", "restart"]}}
OWNED = {"owner": {"type": "str"}, "group": {"type": "str"}, "mode": {"type": "str"}}
PATH = {"path": {"type": "str", "required": True}}
ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "needs": {"type": "list", "elements": "dict", "default": [], "options": {**PATH, "sha256": {"type": "str"}}},
    "packages": {"type": "list", "elements": "raw", "default": []},
    "users": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "home": {"type": "str"},
            "shell": {"type": "str"},
            "groups": {"type": "list", "elements": "str"},
            "state": {"type": "str", "choices": ["present", "absent"]},
        },
    },
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {**PATH, **OWNED, "kept": {"type": "bool"}},
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            **PATH,
            **OWNED,
            **ACTIVATES,
            "content": {"type": "str"},
            "link": {"type": "str"},
            "validate": {"type": "str"},
            "validate_user": {"type": "str"},
            "early": {"type": "bool"},
        },
        "required_one_of": [("content", "link")],
        "mutually_exclusive": [("content", "link")],
    },
    "absent": {"type": "list", "elements": "raw", "default": []},
    "units": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "enabled": {"type": "bool"},
            "state": {"type": "str", "choices": ["started", "stopped", "absent"]},
            "only_if": {"type": "str"},
        },
    },
    "interfaces": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
}


def bring_about(state: State, wanted: dict[str, Any]) -> list[str]:
    """Do all that is wanted, in an order that holds for any role; return the unmet needs."""
    state.interfaces(wanted["interfaces"])
    state.users(wanted["users"])
    state.directories(wanted["directories"])
    missing = unmet(wanted["needs"])
    if missing and not state.check_mode:
        return missing
    early = [entry for entry in wanted["files"] if entry["early"] or entry["path"].startswith("/etc/apt/")]
    state.files(early)
    state.packages(wanted["packages"])
    state.files([entry for entry in wanted["files"] if entry not in early])
    state.stop(wanted["units"])
    state.packages_absent(wanted["packages"])
    state.absent(wanted["absent"])
    state.start(wanted["units"])
    return missing


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    wanted = module.params
    state = State(wanted["name"], check_mode=module.check_mode, secrets=wanted["secrets"])
    try:
        missing = bring_about(state, wanted)
    except StateError as error:
        module.fail_json(msg=str(error), **state.result())
    except OSError as error:
        module.fail_json(msg=words_of(error), **state.result())
    result = state.result()
    result["changed"] = result["changed"] or bool(missing)
    module.exit_json(unmet=missing, **result)


if __name__ == "__main__":
    main()
