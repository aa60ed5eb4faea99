"""The record of what was run: `inventories/<env>/runs/<id>/`, with nothing secret in it."""

from __future__ import annotations

import datetime
import getpass
import json
import os
import re
import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.files import write_atomically

KEEP = 100
"""How many records are kept."""

_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{4}")


@dataclass
class RunRecord:
    """One run. Making it creates its folder; `save` writes `run.json`; `log` is the plain progress."""

    folder: Path
    document: dict[str, Any]

    @property
    def identifier(self) -> str:
        """Return the run's id, which sorts by time."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """Return the path of the plain log."""
        return self.folder / "output.log"

    def save(self, **changes: Any) -> None:
        """Write the record with `changes` merged in."""
        self.document.update(changes)
        write_atomically(self.folder / "run.json", json.dumps(self.document, indent=2) + "\n")


def start_record(environment: Environment, command: str, playbook: str, limit: str | None) -> RunRecord:
    """Return a new record of a run that begins now, and prune the oldest ones."""
    now = datetime.datetime.now(datetime.UTC)
    identifier = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    record = RunRecord(
        environment.runs / identifier,
        {
            "run": identifier,
            "command": command,
            "playbook": playbook,
            "limit": limit,
            "by": person(),
            "pid": os.getpid(),
            "started": now.isoformat(timespec="seconds"),
            "result": "running",
        },
    )
    record.folder.mkdir(parents=True)
    record.save()
    for old in sorted(_folders(environment))[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return record


def list_records(environment: Environment) -> list[dict[str, Any]]:
    """Return what the records say, the newest first. One that cannot be read is left out."""
    documents = []
    for folder in sorted(_folders(environment), reverse=True):
        try:
            documents.append(_read(folder))
        except (OSError, ValueError, KeyError):
            continue
    return documents


def last_record(environment: Environment) -> dict[str, Any] | None:
    """Return the newest record that can be read, None where nothing was run yet."""
    for folder in sorted(_folders(environment), reverse=True):
        try:
            return _read(folder)
        except (OSError, ValueError, KeyError):
            continue
    return None


def find_record(environment: Environment, identifier: str) -> tuple[dict[str, Any], str]:
    """Return the record whose id begins with `identifier` (`last`: the newest) and its log.

    Raises UsageError when there is none, or more than one.
    """
    folders = sorted(_folders(environment))
    matches = folders[-1:] if identifier == "last" else [one for one in folders if one.name.startswith(identifier)]
    if len(matches) != 1:
        what = "no run" if not matches else f"{len(matches)} runs"
        raise UsageError(f"{what} called {identifier!r} in {environment.runs}", next_step="see: nexus-ops runs list")
    try:
        document = _read(matches[0])
        log = matches[0] / "output.log"
        return document, log.read_text(encoding="utf-8") if log.exists() else ""
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{matches[0]}: the record cannot be read ({error})", next_step="remove that folder") from None


def _read(folder: Path) -> dict[str, Any]:
    """Return the record in `folder`. A run of this machine whose process is gone without a result was killed."""
    document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError("not a record")  # noqa: TRY004  callers treat it as what cannot be read
    here = document["by"].endswith(f"@{socket.gethostname()}")
    if document["result"] == "running" and here and not _is_alive(int(document["pid"])):
        document["result"] = "killed"
    return document


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _folders(environment: Environment) -> list[Path]:
    if not environment.runs.is_dir():
        return []
    return [path for path in environment.runs.iterdir() if _ID.fullmatch(path.name)]


def person() -> str:
    """Return who runs this: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
