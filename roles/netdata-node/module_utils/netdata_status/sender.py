"""How a node's own Netdata fares: does it run, and if not, why; to which parent is its stream connected."""

from __future__ import annotations

import ipaddress
import pwd
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.netdata_status.probe import probe

UNIT = "netdata.service"
GUID_FILE = Path("/var/lib/netdata/registry/netdata.public.unique.id")
LOG = Path("/var/log/netdata/error.log")
NAMESPACE = "netdata"
LOG_TAIL = 65536  # bytes
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CLUTTER = re.compile(r"^[0-9-]+ [0-9:.]+: ")
PORTS = (19999, 19998)  # of the parents, for streams
PROBE_PORT = 19997  # takes streams, too, and from any node at any time
ESTABLISHED = "01"


def describe_sender(configuration: Path) -> dict[str, Any]:
    """Return what this node's Netdata says of itself; `configuration` is its folder. Nothing in it is secret."""
    unit = show_unit()
    stream = read_stream(configuration / "stream.conf")
    running = unit.get("ActiveState") == "active"
    active_since = int(unit.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    seconds = time.monotonic() - active_since if running else 0.0
    return {
        "installed": unit.get("LoadState") == "loaded",
        "running": running,
        "unit_state": unit.get("ActiveState", "unknown"),
        "unit_result": unit.get("Result", ""),
        "seconds_running": round(seconds),
        "log": "" if running else last_words(),
        "streams": stream.get("enabled", "no").lower() in ("yes", "true", "1") and "destination" in stream,
        "destinations": destinations(stream.get("destination", "")),
        "outdated": running and changed_since(configuration, stream, time.time() - seconds),
        "connected": connected(),
        "guid": read_guid(),
        "clock": time.time(),
    }


def probe_parents(parents: dict[str, str], guids: dict[str, str], configuration: Path) -> dict[str, Any]:
    """Return for each of `parents` (addresses by name) what a stream from here would meet there."""
    stream = read_stream(configuration / "stream.conf")
    key, authority = stream.get("api key", ""), stream.get("CAfile", "")

    def one(name: str) -> dict[str, Any]:
        return probe(parents[name], PROBE_PORT, key, authority, guids.get(name, ""))

    with ThreadPoolExecutor(max_workers=max(1, len(parents))) as pool:
        return dict(zip(parents, pool.map(one, parents), strict=True))


def read_stream(path: Path) -> dict[str, str]:
    """Return the settings in the section `[stream]` of the file at `path`, which need not be there."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    section, settings = "", {}
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == "stream" and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings[key.strip()] = value.strip()
    return settings


def destinations(text: str) -> list[str]:
    """Return the hosts in a `destination` (as `tcp:HOST:PORT:SSL`, IPv6 addresses in brackets), each once."""
    hosts: dict[str, None] = {}
    for word in text.split():
        rest = word.partition(":")[2] if word.startswith(("tcp:", "tcp4:", "tcp6:")) else word
        hosts[rest[1:].partition("]")[0] if rest.startswith("[") else rest.partition(":")[0]] = None
    return list(hosts)


def changed_since(configuration: Path, stream: dict[str, str], started: float) -> bool:
    """Return whether a file that Netdata reads at its start is newer than `started` (seconds since the epoch)."""
    paths = [configuration / "stream.conf", configuration / "netdata.conf"]
    paths += [Path(stream["CAfile"])] if "CAfile" in stream else []
    return any(path.stat().st_mtime > started + 1 for path in paths if path.is_file())


def show_unit() -> dict[str, str]:
    """Return what systemd says of Netdata's unit."""
    names = "LoadState,ActiveState,Result,ActiveEnterTimestampMonotonic"
    lines = _run(["systemctl", "show", UNIT, f"--property={names}"]).splitlines()
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def last_words() -> str:
    """Return why Netdata ended, as far as its last log lines say so; GUIDs, keys among them, are masked."""
    lines: list[str] = []
    if LOG.is_file():
        with LOG.open("rb") as log:
            log.seek(max(0, LOG.stat().st_size - LOG_TAIL))
            lines = log.read().decode("utf-8", "replace").splitlines()
    said = ["--lines", "30", "--output", "cat", "--no-pager", "--quiet"]
    journal = _run(["journalctl", "--unit", UNIT, *said])
    # Netdata 2 has a journal of its own.
    own = _run(["journalctl", f"--namespace={NAMESPACE}", "--unit", UNIT, "--priority", "alert", *said]).splitlines()
    grave = own[-1:] or [
        line for line in [*lines, *journal.splitlines()] if " FATAL " in line or "munmap_chunk" in line
    ]
    ends = [line for line in journal.splitlines() if "code=" in line or "status=" in line]
    words = (grave or ends or [""])[-1].strip()
    return _GUID.sub("[guid]", _CLUTTER.sub("", words))[:300]


def connected() -> list[str]:
    """Return the addresses that this node's Netdata has connections to at a parent's port."""
    try:
        owner = str(pwd.getpwnam("netdata").pw_uid)
    except KeyError:
        return []
    found: dict[str, None] = {}
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        lines = table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else []
        for fields in map(str.split, lines):
            address, _, port = fields[2].partition(":")
            if fields[3] == ESTABLISHED and int(port, 16) in PORTS and fields[7] == owner:
                found[kernel_address(address)] = None
    return list(found)


def kernel_address(text: str) -> str:
    """Return the IP address that /proc/net/tcp writes as `text`: hex words, each in the machine's byte order."""
    import sys

    words = [bytes.fromhex(text[index : index + 8]) for index in range(0, len(text), 8)]
    data = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ipaddress.ip_address(data)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def read_guid() -> str:
    """Return the machine's GUID, empty when it has none yet."""
    try:
        return GUID_FILE.read_text(encoding="ascii", errors="replace").strip().lower()
    except OSError:
        return ""


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
