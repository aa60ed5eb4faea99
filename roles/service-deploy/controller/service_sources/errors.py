"""The one error of this package."""

from __future__ import annotations


class SourceError(Exception):
    """A service's source cannot be packed. `str()` is one line: which service, what is wrong, what to do."""
