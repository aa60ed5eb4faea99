"""The operations, in the order a role calls them; each does only what is missing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node_state import accounts, audit, files, network, packages, units
from ansible.module_utils.node_state.due import Due
from ansible.module_utils.node_state.errors import StateError
from ansible.module_utils.node_state.record import Record, without_secrets
from ansible.module_utils.node_state.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible.module_utils.node_state.files import Change

Entry = dict[str, Any]

USER: Entry = {"home": "/nonexistent", "shell": "/usr/sbin/nologin", "groups": [], "state": "present"}
DIRECTORY: Entry = {"owner": "root", "group": "root", "mode": "0755"}
ACTIVATES: Entry = {"activates": "", "by": "reload"}
FILE: Entry = {"owner": "root", "group": "root", "mode": "0644", "validate": "", "validate_user": "", "link": ""}
PACKAGE: Entry = {"minimum": "", "state": "present"}
UNIT: Entry = {"enabled": None, "state": None}
APT_SOURCES = "/etc/apt/"


def _applies(entry: str | Entry) -> bool:
    """Return whether an entry is to be looked at: its `only_if`, a path, is there (or it has none)."""
    return isinstance(entry, str) or not entry.get("only_if") or Path(entry["only_if"]).exists()


def _matching(path: Path) -> list[Path]:
    """Return the paths that `path` stands for, whose last part may be a pattern with `*`."""
    return sorted(path.parent.glob(path.name)) if "*" in path.name else [path]


def _named(entries: Iterable[str | Entry]) -> list[Entry]:
    """Return entries of which a name alone may stand for a whole one."""
    return [{"name": entry} if isinstance(entry, str) else entry for entry in entries]


def _with_defaults(entries: Iterable[Entry], *defaults: Entry) -> list[Entry]:
    """Return the entries with what they leave out (or have as None) filled in."""
    filled: Entry = {}
    for default in defaults:
        filled.update(default)
    return [{**filled, **{key: value for key, value in entry.items() if value is not None}} for entry in entries]


class State:
    """The wanted state of one node. `name` is the role's: it keeps its markers apart from other roles'."""

    def __init__(self, name: str, *, check_mode: bool, secrets: Mapping[str, str] | None = None) -> None:
        """Touch nothing yet. `secrets` stand in files as `@@NAME@@`.

        From here on this process, and what it starts, makes files as any Debian does: where a login has a harder umask,
        packages and folders would be left that other accounts have to enter and cannot.
        """
        os.umask(0o022)
        self.check_mode = check_mode
        self.units: dict[str, units.Unit] = {}
        self._secrets = dict(secrets or {})
        self._values: dict[str, str] = {}
        self._record = Record()
        self._due = Due(name)
        self._would_be_due: dict[str, str] = {}
        self._sources_changed = False
        self._name = name
        self._written_down = 0

    def note(self, step: str) -> None:
        """Record a change that the caller makes (in check mode: would make)."""
        self._record.note(step)

    def result(self) -> dict[str, Any]:
        """Return `changed`, `diff`, `steps` and `due`, as Ansible's results have them.

        What was done since the last call goes to the node's journal.
        """
        if not self.check_mode:
            audit.write_down(self._name, self._record.steps[self._written_down :])
            self._written_down = len(self._record.steps)
        due = {**self._due.pending(), **self._would_be_due}
        return {
            "changed": self._record.changed or bool(due),
            "diff": self._record.diffs,
            "steps": self._record.steps,
            "due": due,
        }

    def interfaces(self, wanted: Mapping[str, str]) -> None:
        """Let `@@NAME@@` in files stand for the interface that has an address (`wanted`: name to address).

        Raises StateError when no interface has it.
        """
        if wanted:
            self._values.update(network.interfaces_of(wanted))

    def packages(self, wanted: Iterable[str | Entry]) -> None:
        """Install what is missing, or older than its `minimum`. Raises StateError."""
        entries = (entry for entry in _with_defaults(_named(wanted), PACKAGE) if entry["state"] == "present")
        names = {entry["name"]: entry["minimum"] for entry in entries}
        lacking = packages.lacking(names)
        for name in lacking:
            self._record.note(f"install package {name}")
        if not lacking:
            return
        if self.check_mode:
            return
        packages.install({name: names[name] for name in lacking}, refresh=self._sources_changed)
        self.units.clear()

    def packages_absent(self, wanted: Iterable[str | Entry]) -> None:
        """Remove packages whose `state` is `absent` or `purged`. Raises StateError."""
        entries = _with_defaults((entry for entry in _named(wanted) if _applies(entry)), PACKAGE)
        for state, verb in (("absent", "remove"), ("purged", "purge")):
            names = (entry["name"] for entry in entries if entry["state"] == state)
            there = packages.removable(names, purge=state == "purged")
            for name in there:
                self._record.note(f"{verb} package {name}")
            if there and not self.check_mode:
                packages.remove(there, purge=state == "purged")
                self.units.clear()

    def users(self, wanted: Iterable[Entry]) -> None:
        """Create missing system users with a group of the same name, add missing groups. Raises StateError."""
        for user in _with_defaults(wanted, USER):
            plan = accounts.plan_user(user)
            if plan is None:
                continue
            sentence, command = plan
            self._record.note(sentence)
            if not self.check_mode:
                accounts.change_user(command)

    def directories(self, wanted: Iterable[Entry]) -> None:
        """Create missing folders with their parents, set owners and modes. Raises StateError."""
        for entry in _with_defaults(wanted, DIRECTORY):
            sentence = files.plan_directory(entry)
            if not sentence:
                continue
            self._record.note(sentence)
            if not self.check_mode:
                files.make_directory(entry)

    def files(self, wanted: Iterable[Entry]) -> None:
        """Write the files that differ: all of them, or none when one cannot be written or is refused (StateError)."""
        entries = _with_defaults(wanted, ACTIVATES, FILE)
        for entry in entries:
            for name, value in self._values.items():
                entry["content"] = entry.get("content", "").replace(f"@@{name}@@", value)
        found = (files.compare(entry, self._secrets, check_mode=self.check_mode) for entry in entries)
        changes = [change for change in found if change is not None]
        if not changes:
            return
        self._look_at(change.options["activates"] for change in changes)
        if self.check_mode:
            for change in changes:
                self._note_due(change.options, {})
        else:
            self._land(changes)
        for change in changes:
            self._show(change)

    def absent(self, wanted: Iterable[str | Entry]) -> None:
        """Remove files, links and trees that are there. Raises StateError."""
        entries = _with_defaults(({"path": e} if isinstance(e, str) else e for e in wanted if _applies(e)), ACTIVATES)
        named = ({**entry, "path": str(path)} for entry in entries for path in _matching(Path(entry["path"])))
        there = [entry for entry in named if Path(entry["path"]).is_symlink() or Path(entry["path"]).exists()]
        self._look_at(entry["activates"] for entry in there)
        for entry in there:
            path = Path(entry["path"])
            self._record.note(f"remove {path}")
            previous = {} if path.is_dir() and not path.is_symlink() else {path: Snapshot.of(path)}
            self._note_due(entry, previous)
            if not self.check_mode:
                files.remove(path)
        self._read_unit_files(Path(entry["path"]) for entry in there)

    def stop(self, wanted: Iterable[Entry]) -> None:
        """Stop and disable units whose wanted `state` is `stopped` or `absent`; the other entries are left alone.

        `absent` removes the unit's own file below /etc too. Raises StateError.
        """
        asked = _with_defaults((entry for entry in wanted if _applies(entry)), UNIT)
        entries = [entry for entry in asked if entry["state"] in ("stopped", "absent")]
        self._look_at(entry["name"] for entry in entries)
        for entry in entries:
            name, unit = entry["name"], self.units[entry["name"]]
            if unit.active or unit.state in ("activating", "failed"):
                self._record.note(f"stop {name}")
                if not self.check_mode:
                    units.stop(name)
            if unit.exists and unit.enabled == "enabled" and (entry["state"] == "absent" or entry["enabled"] is False):
                self._record.note(f"disable {name}")
                if not self.check_mode:
                    units.enable(name, wanted=False)
            self._forget(name)
        own = [str(units.FOLDER / entry["name"]) for entry in entries if entry["state"] == "absent"]
        self.absent([*own, *(f"{path}.d" for path in own)])

    def start(self, wanted: Iterable[Entry]) -> None:
        """Enable units as wanted and start those whose `state` is `started`, also failed ones. Raises StateError."""
        entries = [entry for entry in _with_defaults(wanted, UNIT) if entry["state"] not in ("stopped", "absent")]
        self._look_at(entry["name"] for entry in entries)
        if any(self.units[entry["name"]].stale for entry in entries) and not self.check_mode:
            units.reload_systemd()
        for entry in entries:
            name, unit = entry["name"], self.units[entry["name"]]
            if entry["enabled"] is not None and not self._enabled_as_wanted(unit, wanted=entry["enabled"]):
                self._record.note(f"{'enable' if entry['enabled'] else 'disable'} {name}")
                if not self.check_mode:
                    units.enable(name, wanted=entry["enabled"])
            if entry["state"] == "started" and not unit.active:
                if name.endswith(".socket") and self._is_held_up(name):
                    continue
                self._record.note(f"start {name}")
                if not self.check_mode:
                    units.start(name, failed=unit.state in ("failed", "activating"))
                self._forget(name)

    def _is_held_up(self, socket: str) -> bool:
        """Return whether a socket cannot start as its service runs already; then the service's restart is due."""
        service = socket.replace(".socket", ".service")
        self._look_at([service])
        unit = self.units[service]
        if unit.active:
            self._note_due({"activates": service, "by": "restart"}, {})
        elif unit.state == "activating" and not self.check_mode:
            units.stop(service)
        return unit.active

    def _enabled_as_wanted(self, unit: units.Unit, *, wanted: bool) -> bool:
        return unit.enabled in units.SETTLED if wanted else unit.enabled not in ("enabled", "enabled-runtime")

    def _forget(self, unit: str) -> None:
        """Nothing is due for a unit that was just started or stopped."""
        self._would_be_due.pop(unit, None)
        if not self.check_mode:
            self._due.write(unit, None)
        self.units.pop(unit, None)

    def _look_at(self, names: Iterable[str]) -> None:
        """Ask for the units not asked yet. In check mode without systemd, none is there."""
        unknown = [name for name in dict.fromkeys(names) if name and name not in self.units]
        try:
            self.units.update(units.show(unknown))
        except StateError:
            if not self.check_mode:
                raise
            self.units.update(dict.fromkeys(unknown, units.Unit()))

    def _note_due(self, entry: Entry, previous: dict[Path, Snapshot]) -> None:
        """Note that a unit that runs now is to be told about a file."""
        unit = entry["activates"]
        if not unit or not self.units[unit].active:
            return
        if self.check_mode:
            if self._would_be_due.get(unit) != "restart":
                self._would_be_due[unit] = entry["by"]
            return
        self._due.add(unit, entry["by"], previous)

    def _land(self, changes: list[Change]) -> None:
        """Mark what will be due, then replace the files; a failure takes both back."""
        told = {change.options["activates"] for change in changes if change.options["activates"]}
        markers = {unit: self._due.read(unit) for unit in told}
        for change in changes:
            self._note_due(change.options, {change.path: change.before})
        try:
            files.land(changes)
        except BaseException:
            for unit, marker in markers.items():
                self._due.write(unit, marker)
            raise
        self._read_unit_files(change.path for change in changes)

    def _read_unit_files(self, paths: Iterable[Path]) -> None:
        """Have systemd read its files again when one of `paths` is one."""
        if any(str(path).startswith(units.FOLDERS) for path in paths):
            self.units.clear()
            if not self.check_mode:
                units.reload_systemd()

    def _show(self, change: Change) -> None:
        path = str(change.path)
        self._sources_changed |= path.startswith(APT_SOURCES)
        before, after = files.text_of(change.before, self._secrets), change.shown
        if change.secret:
            before = without_secrets(before, after)
        if before == after:
            kind = "the secret in" if change.before.content != change.after.content else "owner and mode of"
            return self._record.note(f"set {kind} {path}")
        return self._record.note_text(f"write {path}", path, before, after)
