"""A reload or restart that is due, taken back when the program refuses its new files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible.module_utils.node_state import audit, units
from ansible.module_utils.node_state.due import Due
from ansible.module_utils.node_state.errors import StateError, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible.module_utils.node_state.snapshot import Snapshot


def activate(name: str, unit: str) -> str:
    """Do what is due for a unit and return it: `reload`, `restart`, or empty when nothing was.

    When it fails, the files the unit ran with before are put back (and a restarted unit is started with them);
    then StateError is raised with what the program said.
    """
    due = Due(name)
    marker = due.read(unit)
    if marker is None:
        return ""
    by: str = marker["by"]
    _read_unit_files(due, unit)
    try:
        if by == "reload" and units.show([unit])[unit].active:
            units.reload(unit)
        else:
            _restart(due, unit)
    except StateError as error:
        outcome = _take_back(due, unit, by)
        audit.write_down(name, [f"{by} {unit} failed; {outcome}"])
        raise StateError(f"{error}; {outcome}") from error
    due.write(unit, None)
    audit.write_down(name, [f"{by} {unit}"])
    return by


def _read_unit_files(due: Due, unit: str) -> None:
    if any(str(path).startswith(units.FOLDERS) for path in due.previous(unit)):
        units.reload_systemd()


def _changed_sockets(due: Due, unit: str) -> dict[str, Snapshot]:
    """Return the socket units whose files came, changed or went with the unit's, each with its previous file."""
    return {
        path.name: snapshot
        for path, snapshot in due.previous(unit).items()
        if path.parent == units.FOLDER and path.suffix == ".socket"
    }


def _restart(due: Due, unit: str) -> None:
    """Restart a unit, with its sockets where they changed: those start only while it is stopped."""
    sockets = _changed_sockets(due, unit)
    own = units.FOLDER / unit.replace(".service", ".socket")
    found = units.show([*sockets, *([own.name] if own.exists() else [])])
    there = [name for name in found if found[name].exists and (name in sockets or not found[name].active)]
    if not there:
        return units.restart(unit)
    _stop(unit, there)
    for name in there:
        units.start(name, failed=True)
    return units.restart(unit)


def _stop(unit: str, sockets: Iterable[str]) -> None:
    """Stop a unit and its sockets. The sockets first: they would start it again."""
    found = units.show(sockets)
    for name in [*(name for name in found if found[name].exists), unit]:
        units.stop(name)


def _take_back(due: Due, unit: str, by: str) -> str:
    """Put a unit's previous files back and return what came of it, as a sentence."""
    previous = due.previous(unit)
    if not previous:
        return "none of its files changed, so there is nothing to take back"
    try:
        sockets = _changed_sockets(due, unit)
        if sockets:
            _stop(unit, sockets)
        for name, snapshot in sockets.items():
            if not snapshot.exists:
                units.enable(name, wanted=False)
        try:
            for path, snapshot in previous.items():
                snapshot.put(path)
        except StateError as error:
            return f"its previous files could not be put back: {error}"
        _read_unit_files(due, unit)
        for name, snapshot in sockets.items():
            if snapshot.exists:
                units.enable(name, wanted=True)
        if by == "restart" or not units.show([unit])[unit].active:
            _restart(due, unit)
    except OSError as error:
        return f"its previous files could not be put back: {words_of(error)}"
    except StateError as error:
        return f"its previous files are back, but: {error}"
    due.write(unit, None)
    return "its previous files are back and it runs with them"
