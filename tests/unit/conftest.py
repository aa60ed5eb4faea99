"""What the unit tests share: an environment with a valid intent, in a folder of its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nexus_ops.environment import Environment
from nexus_ops.intent.model import Intent
from nexus_ops.intent.write import write_intent

INTENT = """\
cluster: test   # a comment
ssh: {user: ops}
nodes:
  mgr1: {address: 192.0.2.10, roles: [manager]}
  lb1: {address: 192.0.2.21, roles: [lb]}
  lb2: {address: 192.0.2.22, roles: [lb]}
  # the workers
  w1: {address: 192.0.2.31, roles: [worker]}
  w2: {address: 192.0.2.32, roles: [worker], ssh: {port: 2222, user: root}}
ha:
  virtual_ip: 192.0.2.100/24
services:
  web:
    source: {path: apps/web}
    command: "python3 server.py"
    port: 8080
    env: {GREETING: hello, BRACES: "{{ not a template }}"}
    health: {path: /healthz}
"""


@dataclass(frozen=True)
class Called:
    """What a call of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    environment = Environment(tmp_path / "inventories" / "test")
    (environment.folder / "apps" / "web").mkdir(parents=True)
    (environment.folder / "apps" / "web" / "server.py").write_text("print()\n")
    return environment


@pytest.fixture
def intent(environment: Environment) -> Intent:
    return write_intent(environment, INTENT)


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., Called]:
    """Call the command line as a program of its own, in `tmp_path`, without a terminal."""

    def call(*arguments: str, **variables: str) -> Called:
        done = subprocess.run(
            [sys.executable, "-m", "nexus_ops", *arguments],
            cwd=tmp_path,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr + done.stdout
        return Called(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def no_room() -> Iterator[None]:
    """Let files of this process grow to 16 bytes: a write then fails as it does on a full disk, without a name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
