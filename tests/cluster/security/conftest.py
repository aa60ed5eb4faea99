"""The cluster that is attacked, and how."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cluster.conftest import booted, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster

VICTIM = "/root/victim"


class Attacker:
    """Runs Python as an account of a node, with more rights than the account's service has."""

    def __init__(self, cluster: Cluster, node: str, account: str) -> None:
        """Nothing is done yet."""
        self.cluster = cluster
        self.node = node
        self.account = account

    def command(self, script: str) -> list[str]:
        """Return the command that runs `script`."""
        runuser = ["runuser", "-u", self.account, "--", "python3", "-c", script]
        return ["podman", "exec", self.cluster.container(self.node), *runuser]

    def run(self, script: str) -> str:
        """Return the last line that `script` prints, of an error what it was."""
        done = subprocess.run(self.command(script), capture_output=True, text=True, check=False, timeout=60)
        return (done.stdout + done.stderr).strip().rpartition("\n")[2]


@pytest.fixture(scope="package")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts with every role, an authority of their own, and monitoring."""
    with booted("attacked", tmp_path_factory, "--all-in-one", "2") as cluster:
        cluster.first_apply = installed(cluster)
        intent = cluster.intent
        cluster.write({**intent, "ha": {**intent["ha"], "tls": "internal"}, "monitoring": {"enabled": True}})
        cluster.cli("apply", "all", "--yes").expect(0)
        yield cluster


@pytest.fixture(scope="package")
def service(attacked: Cluster) -> Attacker:
    """The account of the service web on n1."""
    return Attacker(attacked, "n1", "nexus-web")
