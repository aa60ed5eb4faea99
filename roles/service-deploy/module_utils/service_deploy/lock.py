"""One call at a time on a node: what a killed run left behind may still be at work when the next one comes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node_state import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK = Path("/run/nexus-ops/service-deploy/lock")
PAUSE = 0.2  # seconds


@contextlib.contextmanager
def alone(patience: float) -> Iterator[None]:
    """Wait up to `patience` seconds for the other call to end. Raises StateError. The kernel frees it at any death."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + patience
    # Who may read a file may lock it: nobody else, from its first moment on, also where an earlier version made it.
    with os.fdopen(os.open(LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as lock:
        os.fchmod(lock.fileno(), 0o600)
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise StateError(
                        f"another run still works on the services of this node (waited {patience:g} s); run again later"
                    ) from None
                time.sleep(PAUSE)
        yield
