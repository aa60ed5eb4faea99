#!/bin/sh
# Turns a plain Debian into a sandbox host. Runs once, while the image is built.
set -eu
recipe=$(dirname "$0")
export DEBIAN_FRONTEND=noninteractive

# What the controller trusts and how it reaches its package sources: without this, nothing could be installed.
# (Each folder holds a file that says what it is for, so that none is missing from the image's context.)
mkdir -p /usr/local/share/ca-certificates
find "$recipe/ca" -name '*.crt' -exec cp {} /usr/local/share/ca-certificates/ \;
cp "$recipe/apt.conf" /etc/apt/apt.conf.d/90controller
cp "$recipe/pip.conf" /etc/pip.conf

# A base made by mmdebstrap has them all; one that was pulled has not.
packages=$(cat "$recipe/packages")
# shellcheck disable=SC2086  # one word a package
if ! dpkg-query --show $packages >/dev/null 2>&1; then
    apt-get update
    apt-get install --yes --no-install-recommends $packages
fi
update-ca-certificates

install -m 0755 "$recipe/nexus-sandbox-setup" /usr/local/sbin/nexus-sandbox-setup
install -m 0644 "$recipe/nexus-sandbox-setup.service" /etc/systemd/system/nexus-sandbox-setup.service
install -D -m 0644 "$recipe/sshd.conf" /etc/ssh/sshd_config.d/10-nexus-sandbox.conf
systemctl enable nexus-sandbox-setup.service ssh.service
systemctl set-default multi-user.target

# Nothing here has hardware, a console or a disk of its own; timers of the distribution would disturb measurements.
systemctl mask \
    systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service \
    getty.target console-getty.service getty@.service serial-getty@.service systemd-logind.service \
    systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service \
    systemd-resolved.service systemd-timesyncd.service systemd-firstboot.service \
    systemd-modules-load.service systemd-remount-fs.service systemd-random-seed.service systemd-pstore.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer

# The kernel is the controller's: its clock, modules and the distribution's own settings are none of a host's business.
install -D -m 0644 "$recipe/manager.conf" /etc/systemd/system.conf.d/10-nexus-sandbox.conf
# Those of the network belong to the host, and what a role writes into /etc/sysctl.d is applied at boot.
mkdir -p /etc/sysctl.d
for file in /usr/lib/sysctl.d/*.conf; do
    if [ -e "$file" ]; then ln -sf /dev/null "/etc/sysctl.d/$(basename "$file")"; fi
done

# Made anew on each host, at its first boot.
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
