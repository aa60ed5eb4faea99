#!/usr/bin/python
"""Ansible module: waits until this load balancer sends requests to a worker again."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.caddy_lb.asking import doubts, wait_until_used
from ansible.module_utils.caddy_lb.routing import read_routing, upstreams_of

DOCUMENTATION = r"""
module: caddy_lb_await
short_description: Wait until this load balancer sends requests to a worker again
description:
  - Sends requests through the Caddy of this machine until one of each service went to I(worker), and looks whether
    other workers still answer. Services and workers that this load balancer does not serve (yet) are passed over.
options:
  worker:
    description: The worker that is to get requests.
    type: str
    required: true
  services:
    description: The services that it runs.
    type: list
    elements: str
    required: true
  others:
    description: Workers to be looked at as well.
    type: list
    elements: str
    default: []
  tls:
    description: As caddy_lb_tls.
    type: str
    default: "off"
  limit:
    description: Seconds to wait for each service.
    type: float
    default: 30
"""

RETURN = r"""
doubts:
  description: What is wrong with the other workers.
  returned: success
  type: list
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "worker": {"type": "str", "required": True},
            "services": {"type": "list", "elements": "str", "required": True},
            "others": {"type": "list", "elements": "str", "default": []},
            "tls": {"type": "str", "default": "off"},
            "limit": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    wanted, worker = module.params, module.params["worker"]
    routing, found = read_routing(), []
    for name in wanted["services"]:
        service = routing.get(name) or {"upstreams": {}}
        if worker in service["upstreams"]:
            problem = wait_until_used(service, worker, wanted["tls"], wanted["limit"])
            if problem:
                waited = f"waited {wanted['limit']:g} s"
                module.fail_json(msg=f"{worker} gets no requests for {name} from this lb ({waited}): {problem}")
        others = [upstream for upstream in upstreams_of(service) if upstream.worker in wanted["others"]]
        found += [f"{name} on {other.worker}: {problem}" for other, problem in doubts(others, {}).items() if problem]
    module.exit_json(changed=False, doubts=found)


if __name__ == "__main__":
    main()
