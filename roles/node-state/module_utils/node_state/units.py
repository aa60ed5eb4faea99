"""systemd units: one question for all of them, and bounded waits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node_state.commands import checked, last_words, readable, run
from ansible.module_utils.node_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FOLDER = Path("/etc/systemd/system")
FOLDERS = (str(FOLDER), "/run/systemd/system", "/etc/systemd/network", "/usr/local/lib/systemd")
PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload")
START_TIMEOUT = 150.0  # systemd's own default limit is 90 s
SETTLE_TIMEOUT = 15.0
SETTLED = ("enabled", "static", "generated", "alias", "indirect", "transient")


@dataclass(frozen=True)
class Unit:
    """What systemd knows of a unit."""

    exists: bool = False
    active: bool = False
    state: str = "inactive"
    enabled: str = ""
    stale: bool = False  # its file changed since systemd read it


def show(names: Iterable[str]) -> dict[str, Unit]:
    """Return every unit's state, asked in one call. Raises StateError without a running systemd."""
    names = list(dict.fromkeys(names))
    if not names:
        return {}
    output = checked(["systemctl", "show", "--property", ",".join(PROPERTIES), "--", *names])
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in output.strip().split("\n\n")]
    return {
        name: Unit(
            exists=block["LoadState"] not in ("not-found", "masked"),
            active=block["ActiveState"] in ("active", "reloading"),
            state=block["ActiveState"],
            enabled=block.get("UnitFileState", ""),
            stale=block["NeedDaemonReload"] == "yes",
        )
        for name, block in zip(names, blocks, strict=True)
    }


def reload_systemd() -> None:
    """Make systemd read the unit files again."""
    checked(["systemctl", "daemon-reload"])


def log_of(unit: str, since: float, lines: int = 12) -> str:
    """Return a unit's last log lines on one line. `since` is in seconds of the epoch."""
    return readable(last_log_lines(["--unit", unit], since, lines), lines) or "nothing is in its log"


def last_log_lines(matches: Sequence[str], since: float, lines: int) -> list[str]:
    """Return the last `lines` lines of the journal's entries that match, the oldest first.

    `matches` are arguments of journalctl, `since` is in seconds of the epoch. Newest first and then turned around:
    systemd 252 takes `--since` with `--lines` as the first lines since then.
    """
    run(["journalctl", "--sync"])  # what was written a moment ago is there only then
    options = ["--since", f"@{since:.3f}", "--lines", str(lines), "--reverse", "--output", "cat", "--quiet"]
    done = run(["journalctl", *matches, *options])
    return done.stdout.splitlines()[::-1]


def start(unit: str, *, failed: bool = False) -> None:
    """Start a unit and wait until it is active. Raises StateError with the last lines of its log."""
    if failed:
        run(["systemctl", "reset-failed", unit])
    _tell("start", unit)


def restart(unit: str) -> None:
    """Restart a unit and wait until it is active. Raises StateError with the last lines of its log."""
    run(["systemctl", "reset-failed", unit])
    _tell("restart", unit)


def reload(unit: str) -> None:
    """Have a unit read its configuration again. Raises StateError with the last lines of its log."""
    _tell("reload", unit)


def _tell(verb: str, unit: str) -> None:
    began = time.time()
    done = run(["systemctl", verb, unit], timeout=START_TIMEOUT)
    reason = last_words(done).split(" | ", 1)[0]
    if done.returncode == 0:
        ends = time.monotonic() + SETTLE_TIMEOUT
        while not (now := show([unit])[unit]).active:
            if time.monotonic() > ends or now.state in ("failed", "inactive"):
                break
            time.sleep(0.2)
        else:
            return
        reason = f"it is {now.state}"
    raise StateError(f"cannot {verb} {unit}: {reason}; last log lines: {log_of(unit, began)}")


def stop(unit: str) -> None:
    """Stop a unit. Raises StateError."""
    checked(["systemctl", "stop", unit], timeout=START_TIMEOUT)


def enable(unit: str, *, wanted: bool) -> None:
    """Have a unit started at boot, or not. Raises StateError."""
    checked(["systemctl", "enable" if wanted else "disable", "--quiet", unit])
