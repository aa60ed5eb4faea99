"""Root follows no link that another account has put: planted in all folders that services, Caddy and Netdata own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.security.conftest import VICTIM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster

PLACES = "/var/lib /var/cache /var/log /opt /etc /run /usr/local"
OWNERS = ("nexus-web", "nexus-status", "caddy", "netdata")
# Each part of a folder of `account`, but for what is below one that was exchanged already, and what the service reads.
PLANT = """
find {places} -xdev -type d -user {account} | while read -r folder; do
    find "$folder" -mindepth 1 -maxdepth 1 -not -name '*.kept' -not -name posts.jsonl | while read -r part; do
        target={victim}; [ -d "$part" ] || target={victim}/file
        runuser -u {account} -- sh -c 'mv "$1" "$1.kept" && ln -s "$0" "$1" && echo "$1"' "$target" "$part"
    done
done
"""
TAKE_BACK = """
find {places} -xdev -depth -name '*.kept' | while read -r kept; do
    rm -rf "${{kept%.kept}}"
    mv "$kept" "${{kept%.kept}}"
done
"""
STATE = "stat -c '%U:%G %a %n' {victim} {victim}/*; cat {victim}/file"


def shell(cluster: Cluster, script: str, **values: str) -> str:
    return cluster.run("n1", "sh", "-c", script.format(places=PLACES, victim=VICTIM, **values))


@pytest.fixture
def planted(attacked: Cluster) -> Iterator[list[str]]:
    """Let every account exchange all that it owns for links to what is root's. Yields the paths."""
    services = " ".join(f"nexus-service-{name}" for name in ("web", "status"))
    shell(attacked, 'mkdir -m 700 {victim}; echo "root\'s" >{victim}/file; chmod 600 {victim}/file')
    attacked.run("n1", "systemctl", "stop", "netdata", *services.split())
    try:
        yield [path for account in OWNERS for path in shell(attacked, PLANT, account=account).splitlines()]
    finally:
        shell(attacked, TAKE_BACK)
        shell(attacked, "rm -rf {victim}")
        attacked.run("n1", "systemctl", "start", *services.split(), "netdata")
        attacked.cli("apply", "all", "--yes").expect(0)


def test_what_is_behind_a_link_stays_as_it_is(attacked: Cluster, planted: list[str]) -> None:
    assert "/var/lib/netdata/registry" in planted, planted
    before = shell(attacked, STATE)
    foreseen = attacked.cli("plan", "all")
    assert "Traceback" not in foreseen.out + foreseen.err, foreseen
    refused = attacked.cli("apply", "all", "--yes").expect(1)
    assert "registry is a link that an account other than root can have made; remove it" in refused.err, refused
    attacked.cli("monitor", "enable", "--yes").expect(1)
    (attacked.folder / "apps/web/another").touch()  # a release that is new, with all that it brings
    attacked.cli("deploy", "web", "--yes")
    attacked.cli("status")
    assert shell(attacked, STATE) == before, "nobody has touched what is root's"
