"""The node's own record of what was changed on it: a line a change in its journal (`journalctl -t nexus-ops`)."""

from __future__ import annotations

import os
import syslog
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TAG = "nexus-ops"
VARIABLE = "NEXUS_OPS_RUN"  # set for the module by the actions in action_plugins/
STEPS = 20  # that a line names


def write_down(name: str, steps: Sequence[str]) -> None:
    """Write who did `steps` (sentences, nothing secret in them) to the journal; `name` is the role's."""
    if not steps:
        return
    shown = "; ".join(" ".join(step.split()) for step in steps[:STEPS])
    more = f"; and {len(steps) - STEPS} more" if len(steps) > STEPS else ""
    who = os.environ.get(VARIABLE) or "somebody"
    syslog.openlog(TAG)
    syslog.syslog(syslog.LOG_NOTICE, f"{who}: {name}: {shown}{more}")
