"""Says what units cost on the host it runs on: memory, and processor time over some seconds.

`podman exec -i nexus-NAME-w1 python3 - SECONDS UNIT... < usage.py` prints one JSON object: for each unit `cpu` (percent
of a core), `rss` and `pss` (MiB, at the end) and `processes`, of all processes in the unit's control group together.
Processor time is that of living processes and of those that ended meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

HERTZ = 100


def group_of(unit: str) -> str:
    """Return the control group of a systemd unit."""
    command = ["systemctl", "show", "--property=ControlGroup", "--value", unit]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def processes_of(group: str) -> list[Path]:
    """Return the folders below /proc of the processes in a control group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines = (folder / "cgroup").read_text().splitlines()
        except OSError:
            continue
        if group and any(line.split(":", 2)[2] == group for line in lines):
            found.append(folder)
    return found


def ticks(group: str) -> int:
    """Return the processor time that a group has used, in 1/100 s."""
    total = 0
    for folder in processes_of(group):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))  # its own, and that of children that have ended
    return total


def memory(group: str) -> dict[str, float]:
    """Return `rss` and `pss` in MiB, and the number of `processes`."""
    sums = {"Rss": 0, "Pss": 0}
    count = 0
    for folder in processes_of(group):
        try:
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        count += 1
        for line in lines:
            name, _, rest = line.partition(":")
            if name in sums:
                sums[name] += int(rest.split()[0])
    return {"rss": round(sums["Rss"] / 1024, 1), "pss": round(sums["Pss"] / 1024, 1), "processes": count}


def main() -> None:
    """Measure what the arguments name."""
    seconds, *units = sys.argv[1:]
    groups = {unit: group_of(unit) for unit in units}
    before = {unit: ticks(group) for unit, group in groups.items()}
    start = time.monotonic()
    time.sleep(float(seconds))
    after = {unit: ticks(group) for unit, group in groups.items()}
    elapsed = time.monotonic() - start
    cpu = {unit: round((after[unit] - before[unit]) * 100 / HERTZ / elapsed, 2) for unit in units}
    sys.stdout.write(json.dumps({unit: {"cpu": cpu[unit], **memory(group)} for unit, group in groups.items()}) + "\n")


if __name__ == "__main__":
    main()
