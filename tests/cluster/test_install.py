"""install.sh on a plain Debian 12 host, from the first run to the removal. The tests tell one story, in this order."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexus_ops import __version__
from tests.cluster.conftest import booted
from tests.terminal import converse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHECKOUT = Path(__file__).parents[2]
SCRIPT = "/srv/nexus-ops/install.sh"
MANAGER = (SCRIPT, "--role", "manager", "--yes")
COMMAND = "/usr/local/bin/nexus-ops"
KEY = "/root/.ssh/id_ed25519.pub"
SECONDS = 300


@dataclass(frozen=True)
class Host:
    """The host under test."""

    container: str

    def command(self, *command: str, user: str = "root", terminal: bool = False) -> tuple[str, ...]:
        """Return the call that runs `command` there, with the surroundings that a login gives."""
        home = "/root" if user == "root" else f"/home/{user}"
        flags = ("--interactive", "--tty") if terminal else ()
        return (
            "podman",
            "exec",
            *flags,
            "--user",
            user,
            "--env",
            f"HOME={home}",
            "--workdir",
            home,
            self.container,
            *command,
        )

    def run(self, *command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Return what `command` did, without a terminal."""
        return subprocess.run(
            self.command(*command, user=user),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def output(self, *command: str, user: str = "root") -> str:
        """Return what `command` prints; fails when it fails."""
        done = self.run(*command, user=user)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def copy_checkout(self) -> None:
        """Copy the checkout as it is now, without what git ignores."""
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=CHECKOUT, capture_output=True, check=True).stdout
        present = b"\0".join(name for name in names.split(b"\0") if name and (CHECKOUT / name.decode()).exists())
        archive = subprocess.run(
            ["tar", "--null", "--files-from=-", "--create"],
            cwd=CHECKOUT,
            input=present,
            capture_output=True,
            check=True,
        ).stdout
        self.output("mkdir", "-p", str(Path(SCRIPT).parent))
        unpack = ["podman", "exec", "--interactive", self.container, "tar", "-x", "-C", str(Path(SCRIPT).parent)]
        subprocess.run(unpack, input=archive, check=True)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host as it is rented: no Python, no git, no sudo; and a user who may not become root."""
    counts = ("--managers", "1", "--lbs", "0", "--workers", "0")
    with booted("install", tmp_path_factory, *counts) as cluster:
        host = Host(cluster.container("mgr1"))
        host.copy_checkout()
        host.output("useradd", "--create-home", "--shell", "/bin/bash", "ops")
        yield host


def everything_installed(host: Host) -> str:
    """Return the packages and what is in the folders that the script writes to."""
    folders = "/opt /usr/local/bin /root/.ssh /home/ops"
    return host.output("sh", "-c", f"dpkg-query -W; find {folders} -not -name '*.pyc' | sort")


def installations(host: Host, prefix: str) -> list[str]:
    return host.output("sh", "-c", f"ls -d {prefix}/venv-* 2>/dev/null || true").split()


def test_role_worker_prints_how_to_join_and_changes_nothing(host: Host) -> None:
    before = everything_installed(host)
    shown = host.output(SCRIPT, "--role", "worker")
    address = host.output("sh", "-c", "hostname -I").split()[0]
    fingerprint = host.output("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub")
    assert fingerprint in shown
    assert f"nexus-ops node add mgr1 --address {address} --role worker" in shown
    assert "nexus-ops bootstrap mgr1" in shown
    assert everything_installed(host) == before


def test_an_unsupported_worker_is_refused_by_name(host: Host) -> None:
    release = host.output("readlink", "-f", "/etc/os-release")
    host.output("cp", release, "/tmp/os-release")
    host.output("sh", "-c", f"printf 'NAME=\"Fedora Linux\"\\nID=fedora\\nVERSION_ID=40\\n' > {release}")
    try:
        result = host.run(SCRIPT, "--role", "worker")
    finally:
        host.output("cp", "/tmp/os-release", release)
    assert result.returncode == 1
    assert result.stderr.startswith("error: this is Fedora 40: workers run on Debian 12")


def test_a_user_without_python_and_sudo_is_told_what_to_ask_for(host: Host) -> None:
    result = host.run(*MANAGER, user="ops")
    assert result.returncode == 1
    assert "no Python 3.11 to 3.13" in result.stderr
    assert "apt-get install python3 python3-venv" in result.stderr


def test_without_a_network_it_says_so_and_leaves_nothing(host: Host) -> None:
    before = everything_installed(host)
    result = host.run("unshare", "--net", *MANAGER)
    assert result.returncode == 1
    assert "is the network reachable" in result.stderr.splitlines()[-1]
    assert everything_installed(host) == before


def test_a_demo_as_an_ordinary_user_is_refused(host: Host) -> None:
    result = host.run(SCRIPT, "--demo", user="ops")
    assert result.returncode == 1
    assert "needs root" in result.stderr


def test_a_command_of_somebody_else_is_not_replaced(host: Host) -> None:
    host.output("sh", "-c", f"echo '#!/bin/sh' > {COMMAND}")
    result = host.run(*MANAGER)
    host.output("rm", COMMAND)
    assert result.returncode == 1
    assert COMMAND in result.stderr


def test_role_manager_installs_all_of_it(host: Host) -> None:
    shown = host.output(*MANAGER)
    assert f"Installed: nexus-ops {__version__} as {COMMAND}" in shown
    assert "ssh key made" in shown
    assert host.output("nexus-ops", "--version") == f"nexus-ops {__version__}"
    assert host.output("nexus-ops", "--version", user="ops") == f"nexus-ops {__version__}"
    assert host.output("cat", KEY).startswith("ssh-ed25519 ")
    assert "apply" in host.output("nexus-ops", "--help")


def test_a_second_run_mends_and_upgrades_in_place(host: Host) -> None:
    """With what interruptions leave: a half-made environment, and an installation that does not start."""
    (old,) = installations(host, "/opt/nexus-ops")
    host.output("mkdir", "/opt/nexus-ops/venv-half-made")
    host.output("sh", "-c", f"rm -r {old}/lib/python3*/site-packages/typer")
    key = host.output("cat", KEY)
    shown = host.output(*MANAGER)
    assert "System packages: all there" in shown
    assert "was there: an installation that does not start" in shown
    assert host.output("nexus-ops", "--version") == f"nexus-ops {__version__}"
    (new,) = installations(host, "/opt/nexus-ops")
    assert new != old
    assert host.output("cat", KEY) == key


def test_an_interrupted_run_leaves_the_installation_as_it_was(host: Host) -> None:
    before = installations(host, "/opt/nexus-ops")
    result = host.run("timeout", "--signal=INT", "4", *MANAGER)
    assert result.returncode in {124, 130}  # 124: timeout's own, for a command that it had to interrupt
    assert "interrupted" in result.stderr
    assert installations(host, "/opt/nexus-ops") == before
    assert host.output("nexus-ops", "--version") == f"nexus-ops {__version__}"


def test_a_user_without_sudo_gets_all_but_the_packages(host: Host) -> None:
    host.output("apt-get", "remove", "--yes", "sshpass")
    dialogue: Sequence[tuple[str, str]] = [
        ("Install Nexus Manager? (y/n)", "y\n"),
        ("Install them with apt-get? (y/n)", "y\n"),
        ("Describe your machines now (nexus-ops init)? (y/n)", "n\n"),
    ]
    code, shown = converse(host.command(SCRIPT, user="ops", terminal=True), dialogue, seconds=SECONDS)
    assert code == 0, shown
    assert "Left out" in shown
    assert "sshpass: nexus-ops bootstrap --ask-pass does not work" in shown
    assert "/home/ops/.local/bin is not on your PATH" in shown
    assert host.output("/home/ops/.local/bin/nexus-ops", "--version", user="ops") == f"nexus-ops {__version__}"


def test_uninstall_removes_what_it_put_there_and_nothing_else(host: Host) -> None:
    host.output("mkdir", "-p", "/root/inventories/production")
    shown = host.output(SCRIPT, "--uninstall")
    assert "Removed: /usr/local/bin/nexus-ops" in shown
    assert "Kept: your environments" in shown
    left = host.output(
        "sh", "-c", f"ls -d /opt/nexus-ops {COMMAND} /root/inventories/production {KEY} 2>/dev/null || true"
    )
    assert set(left.split()) == {KEY, "/root/inventories/production"}
    assert host.output("/home/ops/.local/bin/nexus-ops", "--version", user="ops")
    host.output(SCRIPT, "--uninstall", user="ops")
    assert installations(host, "/home/ops/.local/share/nexus-ops") == []
    assert "Nothing of Nexus Ops is installed" in host.output(SCRIPT, "--uninstall", user="ops")
