"""The command line, run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.prefix) / "bin" / "nexus-ops")


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would lead nexus-ops or Ansible astray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("NEXUS_", "ANSIBLE_"))}


@dataclass(frozen=True)
class Result:
    """What a call printed, its exit status and how long it took in seconds."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """Return the JSON document of a call with `--json`; fails when stdout is anything else."""
        try:
            document = json.loads(self.out)
        except ValueError:
            raise AssertionError(f"stdout is not one JSON document\n{self}") from None
        assert isinstance(document, dict), f"stdout is not a JSON object\n{self}"
        return document

    def expect(self, code: int) -> Result:
        """Return this result; fails when the exit status is another, or there is a traceback on the screen."""
        assert self.code == code, f"exit status {self.code}, expected {code}\n{self}"
        assert "Traceback" not in self.err + self.out, f"a traceback on the screen\n{self}"
        return self

    def __str__(self) -> str:
        """Return all of it, for assertion messages."""
        return f"$ {' '.join(self.arguments)}\n[exit {self.code}, {self.seconds:.1f} s]\n{self.out}\n{self.err}"


@dataclass(frozen=True)
class Cli:
    """`nexus-ops` in a project folder, for one environment."""

    project: Path
    environment: str
    program: str = PROGRAM

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the command line for `arguments`."""
        return (self.program, "--env", self.environment, *arguments)

    def __call__(self, *arguments: str, timeout: float = 400) -> Result:
        """Run it to its end; `timeout` is in seconds."""
        return run(self.command(*arguments), cwd=self.project, timeout=timeout)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it and return without waiting; its output goes nowhere."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.project,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def run(command: tuple[str, ...], *, cwd: Path, timeout: float, environment: dict[str, str] | None = None) -> Result:
    """Run `command` without a terminal and return its result; fails after `timeout` seconds."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**clean_environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        printed = b"".join(part for part in (error.stdout, error.stderr) if part).decode(errors="replace")
        raise AssertionError(f"{' '.join(command)} did not end within {timeout:g} s:\n{printed}") from None
    return Result(command, done.returncode, done.stdout, done.stderr, time.monotonic() - start)
