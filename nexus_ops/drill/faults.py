"""Does one fault to one node. Its end is set before it begins, where no loss of this program can prevent it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nexus_ops.content import find_content
from nexus_ops.drill import Fault
from nexus_ops.drill.plan import Step
from nexus_ops.environment import Environment
from nexus_ops.errors import NexusError
from nexus_ops.events import Event, Kind
from nexus_ops.runner import Outcome, execute, plan_invocation

PLAYBOOK = "node_fault"
HEAL = "heal"

# podman refuses while it is still busy with the fault itself.
RESTORE = 'sleep "$1"; for attempt in 1 2 3 4 5; do podman "$2" "$3" && exit; sleep 1; done'


class CannotError(NexusError):
    """The fault could not be done; the cluster is as it was."""


@dataclass(frozen=True)
class Strike:
    """A fault that was done: requests due after `begin` may feel it; it is over at `end`. Monotonic seconds.

    A killed process is over at once: from then on it is the cluster's turn.
    """

    begin: float
    end: float


@dataclass
class _Heard:
    """What Ansible said: when the module began, its report, and when that came."""

    began: float = 0.0
    received: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        if event.kind is Kind.STARTED:
            self.began = time.monotonic()
        if "fault" in event.report:
            self.report, self.received = dict(event.report["fault"]), time.monotonic()


class Injector:
    """Does faults in `environment`; with `sandbox` its nodes are containers, which have a power switch."""

    def __init__(self, environment: Environment, *, sandbox: bool) -> None:
        """Prepare it; nothing is done yet."""
        self._environment, self._sandbox = environment, sandbox
        self._remedy: subprocess.Popen[bytes] | None = None

    def strike(self, step: Step, seconds: float, on_tick: Callable[[], None]) -> Strike:
        """Do `step` and return when it began and ends, by itself, after `seconds`; a killed process has no such end.

        Raises CannotError when nothing was done, NexusError when the node was lost on the way, KeyboardInterrupt.
        """
        if self._of_platform(step):
            return self._by_podman(step, seconds)
        heard, outcome = self._ask(step.node, step.fault.value, step.units, seconds, on_tick)
        if outcome.interrupted:
            raise KeyboardInterrupt
        if not heard.report:
            reason = "; ".join(event.message for event in [*outcome.failures, *outcome.unreachable]) or "no answer"
            kind = CannotError if outcome.failures else NexusError
            raise kind(f"{step.title} could not be done: {' '.join(reason.split())}")
        begin = heard.received if heard.report["begins_in"] else heard.began
        return Strike(begin, heard.received + heard.report["ends_in"])

    def heal(self, step: Step, on_tick: Callable[[], None]) -> bool:
        """End `step` before its time and return whether that could be done. What is cut off cannot be told to."""
        if step.fault in {Fault.CUT, Fault.KILL}:
            return step.fault is Fault.KILL
        try:
            if self._of_platform(step):
                self._podman("unpause" if step.fault is Fault.FREEZE else "start", step.node)
                self._call_off()
                return True
            return bool(self._ask(step.node, HEAL, (), 1, on_tick)[0].report)
        except NexusError:
            return False

    def _of_platform(self, step: Step) -> bool:
        return step.fault is Fault.POWER_OFF or (self._sandbox and step.fault is Fault.FREEZE)

    def _by_podman(self, step: Step, seconds: float) -> Strike:
        from nexus_ops.sandbox import faults
        from nexus_ops.sandbox.cluster import Sandbox

        container = Sandbox(self._environment.name).container(step.node)
        remedy = "unpause" if step.fault is Fault.FREEZE else "start"
        begin = time.monotonic()
        self._remedy = subprocess.Popen(
            ["/bin/sh", "-c", RESTORE, "restore", f"{seconds:g}", remedy, container.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it outlives this program, however that ends
        )
        if step.fault is Fault.FREEZE:
            faults.freeze(container)
        else:
            faults.power_off(container)
        return Strike(begin, begin + seconds)

    def _call_off(self) -> None:
        """Call off the remedy: it would also undo what somebody does to that host soon after."""
        if self._remedy is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._remedy.pid, signal.SIGTERM)
            self._remedy.wait()
            self._remedy = None

    def _podman(self, what: str, node: str) -> None:
        from nexus_ops.sandbox import podman
        from nexus_ops.sandbox.hosts import container_name

        podman.call([what, container_name(self._environment.name, node)])

    def _ask(
        self, node: str, kind: str, units: tuple[str, ...], seconds: float, on_tick: Callable[[], None]
    ) -> tuple[_Heard, Outcome]:
        heard = _Heard()
        variables = {"node_fault_kind": kind, "node_fault_units": list(units), "node_fault_seconds": seconds}
        with tempfile.TemporaryDirectory(prefix="nexus-ops-") as folder:
            path = Path(folder) / "variables.json"
            path.write_text(json.dumps(variables), encoding="utf-8")
            invocation = plan_invocation(
                find_content(),
                PLAYBOOK,
                self._environment.hosts,
                limit=node,
                extra_variables_file=path,
                sudo_password=self._environment.sudo_password,
            )
            outcome = execute(invocation, heard.take, on_tick)
        return heard, outcome
