"""Programs that are run on the node."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from typing import TYPE_CHECKING

from ansible.module_utils.node_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LINE = 400  # characters of a line that are shown: of its beginning, and of its end, where causes stand


def run(
    argv: Sequence[str],
    *,
    timeout: float = 120,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return it with both outputs as text, whatever its status.

    `timeout` is in seconds; `user`: run with that account and its groups. Raises StateError when the program is
    missing or takes too long.
    """
    variables = {**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})}
    identity: dict[str, object] = {}
    if user is not None:
        account = pwd.getpwnam(user)
        groups = os.getgrouplist(user, account.pw_gid)
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups, "cwd": "/"}
        variables["HOME"] = account.pw_dir
    try:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            list(argv),
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            env=variables,
            check=False,
            **identity,
        )
    except FileNotFoundError as error:
        raise StateError(f"{argv[0]} is not installed on this node") from error
    except subprocess.TimeoutExpired as error:
        raise StateError(f"`{' '.join(argv)}` did not end within {timeout:g} s") from error
    except OSError as error:
        raise StateError(f"{argv[0]} cannot be run on this node: {error.strerror}") from error


def checked(argv: Sequence[str], *, timeout: float = 120, environment: Mapping[str, str] | None = None) -> str:
    """Run a program and return its standard output. Raises StateError with its last words when it fails."""
    done = run(argv, timeout=timeout, environment=environment)
    if done.returncode != 0:
        raise StateError(f"`{' '.join(argv)}` failed (exit {done.returncode}): {last_words(done)}")
    return done.stdout


def last_words(done: subprocess.CompletedProcess[str], lines: int = 6) -> str:
    """Return the last lines of what a program said, errors first choice, on one line."""
    return readable((done.stderr.strip() or done.stdout.strip()).splitlines(), lines) or "it said nothing"


def readable(said: Sequence[str], lines: int) -> str:
    """Return the last `lines` of a program's output or log on one line; of structured (JSON) logs what matters."""
    messages = [_message(line.strip()) for line in said if line.strip()]
    if any(level == "error" for level, _ in messages):
        messages = [(level, text) for level, text in messages if level in ("", "error")]
    return " | ".join(
        text if len(text) <= LINE else f"{text[: LINE // 4]} … {text[-LINE * 3 // 4 :]}"
        for _, text in messages[-lines:]
    )


def _message(line: str) -> tuple[str, str]:
    """Return level and text of a log line; a plain line has no level."""
    try:
        entry = json.loads(line)
    except ValueError:
        return "", line
    if not isinstance(entry, dict) or "msg" not in entry:
        return "", line
    return str(entry.get("level", "")), ": ".join(str(entry[key]) for key in ("msg", "error") if entry.get(key))
