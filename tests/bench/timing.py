"""Runs commands and says what they took: wall time, CPU time of their own, CPU time of the rest of this machine."""

from __future__ import annotations

import os
import resource
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.cli import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMIT = 1800.0  # seconds for one command
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """One run. All in seconds; `others` is what everything else on this machine used meanwhile, the hosts above all."""

    wall: float
    own: float
    others: float
    output: str = ""

    @staticmethod
    def median(samples: Sequence[Sample]) -> Sample:
        """Return the medians of each figure by itself."""
        return Sample(*(statistics.median(getattr(one, name) for one in samples) for name in ("wall", "own", "others")))


def timed(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None, expected: int = 0
) -> Sample:
    """Run `command` to its end and return what it took. Raises RuntimeError with its output when it fails."""
    busy, used = _busy(), _used()
    done = run(tuple(command), cwd=cwd, timeout=LIMIT, environment=dict(environment or {}))
    own = _used() - used
    others = max(0.0, _busy() - busy - own)
    if done.code != expected:
        raise RuntimeError(f"exit status {done.code}, expected {expected}\n{done}")
    return Sample(done.seconds, own, others, done.out + done.err)


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _busy() -> float:
    """Return the seconds that this machine's cores were busy since it started (proc_stat(5))."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = fields
    return (user + nice + system + irq + softirq) / TICKS
