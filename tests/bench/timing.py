"""Runs commands and says what they took: wall time, CPU time of their own, CPU time of the rest of this machine."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.cli import clean_environment

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
    busy, used, started = _busy(), _used(), time.monotonic()
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**clean_environment(), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    wall, own = time.monotonic() - started, _used() - used
    others = max(0.0, _busy() - busy - own)
    if done.returncode != expected:
        raise RuntimeError(f"$ {' '.join(command)}\nexit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return Sample(wall, own, others, done.stdout + done.stderr)


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _busy() -> float:
    """Return the seconds that this machine's cores were busy since it started (proc_stat(5))."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = fields
    return (user + nice + system + irq + softirq) / TICKS
