"""The tunnel: how ssh is called, and what becomes of parents that are dead."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from nexus_ops.environment import Environment
from nexus_ops.errors import NexusError
from nexus_ops.intent.model import Intent
from nexus_ops.tunnel import Tunnel, tunnel_command
from tests.unit.conftest import Called
from tests.unit.test_dashboard import make


@pytest.fixture
def cluster(environment: Environment) -> Intent:
    return make(environment)


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program called ssh first in PATH, and return its path."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'banner' >&2\necho 'ssh: connect to host: Connection refused' >&2\nexit 255\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def test_the_call_of_ssh(environment: Environment, cluster: Intent) -> None:
    command = tunnel_command(environment, cluster.nodes["mgr2"], 4711)
    options = [value for flag, value in itertools.pairwise(command) if flag == "-o"]
    assert {"StrictHostKeyChecking=yes", "ExitOnForwardFailure=yes", "BatchMode=yes"} <= set(options)
    assert f'UserKnownHostsFile="{environment.known_hosts}"' in options
    assert command[command.index("-L") + 1] == "127.0.0.1:4711:127.0.0.1:19999"
    assert command[command.index("-p") + 1] == "2222"
    assert command[command.index("-i") + 1] == str(environment.folder / "key file")
    assert command[-2:] == ["--", "root@2001:db8::12"]
    assert "-N" in command


def test_every_parent_is_tried(environment: Environment, cluster: Intent, ssh: Path) -> None:
    found = Tunnel(environment, cluster).open()
    assert found.chosen is None
    reasons = [(each.candidate.via, each.candidate.node, each.reason) for each in found.tried]
    assert reasons == [
        ("tunnel", "mgr1", "connect to host: Connection refused"),
        ("tunnel", "mgr2", "connect to host: Connection refused"),
    ]


def test_without_ssh(environment: Environment, cluster: Intent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(NexusError, match="ssh is not installed"):
        Tunnel(environment, cluster).open()


def test_no_parent_is_reached(cluster: Intent, ssh: Path, call: Callable[..., Called]) -> None:
    called = call("dashboard", "--tunnel", "--json")
    assert called.code == 3
    assert [each["node"] for each in called.document["tried"]] == ["mgr1", "mgr2"]
