"""Holds the lock on a node for as long as the controller is there. Its text is sent over ssh and run there as it is.

Needs nothing but Python's own library. Lines of JSON come in and go out; an empty line is a sign of life. The lock is
a record lock (fcntl(2)) on a file: the kernel frees it when this process ends, however it ends, and names its owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import struct
import sys
import time
from typing import Any

PATH = "/run/nexus-ops/run.lock"
SILENCE = 20.0
"""Seconds without a sign of life after which the controller counts as gone."""

FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid
Document = dict[str, Any]


def say(**words: object) -> None:
    """Send one line to the controller."""
    os.write(1, (json.dumps(words) + "\n").encode())


def parse(line: bytes) -> Document:
    """Return an order, nothing for a line that is none: a password that sudo did not need and left."""
    try:
        order = json.loads(line)
    except ValueError:
        return {}
    return order if isinstance(order, dict) and "do" in order else {}


def read(lock: int) -> Document:
    """Return what the holder has written, nothing where it has not yet."""
    try:
        document = json.loads(os.pread(lock, 65536, 0))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def write(lock: int, document: Document) -> None:
    """Put `document` in place of what is there."""
    text = json.dumps(document).encode()
    os.pwrite(lock, text + b"\n", 0)
    os.ftruncate(lock, len(text) + 1)


def owner(lock: int) -> int:
    """Return the process that holds the lock, 0 where it is free."""
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(lock, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else pid


def holder(lock: int) -> Document | None:
    """Return who holds the lock, None where nobody does. One who took it just now has a moment to say who it is."""
    for _ in range(20):
        pid = owner(lock)
        if not pid:
            return None
        document = read(lock)
        if document.get("pid") == pid:
            return document
        time.sleep(0.05)
    return {"pid": pid, "stranger": processes(pid)}


def processes(pid: int) -> str:
    """Return in words which process has the lock, or where that has none (-1, of an open file) which have it open."""
    import glob
    import pwd

    found = []
    for folder in [f"/proc/{pid}"] if pid > 0 else glob.glob("/proc/[0-9]*"):  # noqa: PTH207  a lean start
        try:
            with open(f"{folder}/cmdline", "rb") as command, open(f"{folder}/comm") as name:  # noqa: PTH123
                if b"nexus-ops-lock" in command.read():  # one that asks, as this one does
                    continue
                program = name.read().strip()
            files = [os.readlink(path) for path in glob.glob(f"{folder}/fd/*")]  # noqa: PTH115, PTH207
            user: object = os.stat(folder).st_uid  # noqa: PTH116
        except OSError:
            continue  # ended meanwhile
        if pid > 0 or PATH in files:
            with contextlib.suppress(KeyError):
                user = pwd.getpwuid(int(str(user))).pw_name
            found.append(f"process {os.path.basename(folder)} ({program}) of {user}")  # noqa: PTH119
    return ", ".join(found) or "a process"


def take(lock: int, who: Document) -> None:
    """Take the lock for `who` and say so, or say who has it."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        say(holder=holder(lock) or {})  # free again by now, perhaps: too late for this one
        return
    write(lock, {**who, "pid": os.getpid()})

    def end(*_: object) -> None:
        say(released=read(lock).get("released_by", ""))
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    say(taken=True)


def release(lock: int, by: str) -> None:
    """End the process that holds the lock, and say who it was for. One that is none of ours is left alone."""
    found = holder(lock)
    if found is not None and "stranger" not in found:
        write(lock, {**found, "released_by": by})
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 3
            while owner(lock) == found["pid"] and time.monotonic() < deadline:
                os.kill(found["pid"], number)
                time.sleep(0.05)
    say(released=found)


def serve() -> None:
    """Do what the controller says until it is gone."""
    os.makedirs(os.path.dirname(PATH), exist_ok=True)  # noqa: PTH103, PTH120  a lean start: no pathlib
    lock = os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(lock, 0o600)  # who may read a file may lock it
    say(ready=True)
    pending = b""
    while select.select([0], [], [], SILENCE)[0]:
        received = os.read(0, 65536)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        for order in filter(None, map(parse, lines)):
            if order["do"] == "take":
                take(lock, order["who"])
            elif order["do"] == "show":
                say(holder=holder(lock))
            elif order["do"] == "release":
                release(lock, order["by"])


if __name__ == "__main__":
    try:
        serve()
    except OSError as error:
        sys.exit(f"{error.filename or 'the lock'}: {error.strerror}")
