"""What we keep on nodes, and our locks, are out of every service's reach, whatever it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.cluster import service as described
from tests.cluster.security.conftest import Attacker

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

LOCKS = ("/run/nexus-ops/run.lock", "/run/nexus-ops/service-deploy/lock")
OWNERS = "find /var/lib/nexusops /run/nexus-ops /etc/nexus-ops -not -user root"
SECRET = "hunter2-secret"


def add_service(cluster: Cluster, name: str, port: int) -> dict[str, Any]:
    """Put another service into nexus.yml. Returns nexus.yml as it was."""
    before = cluster.intent
    one = {**described(name, port), "domain": f"{name}.example.com"}
    cluster.write({**before, "services": {**before["services"], name: one}})
    return before


def test_what_earlier_versions_kept_is_found_and_moved(attacked: Cluster) -> None:
    attacked.run("n1", "mv", "/var/lib/nexusops", "/var/lib/nexus-ops")
    assert attacked.cli("plan", "all", "--json").expect(0).document["changes"] == 0
    assert attacked.cli("apply", "all", "--yes", "--json").expect(0).document["changed"] == 0
    attacked.run("n1", "test", "-d", "/var/lib/nexusops/services", "-a", "!", "-e", "/var/lib/nexus-ops")


def test_a_service_called_ops_owns_nothing_of_ours(attacked: Cluster) -> None:
    intent = attacked.intent
    intent["services"]["web"]["env"]["DB_PASSWORD"] = SECRET
    attacked.write(intent)
    before = add_service(attacked, "ops", 8090)
    try:
        attacked.cli("apply", "ha", "--yes").expect(0)
        attacked.cli("apply", "ha", "--yes").expect(0)
        assert attacked.run("n1", "stat", "-c", "%U", "/var/lib/nexus-ops").strip() == "nexus-ops"
        assert attacked.run("n1", "sh", "-c", OWNERS) == ""
        ops = Attacker(attacked, "n1", "nexus-ops")
        for path in ("/var/lib/nexusops/services/web.json", "/etc/nexus-ops/services/web.env"):
            assert SECRET in attacked.run("n1", "cat", path)
            assert ops.run(f"open({path!r})").startswith("PermissionError")
    finally:
        attacked.write(before)
        attacked.cli("apply", "ha", "--yes").expect(0)


def test_a_folder_that_was_given_away_is_taken_back(attacked: Cluster) -> None:
    attacked.run("n1", "chown", "-R", "nexus-web:", "/var/lib/nexusops/services", "/var/lib/nexusops/history")
    (attacked.folder / "apps/web/next").touch()
    attacked.cli("deploy", "web", "--yes").expect(0)
    owners = attacked.run("n1", "stat", "-c", "%U %a", "/var/lib/nexusops/services", "/var/lib/nexusops/history")
    assert owners == "root 700\n" * 2


def test_an_account_of_somebody_is_given_to_no_service(attacked: Cluster) -> None:
    attacked.run("n1", "useradd", "--shell", "/bin/bash", "nexus-own")
    before = add_service(attacked, "own", 8091)
    try:
        refused = attacked.cli("apply", "ha", "--yes").expect(1)
        assert "error: n1: the account nexus-own is somebody's" in refused.err, refused
    finally:
        attacked.write(before)
        attacked.run("n1", "userdel", "nexus-own")
        attacked.cli("apply", "ha", "--yes").expect(0)


def test_locks_are_out_of_reach(attacked: Cluster, service: Attacker) -> None:
    for lock in LOCKS:
        attacked.run("n1", "test", "-e", lock)
        assert service.run(f"open({lock!r})").startswith("PermissionError"), lock
    attacked.cli("lock", "release", "--yes").expect(0)
    attacked.run("n1", "systemctl", "is-active", "ssh", "caddy", "netdata")


def test_one_host_key_of_each_machine_is_pinned(attacked: Cluster) -> None:
    lines = (attacked.folder / "known_hosts").read_text().splitlines()
    assert sorted(line.split()[:2] for line in lines) == [
        [attacked.address(node), "ssh-ed25519"] for node in attacked.nodes()
    ]
