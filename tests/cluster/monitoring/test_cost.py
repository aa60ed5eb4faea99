"""What a thin child costs, measured against Debian's default installation on the same host in the same minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.measure import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.monitoring.monitored import Monitored

NODE = "w1"
DEFAULT = "netdata-default"
WARM_UP = 20.0  # seconds
MEASURED = 60.0
THIRD = 1 / 3

# Debian's package `netdata` and what it recommends, unpacked beside the installed one, with the configuration that it
# brings along; only folders and the port are others. A container sees the control groups of all others on the machine;
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


@pytest.fixture(scope="module")
def default(monitored: Monitored) -> Iterator[str]:
    """Run a default installation beside the thin child, and return its unit."""
    monitored.cluster.run(NODE, "sh", "-c", UNPACK)
    yield DEFAULT
    monitored.cluster.run(NODE, "systemctl", "stop", DEFAULT)
    monitored.cluster.run(NODE, "rm", "-rf", "/opt/default")


def test_a_thin_child_costs_at_most_a_third_of_a_default_installation(monitored: Monitored, default: str) -> None:
    monitored.usage(NODE, WARM_UP, "netdata", default)
    found = monitored.usage(NODE, MEASURED, "netdata", default)
    thin, other = found["netdata"], found[default]
    for name, costs in (("thin child, plugin included", thin), ("default installation, not streaming", other)):
        note(name, "PSS {pss} RSS {rss} MiB, {cpu} % CPU, {processes} processes".format(**costs), "a third at most")
    assert monitored.cluster.succeeds(NODE, "systemctl", "is-active", default), "the default installation runs"
    for what, unit in (("pss", "MiB of memory"), ("rss", "MiB of resident memory"), ("cpu", "% of a core")):
        ratio = thin[what] / other[what]
        assert ratio <= THIRD, f"objective: at most a third of {other[what]} {unit}, not {thin[what]} ({ratio:.2f})"
