"""Asks the nodes: a playbook that only reads, and what every node reported. Leaves no record in runs/."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nexus_ops.content import find_content
from nexus_ops.environment import Environment
from nexus_ops.errors import NexusError
from nexus_ops.events import Event, Kind
from nexus_ops.intent.model import Intent, Node
from nexus_ops.inventory import refresh_inventory
from nexus_ops.runner import execute, load_ahead, plan_invocation
from nexus_ops.secrets import ensure_secrets
from nexus_ops.ssh import silence

GREETING_TIMEOUT = 1.5
"""Seconds."""

_OVER_SSH = re.compile(r"^.*(?: via ssh| over ssh): ", re.DOTALL)
"""What Ansible says before the words of ssh, in several versions of it."""


@dataclass
class Replies:
    """What came back, by node: its report, or the reason why there is none. `received` is this machine's clock."""

    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: dict[str, float] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Note what `event` says. Later reports of a node complete and replace earlier ones."""
        if event.report:
            self.reports.setdefault(event.host, {}).update(event.report)
            self.received[event.host] = time.time()
        elif event.kind is Kind.UNREACHABLE:
            self.silent[event.host] = ssh_reason(event.message)
        elif event.kind in {Kind.FAILED, Kind.IGNORED} and event.host:
            self.failed[event.host] = event.message


def ask_nodes(
    environment: Environment,
    intent: Intent,
    playbook: str,
    on_tick: Callable[[], None] = lambda: None,
    *,
    greeted: bool = False,
) -> Replies:
    """Run `playbook` and return the replies; nodes that do not answer or fail are no error.

    With `greeted`, only nodes whose ssh server says hello at once are asked, so that connections which are kept can be
    used: one to a node that was cut off meanwhile would hang. Raises NexusError when Ansible could not ask anybody,
    KeyboardInterrupt when the person gave up.
    """
    ensure_secrets(environment)
    refresh_inventory(environment, intent)
    load_ahead()
    replies = Replies(silent=_mute(intent) if greeted else {})
    if set(replies.silent) == set(intent.nodes):
        return replies
    limit = ":".join(["all", *(f"!{name}" for name in replies.silent)]) if replies.silent else None
    invocation = plan_invocation(
        find_content(), playbook, environment.hosts, limit=limit, sudo_password=environment.sudo_password
    )
    outcome = execute(invocation, replies.take, on_tick)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if not (replies.reports or replies.silent or replies.failed):
        text = "; ".join(outcome.output[-3:]) or f"ansible-playbook returned {outcome.returned} and no word"
        raise NexusError(f"the nodes could not be asked: {text}", next_step="correct that, then run this again")
    return replies


def _mute(intent: Intent) -> dict[str, str]:
    """Return the nodes whose ssh server does not say hello within GREETING_TIMEOUT seconds, with the reason."""
    from concurrent.futures import ThreadPoolExecutor

    def reason(node: Node) -> str:
        if node.address == "localhost":
            return ""
        return silence(node.ssh.user, node.address, node.ssh.port, GREETING_TIMEOUT)

    with ThreadPoolExecutor(max_workers=64) as pool:
        reasons = dict(zip(intent.nodes, pool.map(reason, intent.nodes.values()), strict=True))
    return {name: why for name, why in reasons.items() if why}


def ssh_reason(message: str) -> str:
    """Return the last thing that ssh said in Ansible's `message`: servers may answer with a whole banner before it."""
    lines = [line.strip() for line in _OVER_SSH.sub("", message).splitlines() if line.strip()]
    return lines[-1].removeprefix("ssh: ") if lines else "no answer"
