"""Exit codes and expected errors: what is wrong, where, and what to do next, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExitCode(IntEnum):
    """The exit statuses that other people's scripts rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    CHANGES_PENDING = 4
    LOCKED = 5
    INTERRUPTED = 130


class NexusError(Exception):
    """An expected error. `str()` is one line; `next_step` says what the person can do about it."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, next_step: str = "") -> None:
        """Keep `message` (what is wrong and where) and `next_step` (an imperative sentence, may be empty)."""
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def lines(self) -> list[str]:
        """Return what the person is shown, one entry a line."""
        return [f"{self.message}; {self.next_step}" if self.next_step else self.message]


class UsageError(NexusError):
    """The call or the environment is not usable as it is; nothing was touched."""

    exit_code = ExitCode.USAGE


class UnreachableError(NexusError):
    """Nodes could not be reached; nothing was changed on them."""

    exit_code = ExitCode.UNREACHABLE


class LockedError(NexusError):
    """Another run is at work on the environment; nothing was changed."""

    exit_code = ExitCode.LOCKED


@dataclass(frozen=True, order=True)
class Fault:
    """One fault of an intent file: `line` counts from 1; `remedy` says what would be right."""

    file: Path
    line: int
    message: str
    remedy: str

    def __str__(self) -> str:
        """Return `file:line: message; remedy`."""
        return f"{self.file}:{self.line}: {self.message}; {self.remedy}"


class IntentError(UsageError):
    """An intent file has faults: all of them, in the order of their lines."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Keep `faults`, at least one."""
        self.faults = sorted(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))

    def lines(self) -> list[str]:
        """Return one line a fault."""
        return [str(fault) for fault in self.faults]
