"""The one error of this package."""

from __future__ import annotations


class StateError(Exception):
    """The node could not be brought into the wanted state. `str()` is what the person is shown."""
