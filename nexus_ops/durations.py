"""Durations as nexus.yml and the command line write them: `500ms`, `1s`, `2m`."""

from __future__ import annotations

import re

from nexus_ops.errors import UsageError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str, where: str) -> float:
    """Return a duration in seconds. Raises UsageError, which names `where` it was given."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{where} {text!r} is no duration", next_step="write 500ms, 90s or 5m")
    return float(match.group(1)) * _SECONDS[match.group(2)]
