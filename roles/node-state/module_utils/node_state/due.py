"""Reloads and restarts that are due: a running unit whose files changed and that has not been told yet.

One marker per unit below /run/nexus-ops/<name>/due, written before the first file changes, with what the unit runs
with now. So an interrupted run is finished by the next one, and a reload that fails can be taken back. /run is empty
after a reboot, and so are the reasons to reload: the unit started with what is on disk.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.node_state.snapshot import Snapshot

RUN = Path("/run/nexus-ops")


class Due:
    """The markers of one role (`name`). Reading is free of side effects."""

    def __init__(self, name: str) -> None:
        """Use the folder of `name`; it is made with the first marker."""
        self.folder = RUN / name / "due"

    def _path(self, unit: str) -> Path:
        return self.folder / f"{unit}.json"

    def read(self, unit: str) -> dict[str, Any] | None:
        """Return a unit's marker (`by`: reload or restart; `files`: path to snapshot), None: nothing is due."""
        try:
            marker: dict[str, Any] = json.loads(self._path(unit).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            return {"by": "restart", "files": {}}  # damaged: the safe reading
        return marker

    def pending(self) -> dict[str, str]:
        """Return what is due: unit to `reload` or `restart`."""
        markers = {path.name[: -len(".json")] for path in self.folder.glob("*.json")} if self.folder.is_dir() else set()
        return {unit: marker["by"] for unit in sorted(markers) if (marker := self.read(unit))}

    def add(self, unit: str, by: str, previous: dict[Path, Snapshot]) -> None:
        """Note that `unit` is due. What it runs with is kept from the first note on; restart outweighs reload."""
        marker = self.read(unit) or {"by": by, "files": {}}
        if by == "restart":
            marker["by"] = by
        for path, snapshot in previous.items():
            marker["files"].setdefault(str(path), snapshot.to_dict())
        self.write(unit, marker)

    def write(self, unit: str, marker: dict[str, Any] | None) -> None:
        """Set a unit's marker, None: nothing is due any more. Previous contents may be secret: for root alone."""
        if marker is None:
            self._path(unit).unlink(missing_ok=True)
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        Snapshot(json.dumps(marker).encode(), mode=0o600).put(self._path(unit))

    def previous(self, unit: str) -> dict[Path, Snapshot]:
        """Return what the unit's files were before they changed."""
        marker = self.read(unit) or {"files": {}}
        return {Path(path): Snapshot.from_dict(data) for path, data in marker["files"].items()}
