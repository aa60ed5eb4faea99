"""The one error of this package."""

from __future__ import annotations


class StateError(Exception):
    """The node could not be brought into the wanted state. `str()` is what the person is shown."""


def words_of(error: OSError) -> str:
    """Return what the system refused: the file, where it is known (a write does not tell), and the reason."""
    return f"{error.filename or 'a file of this node'}: {error.strerror or error}"
