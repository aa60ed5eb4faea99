"""What a thin child costs, measured against Debian's default installation on the same host in the same minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.measure import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.monitoring.monitored import Monitored

NODE, SINK_NODE = "w1", "w2"
DEFAULT, SINK = "netdata-default", "netdata-sink"
KEY = "11111111-2222-3333-4444-555555555555"
WARM_UP = 30.0  # seconds
MEASURED = 40.0
THIRD = 1 / 3

# Debian's package `netdata` and what it recommends, unpacked beside the installed one, with the configuration that it
# brings along; only folders and the port are others, and it streams, as the thin child does.
# A container sees the control groups of all others on the machine;
# a real host has its own only, so the second Netdata gets to see those of this host alone.
UNPACK = """
set -eu
mkdir -p /opt/default/packages && cd /opt/default/packages
version=$(dpkg-query -W -f '${Version}' netdata-core)
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o APT::Sandbox::User=root download "netdata-core=$version" "netdata-web=$version" \
    "netdata-plugins-bash=$version" "netdata-plugins-python=$version"
for package in *.deb; do dpkg-deb --extract "$package" /opt/default/root; done
apt-get -qq install --yes --no-install-recommends python3-yaml python3-six python3-urllib3 libcap2-bin >/dev/null
cd /opt/default
install --directory --owner netdata --group netdata log cache lib
plugins=root/usr/lib/netdata/plugins.d
chown -R root:netdata $plugins
setcap cap_dac_read_search,cap_sys_ptrace+ep $plugins/apps.plugin
{
    cat root/etc/netdata/netdata.conf
    printf '\n[web]\n default port = 19998\n[directories]\n config = /opt/default/root/etc/netdata\n'
    printf ' stock config = /opt/default/root/usr/lib/netdata/conf.d\n log = /opt/default/log\n'
    printf ' cache = /opt/default/cache\n lib = /opt/default/lib\n web = /opt/default/root/usr/share/netdata/web\n'
    printf ' plugins = /opt/default/%s\n' $plugins
} >netdata.conf
printf '[stream]\n enabled = yes\n destination = %s:19997\n api key = %s\n' "$1" "$2" >root/etc/netdata/stream.conf
cat >start <<'END'
own=$(sed -n 's/^0::\\(.*\\)\\/system.slice.*/\\1/p' /proc/self/cgroup)
for tree in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    if [ -n "$own" ] && [ -d "$tree$own" ]; then mount --bind "$tree$own" "$tree"; fi
done
exec setpriv --reuid netdata --regid netdata --init-groups /opt/default/root/usr/sbin/netdata -D \
    -c /opt/default/netdata.conf -P /opt/default/lib/netdata.pid
END
systemd-run --quiet --unit netdata-default --property LimitNOFILE=65536 unshare --mount sh /opt/default/start
"""


# Where the default installation streams to: not the parents, which would then know a node more.
TAKE = """
set -eu
mkdir -p /opt/sink && cd /opt/sink
install --directory --owner netdata --group netdata log cache lib
{
    printf '[db]\n mode = none\n[health]\n enabled = no\n[web]\n default port = 19997\n[directories]\n'
    printf ' config = /opt/sink\n log = /opt/sink/log\n cache = /opt/sink/cache\n lib = /opt/sink/lib\n'
    printf '[plugins]\n enable running new plugins = no\n'
    for plugin in proc diskspace timex cgroups tc idlejitter statsd; do printf ' %s = no\n' $plugin; done
} >netdata.conf
printf '[%s]\n enabled = yes\n default memory mode = none\n' "$1" >stream.conf
systemd-run --quiet --unit netdata-sink --uid netdata --gid netdata \\
    netdata -D -c /opt/sink/netdata.conf -P /opt/sink/lib/netdata.pid
"""


@pytest.fixture(scope="module")
def default(monitored: Monitored) -> Iterator[str]:
    """Run a default installation that streams beside the thin child, and return its unit."""
    cluster = monitored.cluster
    cluster.run(SINK_NODE, "sh", "-c", TAKE, "sh", KEY)
    cluster.run(NODE, "sh", "-c", UNPACK, "sh", cluster.address(SINK_NODE), KEY)
    yield DEFAULT
    for node, unit, folder in ((NODE, DEFAULT, "/opt/default"), (SINK_NODE, SINK, "/opt/sink")):
        cluster.run(node, "systemctl", "stop", unit)
        cluster.run(node, "rm", "-rf", folder)


def test_a_thin_child_costs_at_most_a_third_of_a_default_installation(monitored: Monitored, default: str) -> None:
    monitored.usage(NODE, WARM_UP, "netdata", default)
    found = monitored.usage(NODE, MEASURED, "netdata", default)
    thin, other = found["netdata"], found[default]
    for name, costs in (("thin child, plugin included", thin), ("default installation, streaming", other)):
        note(name, "PSS {pss} RSS {rss} MiB, {cpu} % CPU, {processes} processes".format(**costs), "a third at most")
    assert monitored.cluster.succeeds(NODE, "systemctl", "is-active", default), "the default installation runs"
    sockets = monitored.cluster.run(NODE, "ss", "-Htn", "state", "established", "dport = :19997")
    assert sockets.strip(), "the default installation streams"
    # Memory that processes share is in PSS once, and in RSS once for each: PSS is what all of them take together.
    for what, unit in (("pss", "MiB of memory"), ("cpu", "% of a core")):
        ratio = thin[what] / other[what]
        assert ratio <= THIRD, f"objective: at most a third of {other[what]} {unit}, not {thin[what]} ({ratio:.2f})"
