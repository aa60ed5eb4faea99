"""A reload or restart that is due, taken back when the program refuses its new files."""

from __future__ import annotations

from ansible.module_utils.node_state import units
from ansible.module_utils.node_state.due import Due
from ansible.module_utils.node_state.errors import StateError


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
            units.restart(unit)
    except StateError as error:
        raise StateError(f"{error}; {_take_back(due, unit, by)}") from error
    due.write(unit, None)
    return by


def _read_unit_files(due: Due, unit: str) -> None:
    if any(str(path).startswith(units.FOLDERS) for path in due.previous(unit)):
        units.reload_systemd()


def _take_back(due: Due, unit: str, by: str) -> str:
    """Put a unit's previous files back and return what came of it, as a sentence."""
    previous = due.previous(unit)
    if not previous:
        return "none of its files changed, so there is nothing to take back"
    try:
        for path, snapshot in previous.items():
            snapshot.put(path)
        _read_unit_files(due, unit)
        if by == "restart" or not units.show([unit])[unit].active:
            units.restart(unit)
    except OSError as error:
        return f"its previous files could not be put back: {error.filename}: {error.strerror}"
    except StateError as error:
        return f"its previous files are back, but: {error}"
    due.write(unit, None)
    return "its previous files are back and it runs with them"
