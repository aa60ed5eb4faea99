#!/usr/bin/python
"""Ansible module: verifies that clients of this load balancer get answers. Reads only."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.caddy_lb.front_door import verify
from ansible.module_utils.caddy_lb.routing import read_routing

DOCUMENTATION = r"""
module: caddy_lb_verify
short_description: Verify that clients of this load balancer get answers
description:
  - Asks for every service through the Caddy of this machine, with its host name and TLS as a client would, and asks its
    workers directly. Fails with what does not answer and why, as far as that can be told.
options:
  services:
    description: Only these services; all that this load balancer serves when empty.
    type: list
    elements: str
    default: []
  workers:
    description: The workers that have to answer. Services that run on none of them are passed over.
    type: list
    elements: str
    required: true
  sources:
    description: Addresses that workers accept connections of this load balancer from.
    type: list
    elements: str
    default: []
  tls:
    description: As caddy_lb_tls.
    type: str
    default: "off"
  limit:
    description: Seconds until an answer has to be there.
    type: float
    default: 10
"""

RETURN = r"""
msg:
  description: What does not answer.
  returned: failure
  type: str
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "default": []},
            "workers": {"type": "list", "elements": "str", "required": True},
            "sources": {"type": "list", "elements": "str", "default": []},
            "tls": {"type": "str", "default": "off"},
            "limit": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    wanted, routing = module.params, read_routing()
    if wanted["services"]:
        routing = {name: service for name, service in routing.items() if name in wanted["services"]}
    problems = verify(routing, wanted["tls"], wanted["workers"], wanted["sources"], wanted["limit"])
    if problems:
        module.fail_json(msg="; ".join(problems))
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
