"""An environment: the folder `inventories/<env>/` and the files in it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_IWOTH

from nexus_ops.errors import UsageError

INTENT_NAME = "nexus.yml"


@dataclass(frozen=True)
class Environment:
    """The folder of one environment. Making one reads nothing; the paths need not exist.

    `sudo_password` is what the person typed for this command (--ask-become-pass); it is kept nowhere else.
    """

    folder: Path
    sudo_password: str = field(default="", repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return the environment's name, which is the folder's."""
        return self.folder.name

    @property
    def intent(self) -> Path:
        """Return the path of the intent file, the only one that the person writes."""
        return self.folder / INTENT_NAME

    @property
    def hosts(self) -> Path:
        """Return the path of the generated Ansible inventory."""
        return self.folder / "hosts.yml"

    @property
    def known_hosts(self) -> Path:
        """Return the path of the pinned ssh host keys."""
        return self.folder / "known_hosts"

    @property
    def secrets(self) -> Path:
        """Return the folder of the generated secrets (mode 0700)."""
        return self.folder / "secrets"

    @property
    def runs(self) -> Path:
        """Return the folder of the run records."""
        return self.folder / "runs"


def find_inventories(given: Path | None = None, start: Path | None = None) -> Path:
    """Return the inventories folder: `given`, or `inventories/` in `start` (default: here) or the nearest parent.

    Raises UsageError where there is none.
    """
    if given is not None:
        if not given.is_dir():
            raise UsageError(
                f"{given}: no such folder",
                next_step="name the folder that holds your environments, or run: nexus-ops init",
            )
        return given.absolute()
    here = (start or Path.cwd()).absolute()
    found = _inventories_above(here)
    if found is None:
        raise UsageError(
            f"no folder inventories/ in {here} or above it", next_step="go to your project, or run: nexus-ops init"
        )
    return found


def _inventories_above(here: Path) -> Path | None:
    for folder in (here, *here.parents):
        if (folder / "inventories").is_dir():
            require_trust(folder / "inventories")
            return folder / "inventories"
    return None


def require_trust(path: Path) -> None:
    """Raise UsageError where root would take orders from others: what lies there can run programs, as git's hooks can.

    What belongs to whoever called sudo is taken, as git takes it (git-config(1), safe.directory). A link counts as well
    as what it leads to.
    """
    trusted = {"0", os.environ.get("SUDO_UID")}
    others = [f"user {one.st_uid}" for one in (path.lstat(), path.stat()) if str(one.st_uid) not in trusted]
    others += ["everybody"] if path.stat().st_mode & S_IWOTH else []
    if os.geteuid() == 0 and others:
        raise UsageError(
            f"{path} can be written by others than root ({others[0]})",
            next_step="if you trust them, name the folder: --inventories FOLDER",
        )


def environment_to_make(given: Path | None, name: str) -> Environment:
    """Return the environment `name`, which need not be there: in ./inventories where there is no such folder yet.

    `given` is the inventories folder that was asked for, if any. Raises UsageError when it is not a folder.
    """
    if given is None:
        return Environment((_inventories_above(Path.cwd()) or Path.cwd() / "inventories") / name)
    if given.exists() and not given.is_dir():
        raise UsageError(f"{given} is not a folder", next_step="name the folder that holds your environments")
    return Environment(given.absolute() / name)


def chosen_name(given: str | None, default: str) -> str:
    """Return `given`, or the environment's name in `$NEXUS_ENV`, or `default`."""
    return given or os.environ.get("NEXUS_ENV") or default


def list_environments(inventories: Path) -> list[Environment]:
    """Return the environments (folders with a nexus.yml) below `inventories`, by name."""
    return [Environment(path.parent) for path in sorted(inventories.glob(f"*/{INTENT_NAME}"))]


def select_environment(inventories: Path, name: str | None) -> Environment:
    """Return the environment called `name`, by default `$NEXUS_ENV` or the only one there is (`example` aside).

    Raises UsageError when there is no such environment or the choice is not clear.
    """
    name = name or os.environ.get("NEXUS_ENV") or None
    known = list_environments(inventories)
    if name is not None:
        for environment in known:
            if environment.name == name:
                return environment
        names = ", ".join(environment.name for environment in known) or "none yet"
        raise UsageError(
            f"no environment {name!r} in {inventories} (there are: {names})",
            next_step=f"name one of them with --env, or run: nexus-ops init {name}",
        )
    candidates = [environment for environment in known if environment.name != "example"]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UsageError(f"no environment in {inventories}", next_step="make one: nexus-ops init")
    names = ", ".join(environment.name for environment in candidates)
    raise UsageError(f"several environments in {inventories}: {names}", next_step="name one with --env or NEXUS_ENV")
