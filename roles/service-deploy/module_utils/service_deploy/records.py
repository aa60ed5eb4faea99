"""What is known to work on this node, and what has begun and not ended."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node_state.errors import StateError
from ansible.module_utils.node_state.paths import make_folder
from ansible.module_utils.node_state.snapshot import Snapshot
from ansible.module_utils.service_deploy.model import (
    HISTORY,
    KEPT,
    KEPT_BEFORE,
    PENDING,
    RECORDS,
    ROLLOUTS,
    SETTINGS,
    UNIT_PREFIX,
    UNITS,
    Place,
    has_former,
    kept,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Good:
    """A release that passed its health check here, with all it ran with. Holds secrets: a file for root alone."""

    release: str
    unit: str
    environment: str
    port: int
    health_path: str
    health_timeout: float  # seconds
    drain_timeout: str
    since: float  # seconds of the epoch
    by: str
    previous: str  # the release before it, empty for the first

    def runs_the_same(self, other: Good) -> bool:
        """Return whether the service would not notice the difference."""
        return (self.release, self.unit, self.environment) == (other.release, other.unit, other.environment)


def read_good(place: Place) -> Good | None:
    """Return what is known to work, None when nothing is (or its file is damaged)."""
    try:
        return Good(**json.loads(place.record.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_good(place: Place, good: Good) -> None:
    """Keep what works, over reboots."""
    private_folder(kept(RECORDS))
    Snapshot((json.dumps(asdict(good), indent=1) + "\n").encode(), mode=0o600).put(place.record)


def begin(place: Place) -> None:
    """Note that an activation begins: until `end`, what runs need not be what is on disk."""
    private_folder(PENDING)
    place.pending.touch()


def end(place: Place) -> None:
    """Note that what runs is what is on disk."""
    place.pending.unlink(missing_ok=True)


def names_known(root: Path) -> set[str]:
    """Return the names of all services that have left anything on this node."""
    found = {path.stem for path in kept(RECORDS).glob("*.json")} | {path.stem for path in SETTINGS.glob("*.env")}
    found |= {path.name[len(UNIT_PREFIX) : -len(".service")] for path in UNITS.glob(f"{UNIT_PREFIX}*.service")}
    return found | {path.parent.name for path in root.glob("*/releases")}


def ports_known(names: Iterable[str], root: Path) -> set[int]:
    """Return the ports of the services in `names` as they run now."""
    records = (read_good(Place(name, root)) for name in names)
    return {good.port for good in records if good is not None}


def private_folder(folder: Path) -> None:
    """Make a folder that root alone may look into, or make it so again. Raises as `make_folder` does."""
    make_folder(folder, os.geteuid(), os.getegid(), 0o700)


def make_kept_private() -> None:
    """Move what earlier versions kept to where no service can be the owner, and see that root is. Raises StateError."""
    try:
        if has_former():
            KEPT_BEFORE.rename(KEPT)
    except OSError as error:
        raise StateError(f"move {KEPT_BEFORE} to {KEPT} by hand ({error.strerror}), then run this again") from error
    for folder in (KEPT, *(KEPT / kind for kind in (RECORDS, HISTORY, ROLLOUTS))):
        private_folder(folder)
