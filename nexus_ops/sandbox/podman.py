"""A thin wrapper around the `podman` program: argument lists in, text or JSON out, errors typed."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from nexus_ops.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Sequence

LABEL = "nexus-ops.sandbox"  # on every container and network: the sandbox's name; nothing without it is ever touched


class PodmanError(NexusError):
    """podman refused something. `reason` is its last line of output."""

    def __init__(self, arguments: Sequence[str], reason: str) -> None:
        """Keep what was asked of podman and why it refused."""
        self.reason = reason
        super().__init__(f"podman {' '.join(arguments[:2])} failed: {reason}")


def last_line(text: str) -> str:
    """Return the last line of `text` that says something, or a statement that there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def call(
    arguments: Sequence[str], *, check: bool = True, timeout: float | None = 120
) -> subprocess.CompletedProcess[str]:
    """Run podman and return the finished process, output captured as text.

    Raises PodmanError when it fails and `check` is set, or takes more than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            ["podman", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise PodmanError(arguments, "podman is not installed") from None
    except subprocess.TimeoutExpired:
        raise PodmanError(arguments, f"no answer within {timeout:g} s") from None
    if check and done.returncode != 0:
        raise PodmanError(arguments, last_line(done.stderr))
    return done


def query(arguments: Sequence[str]) -> list[dict[str, Any]]:
    """Return what a podman command answers as a JSON list. Raises PodmanError."""
    answer = json.loads(call(arguments).stdout or "[]")
    return answer if isinstance(answer, list) else [answer]


def succeeds(arguments: Sequence[str]) -> bool:
    """Return whether podman answers with exit status 0, as in `image exists NAME`."""
    return call(arguments, check=False).returncode == 0
