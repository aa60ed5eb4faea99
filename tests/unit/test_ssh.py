"""The way to a node's ssh server: straight, or through the proxy of the user's ssh configuration, with the real ssh."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from nexus_ops.ssh import proxy_command, silence

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that ssh reads as the user's configuration: by its option -F, since it does not ask $HOME."""
    configuration = tmp_path / "config"
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F "{configuration}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return configuration


@pytest.mark.parametrize(
    ("setting", "command"),
    [
        ("", []),
        ("ProxyJump none", []),
        ("ProxyJump root@192.0.2.1", ["-W", "192.0.2.9:22", "-l", "root", "192.0.2.1"]),
        (
            "ProxyJump a,root@[2001:db8::1]:24",
            ["-J", "a", "-W", "192.0.2.9:22", "-l", "root", "-p", "24", "2001:db8::1"],
        ),
        ("HostName inner\nProxyJump a", ["-W", "inner:22", "a"]),
        ("ProxyCommand nc %h %p %r %%", ["sh", "-c", "exec nc 192.0.2.9 22 ops %"]),
    ],
)
def test_the_way_is_that_of_the_configuration(configure: Path, setting: str, command: list[str]) -> None:
    configure.write_text(f"Host 192.0.2.9\n{setting}\n")
    found = proxy_command("ops", "192.0.2.9", 22)
    own = found[3:] if found[:1] == ["ssh"] else found
    assert own == command
    assert proxy_command("ops", "192.0.2.10", 22) == []


def test_a_server_behind_a_proxy_is_heard_and_missed(configure: Path) -> None:
    configure.write_text(
        "Host 192.0.2.9\nProxyCommand printf 'SSH-2.0-x\\\\n'\nHost 192.0.2.10\nProxyCommand echo no >&2\n"
    )
    assert silence("ops", "192.0.2.9", 22, 1) == ""
    assert silence("ops", "192.0.2.10", 22, 1).endswith("through the proxy of the ssh configuration: no")


def test_a_server_that_accepts_and_does_not_greet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "no answer" in silence("ops", "127.0.0.1", server.getsockname()[1], 0.3)
