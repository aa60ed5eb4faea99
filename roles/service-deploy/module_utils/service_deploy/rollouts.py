"""A rollout as this node sees it: what ran before, until all nodes of the service run what is new."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node_state import StateError
from ansible.module_utils.node_state.snapshot import Snapshot
from ansible.module_utils.service_deploy.health import Process
from ansible.module_utils.service_deploy.model import ROLLOUTS, kept
from ansible.module_utils.service_deploy.records import Good, private_folder

if TYPE_CHECKING:
    from ansible.module_utils.service_deploy.model import Place


@dataclass(frozen=True)
class Rollout:
    """`before` is what ran before it (None: nothing), `invocation` the start (systemd's) that was seen healthy.

    `restarts` is how often systemd had started it again by then, `seen_by` the run that saw it and `boot` the boot in
    which it did. `settled` names the run that saw every node of the service healthy; empty as long as none has.
    """

    before: Good | None
    invocation: str = ""
    settled: str = ""
    restarts: int = 0
    seen_by: str = ""
    boot: str = ""

    def is_comparable(self, run: str) -> bool:
        """Return whether `run` saw the process itself, in this boot: only then a restart since then means something."""
        return bool(self.invocation) and self.seen_by == run and self.boot == this_boot()


def read_rollout(place: Place) -> Rollout | None:
    """Return the last rollout, None when there is none or its file is damaged."""
    try:
        found = json.loads(place.rollout.read_bytes())
        before = Good(**found["before"]) if found["before"] else None
        return Rollout(**{**found, "before": before})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_rollout(place: Place, rollout: Rollout) -> None:
    """Keep it, over reboots. It holds secrets: a file for root alone."""
    private_folder(kept(ROLLOUTS))
    Snapshot((json.dumps(asdict(rollout), indent=1) + "\n").encode(), mode=0o600).put(place.rollout)


def begin(place: Place, before: Good | None) -> None:
    """Note what runs before a switch. A rollout that was interrupted goes on: what ran before that one counts."""
    found = read_rollout(place)
    if found is None or found.settled:
        write_rollout(place, Rollout(before))


def seen_healthy(place: Place, run: str) -> None:
    """Note the process that `run` saw healthy. Raises StateError."""
    found = read_rollout(place)
    before = found.before if found else None
    process = Process.of(place.unit)
    write_rollout(place, Rollout(before, process.invocation, restarts=process.restarts, seen_by=run, boot=this_boot()))


def this_boot() -> str:
    """Return what tells this boot from others: the kernel's id, and for containers when the first process began."""
    began = Path("/proc/1/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]  # proc(5): field 22
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()}/{began}"


def to_undo(place: Place, good: Good | None, run: str) -> Rollout | None:
    """Return the rollout that has to be undone when the run called `run` failed elsewhere, None when there is none.

    That is one that this run settled, or nobody; and something else runs than before.
    """
    found = read_rollout(place)
    if found is None or good is None or found.settled not in ("", run):
        return None
    return None if found.before is not None and found.before.runs_the_same(good) else found


def check_process(place: Place, rollout: Rollout) -> None:
    """Raise StateError when the process is not the one that was seen healthy: it ended since then."""
    process = Process.of(place.unit)
    if not process.active or process.restarts != rollout.restarts:
        raise StateError(f"it ended after it had been seen healthy (its exit status was {process.exit})")
    if process.invocation != rollout.invocation:
        raise StateError("it was restarted after it had been seen healthy")
