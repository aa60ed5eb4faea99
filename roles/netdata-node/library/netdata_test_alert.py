#!/usr/bin/python
"""Ansible module: sends one test alert through this parent, the way that real ones go."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: netdata_test_alert
short_description: Sends one test alert through this parent, the way that real ones go
description:
  - Has Netdata's own script of alerts send one as Netdata's user, with the settings that it has on this node.
  - Changes nothing. Where no alert arrives this is no failure of the module, but its answer.
author: Nexus Ops contributors
"""

RETURN = r"""
report:
  description: Below C(test_alert) whether the webhook took it (C(ok)), and else the C(reason), without its address.
  returned: always
  type: dict
"""

# Of the distribution's package, and of upstream's.
SCRIPTS = [Path(folder, "netdata/plugins.d/alarm-notify.sh") for folder in ("/usr/lib", "/usr/libexec")]
SECONDS = 60
# What health_alarm_notify.conf says when a webhook did not take an alert: curl's words, if it has any, then the status.
REFUSED = re.compile(r"webhook did not take it \((.*?)\): ", re.DOTALL)


def send() -> str:
    """Return why no test alert has arrived, empty when one has."""
    script = next((path for path in SCRIPTS if path.is_file()), None)
    if script is None:
        return "Netdata is not installed on it"
    command = ["setpriv", "--reuid", "netdata", "--regid", "netdata", "--init-groups", str(script), "test"]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "nexus_test": "1"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{script} cannot be run: {error}"
    if "webhook took (" in done.stderr:
        return ""
    refused = REFUSED.search(done.stderr)
    if refused is None:
        return "its settings know no webhook"
    words = " ".join(refused[1].split())
    if words.isdigit():
        return f"it answered with HTTP {words}"
    # 000 is curl's status for no answer at all; what it says of that stands beside it.
    return words.removeprefix("000").removesuffix("000").strip()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=False)
    reason = send()
    module.exit_json(changed=False, report={"test_alert": {"ok": not reason, "reason": reason}})


if __name__ == "__main__":
    main()
