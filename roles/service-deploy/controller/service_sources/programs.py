"""git, run so that it neither asks questions nor speaks another language."""

from __future__ import annotations

import os
import re
import subprocess

from service_sources.errors import SourceError

CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
ANSWER_TIMEOUT = 60.0
FETCH_TIMEOUT = 900.0


def without_credentials(text: str) -> str:
    """Return `text` with the user and password of every address in it left out."""
    return CREDENTIALS.sub("", text)


def git(service: str, *arguments: str, timeout: float = ANSWER_TIMEOUT) -> bytes:
    """Run git and return what it printed. Raises SourceError with git's last words."""
    environment = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
        "LC_ALL": "C",
    }
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # set while a git hook runs us
        environment.pop(name, None)
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        raise SourceError(f"service {service}: git is not installed here on the controller; install it") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"service {service}: git did not answer within {timeout:g} s; try again") from None
    if done.returncode != 0:
        raise GitRefusedError(service, done.stderr.decode("utf-8", "replace"))
    return done.stdout


class GitRefusedError(SourceError):
    """git ended with an error. `words` is the line that says which."""

    def __init__(self, service: str, stderr: str) -> None:
        """Keep the line that git marks as the reason, or the last one, without credentials."""
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        reasons = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
        self.words = without_credentials((reasons[:1] or lines[-1:] or ["no reason given"])[0])
        super().__init__(f"service {service}: git says: {self.words}")
