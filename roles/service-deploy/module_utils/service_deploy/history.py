"""What became of each release of a service on this node: it ran well, was abandoned, or somebody took it back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node_state.snapshot import Snapshot
from ansible.module_utils.service_deploy.model import HISTORY, kept
from ansible.module_utils.service_deploy.records import private_folder

if TYPE_CHECKING:
    from ansible.module_utils.service_deploy.model import Place

GOOD = "good"  # it was seen healthy
ABANDONED = "abandoned"  # it did not become healthy, here or on another node of the rollout
ROLLED_BACK = "rolled back"  # somebody asked for another one in its place
KEPT = 50  # entries

Entry = dict[str, Any]


def read_history(place: Place) -> list[Entry]:
    """Return the entries, the oldest first: `release`, `verdict`, `time` (seconds of the epoch), `by`, `reason`."""
    try:
        entries = json.loads(place.history.read_bytes())
    except (OSError, ValueError):
        return []
    return entries if isinstance(entries, list) else []


def add(place: Place, release: str, verdict: str, by: str, reason: str = "") -> None:
    """Add an entry, unless it only repeats the last one."""
    entries = read_history(place)
    if entries and (entries[-1]["release"], entries[-1]["verdict"]) == (release, verdict):
        return
    entry = {"release": release, "verdict": verdict, "time": time.time(), "by": by, "reason": reason}
    private_folder(kept(HISTORY))
    text = json.dumps([*entries, entry][-KEPT:], indent=1) + "\n"
    Snapshot(text.encode(), mode=0o600).put(place.history)


def confirm(place: Place, release: str, by: str) -> None:
    """Note that `release`, which runs, is the wanted one again after another one was abandoned."""
    entries = read_history(place)
    if entries and entries[-1]["verdict"] == ABANDONED and entries[-1]["release"] != release:
        add(place, release, GOOD, by)


def verdict_on(place: Place, release: str) -> str:
    """Return the last verdict on a release, empty for one that never ran here."""
    return next((entry["verdict"] for entry in reversed(read_history(place)) if entry["release"] == release), "")
